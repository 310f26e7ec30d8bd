"""A controller through many lifetimes of containers: run as a program in a host's namespace.

python -m tests.benchmark.churn COUNT LINK

Prints, as JSON, the memory of the process in MB after a tenth of COUNT lifetimes and after all of them.
Each container is created, connected, started, proxied, dies and is removed, some at a time; the engine is
a fake, the kernel the real one. Full passes come in between, as they do with time.
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
from tests.benchmark.full_pass import IMAGE, NETWORK, NEVER, container, resident_megabytes
from tests.lab.waiting import eventually

AT_A_TIME = 10
PASS_EVERY = 100
"""Lifetimes between two full passes."""
STEP = 0.002
"""Seconds between two looks whether a step is done."""


class FakeEngine:
    """An engine whose containers come and go."""

    def __init__(self) -> None:
        self.there: dict[str, Container] = {}
        self.snapshots = 0

    def snapshot(self) -> Snapshot:
        """All that is there."""
        self.snapshots += 1
        return Snapshot(Listed(tuple(self.there.values())), self.networks())

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
        """One of them."""
        return self.there.get(container_id)

    def begin(self, _action: EndpointAction) -> PendingResponse | None:
        """Write nothing in advance."""
        return None

    def apply(self, action: EndpointAction, begun: PendingResponse | None = None) -> bool:  # noqa: ARG002
        """Connect a container."""
        assert isinstance(action, Connect), action
        endpoint = Endpoint(action.network, action.network_id, None, action.address)
        self.there[action.container_id] = replace(self.there[action.container_id], endpoints=(endpoint,))
        return True

    def unfinished(self, _container_id: str) -> bool:
        """Nothing is."""
        return False

    def prune(self, _known: Collection[str]) -> None:
        """There is nothing to forget."""

    def start(self, container_id: str) -> None:
        """Have a container run, at the addresses that it was connected at."""
        found = self.there[container_id]
        endpoints = tuple(replace(each, address=each.requested) for each in found.endpoints)
        self.there[container_id] = replace(found, running=True, endpoints=endpoints)

    def stop(self, container_id: str) -> None:
        """Have it run no more."""
        found = self.there[container_id]
        endpoints = tuple(replace(each, address=None) for each in found.endpoints)
        self.there[container_id] = replace(found, running=False, endpoints=endpoints)


class ContainerChurn:
    """Leads containers through their lives, in front of a controller."""

    def __init__(self, engine: FakeEngine, controller: Controller, kernel: Kernel) -> None:
        self._engine, self._controller, self._kernel = engine, controller, kernel

    def run_batch(self, numbers: range) -> None:
        """Lead some of them from creation to removal."""
        ids = []
        for number in numbers:
            new = replace(container(number), running=False, endpoints=())
            ids.append(new.id)
            self._engine.there[new.id] = new
            self._controller.post(ContainerChanged(new.id, Change.CREATED, new, at=0.0))
        eventually(lambda: all(self._engine.there[each].endpoints for each in ids), every=STEP)
        for container_id in ids:
            self._engine.start(container_id)
        self._tell(ids, Change.ATTACHED, Change.STARTED)
        eventually(lambda: self._entries() == len(ids), every=STEP)
        for container_id in ids:
            self._engine.stop(container_id)
        self._tell(ids, Change.DIED, Change.DETACHED)
        self._engine.there.clear()
        self._tell(ids, Change.DESTROYED)
        eventually(lambda: self._entries() == 0, every=STEP)

    def full_pass(self) -> None:
        """Have a full pass made."""
        before = self._engine.snapshots
        self._controller.post(ResyncNow())
        eventually(lambda: self._engine.snapshots > before, every=STEP)

    def _tell(self, ids: Iterable[str], *changes: Change) -> None:
        for container_id in ids:
            for change in changes:
                self._controller.post(ContainerChanged(container_id, change, at=0.0))

    def _entries(self) -> int:
        return sum(self._kernel.observe().entries.values())


@contextmanager
def running_controller(link: str) -> Iterator[ContainerChurn]:
    """A controller at work, with metrics as they are counted."""
    with tempfile.TemporaryDirectory() as directory:
        state_dir = Path(directory)
        settings = Settings(
            uplinks=(link,), sysctl=False, firewall=FirewallMode.OFF, resync=NEVER, state_dir=state_dir
        )
        engine, kernel, seen = FakeEngine(), Kernel(state_dir), Kernel(state_dir)
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
            yield ContainerChurn(engine, controller, seen)
        finally:
            controller.post(Stop())
            thread.join()
            seen.close()
            kernel.close()


def main(count: str, link: str) -> None:
    """Lead so many lives, and print the two sizes."""
    total, sizes = int(count), []
    with running_controller(link) as churn:
        for begin in range(0, total, AT_A_TIME):
            if begin % PASS_EVERY == 0:
                churn.full_pass()
            churn.run_batch(range(begin, begin + AT_A_TIME))
            if begin + AT_A_TIME in (total // 10, total):
                sizes.append(resident_megabytes())
    json.dump(sizes, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
