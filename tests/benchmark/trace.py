"""Which modules a container passes through in the daemon: `python -m tests.benchmark.trace` as root.

Two tables for each engine: from the translation of the create event to the written connect request, and from
the translation of the start event to the netlink message that adds the proxy entry.
"""

import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, NamedTuple

import typer
from rich.console import Console
from rich.table import Table

from tests.benchmark.environment import address_suffix, prepare
from tests.benchmark.profiler import SOCKET, Call, read
from tests.lab.__main__ import Engines
from tests.lab.containers import LABEL, endpoints_of, wait_until_mapped
from tests.lab.engines import IMAGE
from tests.lab.hosts import Host
from tests.lab.mapper import Mapper
from tests.lab.prerequisites import missing
from tests.lab.topology import Lab
from tests.lab.waiting import eventually


class Point(NamedTuple):
    """A function of the package, in any module of a subpackage."""

    subpackage: str
    function: str

    def matches(self, call: Call) -> bool:
        """Whether this is a call of that function."""
        return call.function == self.function and call.module.startswith(f"{self.subpackage}.")

    def __str__(self) -> str:
        return f"{self.subpackage}.*.{self.function}"


TRANSLATE = Point("engine", "translate")
"""Begins both paths. Its arguments show the event."""
WRITE_REQUEST = Point("engine", "post")
"""The first path ends at the socket write that follows."""
ADD_PROXY = Point("kernel", "put")
"""The second path ends at the socket write that follows."""
LOOP = "controller.loop"
"""The module whose thread takes events and decides."""

REPETITIONS = 5
"""Containers that are traced. The shortest path of each kind is shown: other work of the same threads makes a
path longer."""

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def main(engine: Annotated[Engines, typer.Option(help="on which engines")] = Engines.ALL) -> None:
    """Trace containers through the daemon; takes down all that it brings up."""
    if lack := missing():
        console.print(f"the trace needs {lack}: run tests/bench as root, which installs it")
        raise typer.Exit(1)
    with Lab(*engine.flavours, purpose="trace", progress=console.print) as lab:
        for host in lab.hosts:
            created, started = trace(host)
            release = host.engine.flavour.release
            console.print(table(f"Docker Engine {release}: create event → connect request", created))
            console.print(table(f"Docker Engine {release}: start event → proxy entry", started))


def trace(host: Host) -> tuple[list[Call], list[Call]]:
    """The calls from a create event to its connect request, and from a start event to its proxy entry."""
    prepare(host)
    with TemporaryDirectory() as directory:
        file = Path(directory) / "calls"
        profiler = (sys.executable, "-m", "tests.benchmark.profiler", str(file), TRANSLATE.function)
        with Mapper(host, level="--info", wrapper=profiler):
            wait_until_mapped(host, "holder", address_suffix(host, "holder"))
            container_ids = [create_and_start(host, f"traced{number}") for number in range(REPETITIONS)]
        calls = read(file)
    created = [path(calls, container_id, "create", WRITE_REQUEST) for container_id in container_ids]
    started = [path(calls, container_id, "start", ADD_PROXY) for container_id in container_ids]
    return min(created, key=len), min(started, key=len)


def create_and_start(host: Host, name: str) -> str:
    """Create a container, start it when it is attached, and remove it when it is mapped; returns its ID."""
    container_id = host.engine.docker("create", "--name", name, *LABEL, IMAGE)
    eventually(lambda: "he_ipv6" in endpoints_of(host, name))
    host.engine.docker("start", name)
    wait_until_mapped(host, name, address_suffix(host, name))
    host.engine.docker("rm", "-f", name)
    return container_id


def path(calls: Sequence[Call], container_id: str, action: str, end: Point) -> list[Call]:
    """The calls from the translation of a container's event to the first socket write after `end`.

    Only on three threads: the first call's, the last call's, and the loop's. Others may inspect containers
    at the same time. Raises `LookupError`.
    """
    event = ("'Type': 'container'", f"'Action': '{action}'", container_id)

    def translates_event(call: Call) -> bool:
        return TRANSLATE.matches(call) and all(each in call.arguments for each in event)

    begin = _first(calls, translates_event, f"{TRANSLATE} of a {action} event")
    entered = begin + _first(calls[begin:], end.matches, str(end))
    thread = calls[entered].thread
    sent = entered + _first(
        calls[entered:], lambda call: call.module == SOCKET and call.thread == thread, f"a socket after {end}"
    )
    window = calls[begin:sent]
    threads = {calls[begin].thread, thread, *(each.thread for each in window if each.module == LOOP)}
    return [each for each in window if each.thread in threads and each.module != SOCKET]


def _first(calls: Sequence[Call], condition: Callable[[Call], bool], description: str) -> int:
    """The index of the first call that meets a condition."""
    for index, call in enumerate(calls):
        if condition(call):
            return index
    raise LookupError(
        f"no call of {description}: was it renamed? Its name is a constant of tests.benchmark.trace"
    )


def changes(calls: Sequence[Call]) -> int:
    """Count changes from one module to another: in each thread by itself, and one from thread to thread."""
    threads = {call.thread: [each.module for each in calls if each.thread == call.thread] for call in calls}
    within = sum(before != after for modules in threads.values() for before, after in pairwise(modules))
    return within + len(threads) - 1


def table(title: str, calls: Sequence[Call]) -> Table:
    """The modules of a path in the order in which they are entered first."""
    modules = {call.module: call for call in reversed(calls)}
    entered = sorted(modules.values())
    shown = Table(
        title=title, caption=f"{len(entered)} modules, {changes(calls)} changes, {len(calls)} calls"
    )
    for heading in ("", "module", "entered by", "calls", "thread"):
        shown.add_column(heading, justify="right" if heading in ("", "calls") else "left")
    for number, call in enumerate(entered, start=1):
        count = sum(each.module == call.module for each in calls)
        shown.add_row(str(number), call.module, call.function, str(count), call.thread)
    return shown


if __name__ == "__main__":
    typer.run(main)
