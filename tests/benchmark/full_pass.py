"""A program that measures full passes which change nothing: run in a host's namespace.

python -m tests.benchmark.full_pass COUNT LINK [ENGINE]

Prints JSON: wall and CPU time of each pass in ms, and the memory of the process in MB after it. The
containers are those of the engine at the URL ENGINE; without it, COUNT running, mapped containers of a fake
engine. The kernel is the real one, with the proxy entries of these containers.
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
    labels={"ipv6.mapper.scheme": "wide"},  # among so many, two would have the same `md5-24` suffix
)
IMAGE = "sha256:" + "1" * 64
REPETITIONS = 15
MS = 1000
NEVER = 86400.0
"""Seconds between two periodic full passes: longer than the program runs."""


@dataclass(frozen=True, slots=True)
class FakeEngine:
    """An engine with a fixed list, which is never asked to change anything."""

    containers_and_networks: Snapshot
    labels: Mapping[str, Mapping[str, str]]

    def snapshot(self) -> Snapshot:
        """All containers and networks."""
        return self.containers_and_networks

    def networks(self) -> Listed[Network]:
        """Its networks."""
        return self.containers_and_networks.networks

    def images(self) -> Mapping[str, Mapping[str, str]]:
        """Its images."""
        return self.labels

    def image_labels(self, image: str) -> Mapping[str, str]:
        """An image's labels."""
        return self.labels[image]

    def container(self, container_id: str) -> Container | None:
        """One of its containers."""
        return next(
            (each for each in self.containers_and_networks.containers.items if each.id == container_id), None
        )


class UnusedEndpoints:
    """Endpoints that need no change."""

    def begin(self, _action: EndpointAction) -> PendingResponse | None:
        """Write nothing in advance."""
        return None

    def apply(self, action: EndpointAction, begun: PendingResponse | None = None) -> bool:  # noqa: ARG002
        """Fail: only passes that change nothing are measured."""
        raise AssertionError(f"the pass changes something: {action}")

    def unfinished(self, _container_id: str) -> bool:
        """No action is unfinished."""
        return False

    def prune(self, _known: Collection[str]) -> None:
        """Do nothing: there are no unfinished actions."""


class PassMeter(Meter):
    """Collects the durations of full passes."""

    def __init__(self) -> None:
        self.durations: SimpleQueue[float] = SimpleQueue()

    def passed(self, seconds: float, *, whole: bool) -> None:
        """Put the duration of a full pass into the queue."""
        if whole:
            self.durations.put(seconds)


def mapped_container(number: int) -> Container:
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
    """Resident memory of this process in MB (`VmRSS`, proc_pid_status(5))."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def measure(lists: EngineLists, link: str) -> dict[str, list[float]]:
    """Make full passes. Returns wall time and CPU time of each in ms, and the memory after it in MB."""
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
        full_passes.durations.get()
        samples: dict[str, list[float]] = {"wall": [], "cpu": [], "rss": []}
        for _ in range(REPETITIONS):
            began, cpu = time.perf_counter(), time.process_time()
            controller.post(ResyncNow())
            full_passes.durations.get()
            samples["cpu"].append((time.process_time() - cpu) * MS)
            samples["wall"].append((time.perf_counter() - began) * MS)
            samples["rss"].append(resident_megabytes())
        controller.post(Stop())
        thread.join()
        kernel.remove_proxies([entry for entry, ours in kernel.observe().entries.items() if ours])
        kernel.close()
    return samples


def main(count: str, link: str, *engine: str) -> None:
    """Measure, and print the samples."""
    lists: EngineLists
    if engine:
        lists = Client(engine[0])
    else:
        containers = tuple(map(mapped_container, range(int(count))))
        lists = FakeEngine(Snapshot(Listed(containers), Listed((NETWORK,))), {IMAGE: {}})
    json.dump(measure(lists, link), sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
