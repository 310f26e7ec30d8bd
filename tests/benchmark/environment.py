"""The stage: what a row plays on: the lab's hosts, the mapper at a priority, a machine under load."""

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
"""The priority that the systemd unit gives the daemon: as niceness, and as the unit's weight."""
AUTOGROUP = "/proc/self/autogroup"
AT_PRIORITY = f'{{ [ ! -e {AUTOGROUP} ] || echo "$0" >{AUTOGROUP}; }} && exec nice -n "$0" "$@"'
"""Runs a command at a priority, as a session: sessions compete as groups, as units do under systemd, and a
process's own niceness counts within one alone (sched(7), "The autogroup feature")."""
VARIATION = 4
"""The part of the repetitions that other conditions get than the one that the targets are for."""
WARM_UP = 2
"""Repetitions that do not count."""
NANOSECONDS_PER_MS = 1_000_000
SPIN = "while True: pass"


@dataclass(frozen=True, slots=True)
class Condition:
    """What a row is repeated under."""

    host: Host
    nice: int = UNIT_NICE
    loaded: bool = False
    """Whether every core is kept busy by somebody else, at the priority of any process."""

    @property
    def standard(self) -> bool:
        """Whether it is the one that the targets are for."""
        return self.nice == UNIT_NICE and not self.loaded

    @contextmanager
    def under_load(self) -> Iterator[None]:
        """The machine busy for as long as the context lasts, if that is what is asked for."""
        if not self.loaded:
            yield
            return
        cores = len(os.sched_getaffinity(0))
        # They end with us however we end, since their session is not the terminal's.
        argv = ("setpriv", "--pdeathsig", "KILL", sys.executable, "-c", SPIN)
        spinners = [subprocess.Popen(argv, start_new_session=True) for _ in range(cores)]
        try:
            yield
        finally:
            for each in spinners:
                each.kill()
                each.wait()

    def __str__(self) -> str:
        load = ", loaded" if self.loaded else ""
        return f"{self.host.engine.flavour.release}, nice {self.nice}{load}"


@dataclass(frozen=True, slots=True)
class Environment:
    """Where all rows play."""

    lab: Lab
    hosts: tuple[Host, ...]
    say: Callable[[str], None] = lambda _: None
    smoke_test: bool = False
    """Whether it is only to be seen that each row can be measured: the usual condition, without warm-up."""
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def router(self) -> Router:
        """The world outside."""
        return self.lab.router

    def name(self) -> str:
        """A container's name that was not used yet, so that its address was not either."""
        return f"bench{next(self._numbers)}"

    def conditions(self) -> Iterator[Condition]:
        """Every host at the unit's priority on a quiet machine, then at none, then under load."""
        for host in self.hosts:
            yield Condition(host)
            if not self.smoke_test:
                yield Condition(host, nice=0)
                yield Condition(host, loaded=True)

    def repeat(self, measure: Callable[[], T], n: int, condition: Condition | None = None) -> tuple[T, ...]:
        """The values of `n` repetitions, after some that do not count; of fewer where it is unusual."""
        if condition is not None and not condition.standard:
            n = max(2, n // VARIATION)
        warm_up = 0 if self.smoke_test else WARM_UP
        return tuple([measure() for _ in range(warm_up + n)][warm_up:])

    @contextmanager
    def mapper(self, condition: Condition, *, level: str = "--info") -> Iterator[Mapper]:
        """The daemon at work, on a host whose bridge is up."""
        self.say(str(condition))
        with ExitStack() as stack:
            prepare(condition.host)
            self.router.flush_neighbours()
            stack.callback(condition.host.reset)
            wrapper = at_priority(condition.nice)
            state = ("--state-dir", stack.enter_context(TemporaryDirectory(dir=IN_MEMORY)))
            mapper = stack.enter_context(Mapper(condition.host, *state, level=level, wrapper=wrapper))
            wait_until_mapped(condition.host, "holder", address_suffix(condition.host, "holder"))
            stack.enter_context(condition.under_load())
            yield mapper


def at_priority(nice: int) -> tuple[str, ...]:
    """What has a command run at a priority among all processes."""
    return ("setsid", "sh", "-c", AT_PRIORITY, str(nice))


def prepare(host: Host) -> None:
    """A host with the network `he_ipv6`, whose bridge a container keeps up, and nothing else."""
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
    """The `timeNano` of a container's event of some seconds ago, as the engine recorded it.

    `since` is in seconds since the epoch.
    """
    filters = ("--filter", f"container={container}", "--filter", f"event={action}")
    window = ("--since", f"{since:.9f}", "--until", f"{time.time():.9f}")

    def recorded() -> list[str]:
        return host.engine.docker("events", *window, *filters, "--format", "{{json .}}").splitlines()

    return int(json.loads(eventually(recorded)[0])["timeNano"])


@contextmanager
def probe(namespace: Namespace, *argv: str, nice: int = 0) -> Iterator[Callable[[], int]]:
    """A probe at work; yields what waits for its end, and returns the time that it noted."""
    command = (*at_priority(nice), sys.executable, str(PROBES), *argv)
    with namespace.popen(*command, stderr=sys.stderr) as process:
        stdout = process.stdout
        assert stdout is not None
        assert stdout.readline() == "ready\n", f"the probe {' '.join(argv)} ended"
        yield lambda: int(stdout.readline())
