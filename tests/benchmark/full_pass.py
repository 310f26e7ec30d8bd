"""A controller as it stands with many containers: run as a program in a host's namespace.

python -m tests.benchmark.full_pass COUNT LINK [ENGINE]

Prints, as JSON, what one full pass takes that changes nothing, in ms of wall and of CPU time, and how
much memory the process has then. With the URL of an engine, what that lists is observed; without, COUNT
running containers that are mapped already. The kernel is the real one, with their entries in its table.
"""

import json
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Network
from pathlib import Path
from queue import SimpleQueue

from dockeripv6mapper.actions import EndpointAction
from dockeripv6mapper.controller.interfaces import EngineLists
from dockeripv6mapper.controller.loop import Controller
from dockeripv6mapper.controller.observers import Meter
from dockeripv6mapper.controller.queue import ResyncNow, Stop
from dockeripv6mapper.engine.client import Client, Snapshot
from dockeripv6mapper.engine.events import Subscribed
from dockeripv6mapper.engine.http import PendingResponse
from dockeripv6mapper.engine.listed import Listed
from dockeripv6mapper.kernel.host import Kernel
from dockeripv6mapper.mapping.addressing import hashed_suffix, place
from dockeripv6mapper.model import Container, Endpoint, Network
from dockeripv6mapper.settings import FirewallMode, Scheme, Settings

SUBNET = IPv6Network("2001:db8:103:7::/80")
NETWORK = Network(
    id="0" * 64,
    name="he_ipv6",
    driver="bridge",
    subnets=(SUBNET,),
    gateways=frozenset({SUBNET[1]}),
    labels={"ipv6.mapper.scheme": "wide"},  # of so many, some would have one `md5-24` suffix
)
IMAGE = "sha256:" + "1" * 64
REPETITIONS = 15
MS = 1000
NEVER = 86400.0
"""Seconds between two passes that nobody asked for."""


@dataclass(frozen=True, slots=True)
class FakeEngine:
    """An engine that lists what it was given, and has nothing asked of it."""

    listed: Snapshot
    labels: Mapping[str, Mapping[str, str]]

    def snapshot(self) -> Snapshot:
        """All of it."""
        return self.listed

    def networks(self) -> Listed[Network]:
        """Its networks."""
        return self.listed.networks

    def images(self) -> Mapping[str, Mapping[str, str]]:
        """Its images."""
        return self.labels

    def image_labels(self, image: str) -> Mapping[str, str]:
        """An image's labels."""
        return self.labels[image]

    def container(self, container_id: str) -> Container | None:
        """One of its containers."""
        return next((each for each in self.listed.containers.items if each.id == container_id), None)


class UnusedEndpoints:
    """Endpoints that are right as they are."""

    def begin(self, _action: EndpointAction) -> PendingResponse | None:
        """Write nothing in advance."""
        return None

    def apply(self, action: EndpointAction, begun: PendingResponse | None = None) -> bool:  # noqa: ARG002
        """Fail: a pass that does something is not the one to measure."""
        raise AssertionError(f"not a pass that changes nothing: {action}")

    def unfinished(self, _container_id: str) -> bool:
        """Nothing is."""
        return False

    def prune(self, _known: Collection[str]) -> None:
        """There is nothing to forget."""


class PassMeter(Meter):
    """Tells of each full pass that was made."""

    def __init__(self) -> None:
        self.made: SimpleQueue[float] = SimpleQueue()

    def passed(self, seconds: float, *, whole: bool) -> None:
        """Put the duration of a full pass into the queue."""
        if whole:
            self.made.put(seconds)


def container(number: int) -> Container:
    """A running container that is mapped."""
    name = f"container{number}"
    address = place(hashed_suffix(name, SUBNET, Scheme.WIDE), SUBNET)
    return Container(
        id=f"{number:064x}",
        name=name,
        labels={"ipv6.mapper.network": "he_ipv6"},
        image=IMAGE,
        created=number,
        running=True,
        network_mode="bridge",
        endpoints=(Endpoint("he_ipv6", NETWORK.id, address, address),),
    )


def resident_megabytes() -> float:
    """How much memory this process has now (`VmRSS`, proc_pid_status(5))."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def measure(lists: EngineLists, link: str) -> dict[str, list[float]]:
    """Full passes after the first, each with its duration, its CPU time, and the memory after it."""
    full_passes = PassMeter()
    with tempfile.TemporaryDirectory() as state_dir:
        settings = Settings(
            uplinks=(link,),
            sysctl=False,
            firewall=FirewallMode.OFF,
            resync=NEVER,
            state_dir=Path(state_dir),
        )
        kernel = Kernel(settings.state_dir)
        controller = Controller(
            lists,
            UnusedEndpoints(),
            kernel,
            settings,
            meter=full_passes,
        )
        thread = threading.Thread(target=controller.run)
        thread.start()
        controller.post(Subscribed())
        full_passes.made.get()
        found: dict[str, list[float]] = {"wall": [], "cpu": [], "rss": []}
        for _ in range(REPETITIONS):
            began, cpu = time.perf_counter(), time.process_time()
            controller.post(ResyncNow())
            full_passes.made.get()
            found["cpu"].append((time.process_time() - cpu) * MS)
            found["wall"].append((time.perf_counter() - began) * MS)
            found["rss"].append(resident_megabytes())
        controller.post(Stop())
        thread.join()
        kernel.remove_proxies([entry for entry, ours in kernel.observe().entries.items() if ours])
        kernel.close()
    return found


def main(count: str, link: str, *engine: str) -> None:
    """Measure, and print what was found."""
    lists: EngineLists
    if engine:
        lists = Client(engine[0])
    else:
        containers = tuple(map(container, range(int(count))))
        lists = FakeEngine(Snapshot(Listed(containers), Listed((NETWORK,))), {IMAGE: {}})
    json.dump(measure(lists, link), sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
