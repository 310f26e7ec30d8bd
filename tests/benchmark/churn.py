"""A program that runs a controller while many containers come and go: run in a host's namespace.

python -m tests.benchmark.churn COUNT LINK

Prints JSON: the memory of the process in MB after a tenth of COUNT containers, and after all of them. Each
container is created, connected, started, proxied, dies and is removed, in batches. The engine is a fake, the
kernel the real one. Now and then there is a full pass.
"""

import json
import sys
import tempfile
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from dockeripv6mapper.actions import Connect, EndpointAction
from dockeripv6mapper.controller.loop import Controller
from dockeripv6mapper.controller.queue import ResyncNow, Stop
from dockeripv6mapper.engine.client import Snapshot
from dockeripv6mapper.engine.events import Change, ContainerChanged, Subscribed
from dockeripv6mapper.engine.http import PendingResponse
from dockeripv6mapper.engine.listed import Listed
from dockeripv6mapper.kernel.host import Kernel
from dockeripv6mapper.model import Container, Endpoint, Network
from dockeripv6mapper.report.metrics import Metrics
from dockeripv6mapper.settings import FirewallMode, Settings
from tests.benchmark.full_pass import IMAGE, NETWORK, NEVER, mapped_container, resident_megabytes
from tests.lab.waiting import eventually

BATCH = 10
"""Containers that exist at the same time."""
PASS_EVERY = 100
"""Containers between two full passes."""
POLL_SECONDS = 0.002


class FakeEngine:
    """An engine with one network and one image, whose containers come and go."""

    def __init__(self) -> None:
        self.containers: dict[str, Container] = {}
        self.snapshots = 0

    def snapshot(self) -> Snapshot:
        """All containers, and the network."""
        self.snapshots += 1
        return Snapshot(Listed(tuple(self.containers.values())), self.networks())

    def networks(self) -> Listed[Network]:
        """The one network."""
        return Listed((NETWORK,))

    def images(self) -> Mapping[str, Mapping[str, str]]:
        """The one image."""
        return {IMAGE: {}}

    def image_labels(self, image: str) -> Mapping[str, str]:
        """The image's labels."""
        return self.images()[image]

    def container(self, container_id: str) -> Container | None:
        """The container, where it exists."""
        return self.containers.get(container_id)

    def begin(self, _action: EndpointAction) -> PendingResponse | None:
        """Write nothing in advance."""
        return None

    def apply(self, action: EndpointAction, begun: PendingResponse | None = None) -> bool:  # noqa: ARG002
        """Connect a container; no other action is expected."""
        assert isinstance(action, Connect), action
        endpoint = Endpoint(action.network, action.network_id, None, action.address)
        self.containers[action.container_id] = replace(
            self.containers[action.container_id], endpoints=(endpoint,)
        )
        return True

    def unfinished(self, _container_id: str) -> bool:
        """No action is unfinished."""
        return False

    def prune(self, _known: Collection[str]) -> None:
        """Do nothing: there are no unfinished actions."""

    def start(self, container_id: str) -> None:
        """Start a container: its endpoints get the addresses that were requested."""
        container = self.containers[container_id]
        endpoints = tuple(replace(each, address=each.requested) for each in container.endpoints)
        self.containers[container_id] = replace(container, running=True, endpoints=endpoints)

    def stop(self, container_id: str) -> None:
        """Stop a container: its endpoints lose their addresses."""
        container = self.containers[container_id]
        endpoints = tuple(replace(each, address=None) for each in container.endpoints)
        self.containers[container_id] = replace(container, running=False, endpoints=endpoints)


class ContainerChurn:
    """Changes the engine's containers and sends the events to a controller."""

    def __init__(self, engine: FakeEngine, controller: Controller, kernel: Kernel) -> None:
        self._engine, self._controller, self._kernel = engine, controller, kernel

    def run_batch(self, numbers: range) -> None:
        """Create, start, stop and remove containers, and wait for the controller after each step."""
        ids = []
        for number in numbers:
            new = replace(mapped_container(number), running=False, endpoints=())
            ids.append(new.id)
            self._engine.containers[new.id] = new
            self._controller.post(ContainerChanged(new.id, Change.CREATED, new, at=0.0))
        eventually(lambda: all(self._engine.containers[each].endpoints for each in ids), every=POLL_SECONDS)
        for container_id in ids:
            self._engine.start(container_id)
        self._post(ids, Change.ATTACHED, Change.STARTED)
        eventually(lambda: self._entries() == len(ids), every=POLL_SECONDS)
        for container_id in ids:
            self._engine.stop(container_id)
        self._post(ids, Change.DIED, Change.DETACHED)
        self._engine.containers.clear()
        self._post(ids, Change.DESTROYED)
        eventually(lambda: self._entries() == 0, every=POLL_SECONDS)

    def full_pass(self) -> None:
        """Request a full pass, and wait for it."""
        before = self._engine.snapshots
        self._controller.post(ResyncNow())
        eventually(lambda: self._engine.snapshots > before, every=POLL_SECONDS)

    def _post(self, ids: Iterable[str], *changes: Change) -> None:
        for container_id in ids:
            for change in changes:
                self._controller.post(ContainerChanged(container_id, change, at=0.0))

    def _entries(self) -> int:
        return sum(self._kernel.observe().entries.values())


@contextmanager
def running_controller(link: str) -> Iterator[ContainerChurn]:
    """Run a controller, with metrics, on a thread."""
    with tempfile.TemporaryDirectory() as directory:
        state_dir = Path(directory)
        settings = Settings(
            uplinks=(link,), sysctl=False, firewall=FirewallMode.OFF, resync=NEVER, state_dir=state_dir
        )
        engine, kernel, observer = FakeEngine(), Kernel(state_dir), Kernel(state_dir)
        controller = Controller(
            engine,
            engine,
            kernel,
            settings,
            meter=Metrics("::1", 0),
        )
        thread = threading.Thread(target=controller.run)
        thread.start()
        controller.post(Subscribed())
        try:
            yield ContainerChurn(engine, controller, observer)
        finally:
            controller.post(Stop())
            thread.join()
            observer.close()
            kernel.close()


def main(count: str, link: str) -> None:
    """Run all batches, and print the memory after a tenth and after all."""
    total, sizes = int(count), []
    with running_controller(link) as churn:
        for begin in range(0, total, BATCH):
            if begin % PASS_EVERY == 0:
                churn.full_pass()
            churn.run_batch(range(begin, begin + BATCH))
            if begin + BATCH in (total // 10, total):
                sizes.append(resident_megabytes())
    json.dump(sizes, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
