"""What a row runs on: the lab's hosts, the mapper at a priority, and idle or busy cores."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from dockeripv6mapper.mapping.addressing import hashed_suffix, place
from dockeripv6mapper.settings import Scheme
from tests.lab.containers import LABEL, wait_until_mapped
from tests.lab.engines import IMAGE
from tests.lab.hosts import Host
from tests.lab.mapper import Mapper
from tests.lab.namespaces import Namespace
from tests.lab.router import Router
from tests.lab.topology import Lab
from tests.lab.waiting import eventually

T = TypeVar("T")

PROBES = Path(__file__).with_name("probes.py")

IN_MEMORY = "/dev/shm"  # noqa: S108 - a directory of our own is made there
"""A file system in memory, as /run is where systemd runs."""

UNIT_NICE = -15
"""The niceness that the systemd unit gives the daemon."""
AUTOGROUP = "/proc/self/autogroup"
AT_PRIORITY = f'{{ [ ! -e {AUTOGROUP} ] || echo "$0" >{AUTOGROUP}; }} && exec nice -n "$0" "$@"'
"""Shell script: runs `NICENESS COMMAND…` in the session that `setsid` made. Sessions compete as groups, and a
process's niceness counts within its session only: the group's is set too (sched(7), "The autogroup
feature")."""
OTHER_CONDITIONS_DIVISOR = 4
"""The limits hold for the standard condition; the others get only a fourth of the repetitions."""
WARM_UP = 2
"""Repetitions whose values are discarded."""
NANOSECONDS_PER_MS = 1_000_000
BUSY_LOOP = "while True: pass"


@dataclass(frozen=True, slots=True)
class Condition:
    """The host, priority and load of a measurement."""

    host: Host
    nice: int = UNIT_NICE
    loaded: bool = False
    """Whether other processes of normal priority keep every core busy."""

    @property
    def standard(self) -> bool:
        """Whether the limits hold for it."""
        return self.nice == UNIT_NICE and not self.loaded

    @contextmanager
    def under_load(self) -> Iterator[None]:
        """Keep all cores busy during the context, if `loaded`."""
        if not self.loaded:
            yield
            return
        cores = len(os.sched_getaffinity(0))
        # A signal of the terminal does not reach their sessions: they have to end with this process.
        argv = ("setpriv", "--pdeathsig", "KILL", sys.executable, "-c", BUSY_LOOP)
        busy_processes = [subprocess.Popen(argv, start_new_session=True) for _ in range(cores)]
        try:
            yield
        finally:
            for each in busy_processes:
                each.kill()
                each.wait()

    def __str__(self) -> str:
        load = ", loaded" if self.loaded else ""
        return f"{self.host.engine.flavour.release}, nice {self.nice}{load}"


@dataclass(frozen=True, slots=True)
class Environment:
    """Everything that a row needs."""

    lab: Lab
    hosts: tuple[Host, ...]
    log: Callable[[str], None] = lambda _: None
    smoke_test: bool = False
    """Whether to measure as little as possible, as a test of the rows: standard condition, no warm-up."""
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def router(self) -> Router:
        """The router, which stands for the network outside."""
        return self.lab.router

    def name(self) -> str:
        """A container name, and so an address, that was not used before."""
        return f"bench{next(self._numbers)}"

    def conditions(self) -> Iterator[Condition]:
        """For each host: the standard condition, then normal priority, then busy cores."""
        for host in self.hosts:
            yield Condition(host)
            if not self.smoke_test:
                yield Condition(host, nice=0)
                yield Condition(host, loaded=True)

    def repeat(self, measure: Callable[[], T], n: int, condition: Condition | None = None) -> tuple[T, ...]:
        """Values of `n` repetitions, after a warm-up; fewer where `condition` is not the standard one."""
        if condition is not None and not condition.standard:
            n = max(2, n // OTHER_CONDITIONS_DIVISOR)
        warm_up = 0 if self.smoke_test else WARM_UP
        return tuple([measure() for _ in range(warm_up + n)][warm_up:])

    @contextmanager
    def mapper(self, condition: Condition, *options: str, level: str = "--info") -> Iterator[Mapper]:
        """Run the daemon with these options on a prepared host, under `condition`."""
        self.log(str(condition))
        with ExitStack() as stack:
            prepare(condition.host)
            self.router.flush_neighbours()
            stack.callback(condition.host.reset)
            wrapper = at_priority(condition.nice)
            state = ("--state-dir", stack.enter_context(TemporaryDirectory(dir=IN_MEMORY)))
            mapper = stack.enter_context(
                Mapper(condition.host, *state, *options, level=level, wrapper=wrapper)
            )
            wait_until_mapped(condition.host, "holder", address_suffix(condition.host, "holder"))
            stack.enter_context(condition.under_load())
            yield mapper


def at_priority(nice: int) -> tuple[str, ...]:
    """The prefix that runs a command at a niceness which counts among all processes."""
    return ("setsid", "sh", "-c", AT_PRIORITY, str(nice))


def prepare(host: Host) -> None:
    """Reset a host, create its network, and start the container `holder`, which keeps the bridge up."""
    host.reset()
    host.create_network()
    host.engine.docker("run", "-d", "--name", "holder", *LABEL, IMAGE)


def address_suffix(host: Host, name: str) -> int:
    """The suffix of a name on the host's network."""
    return hashed_suffix(name, host.subnet, Scheme.MD5_24)


def address_of(host: Host, name: str) -> IPv6Address:
    """The address of a name on the host's network."""
    return place(address_suffix(host, name), host.subnet)


def event_time(host: Host, container: str, action: str, since: float) -> int:
    """The `timeNano` of a container's event, from the engine's record of past events.

    `since` is in seconds since the epoch.
    """
    filters = ("--filter", f"container={container}", "--filter", f"event={action}")
    window = ("--since", f"{since:.9f}", "--until", f"{time.time():.9f}")

    def recorded() -> list[str]:
        return host.engine.docker("events", *window, *filters, "--format", "{{json .}}").splitlines()

    return int(json.loads(eventually(recorded)[0])["timeNano"])


@contextmanager
def probe(namespace: Namespace, *argv: str, nice: int = 0) -> Iterator[Callable[[], int]]:
    """Run a probe. Yields a function that waits for its end and returns the time that it printed."""
    command = (*at_priority(nice), sys.executable, str(PROBES), *argv)
    with namespace.popen(*command, stderr=sys.stderr) as process:
        stdout = process.stdout
        assert stdout is not None
        assert stdout.readline() == "ready\n", f"the probe {' '.join(argv)} ended"
        yield lambda: int(stdout.readline())
