"""A vigil: what the router sees of an address from one moment to another, with nothing left out.

Run as a program, `python -m tests.lab.reachability ADDRESS PORT`, it keeps one connection to an echo and
makes a new one each turn. It prints the milliseconds that a turn took, and what failed in it.
"""

import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address
from pathlib import Path

from tests.lab.namespaces import Namespace
from tests.lab.prerequisites import CHECKOUT
from tests.lab.router import BRIDGE, Router
from tests.lab.waiting import eventually

PERIOD_SECONDS = 0.01
FLUSH_SECONDS = 0.05
LOST_BY_FLUSHING = 1
"""Maximum number of packets lost because of `flush_continuously` itself. The kernel deletes a neighbour in
two steps (`neigh_delete` in `net/core/neighbour.c`). A packet queued between the two steps is dropped."""
ANSWER_SECONDS = 0.9
"""Less than the second after which the kernel repeats what asks for a new connection, so a loss shows."""
LATE_MS = 250.0
"""A reply that comes later is one to a packet that the router had to keep until a neighbour answered."""
SLOW_MS = 190.0
"""Below the 200 ms after which the kernel repeats what a connection has sent."""
REPLY = re.compile(r"bytes from .*icmp_seq=(\d+) .*time=([0-9.]+) ms")
LONGEST_WAIT = 10.0


class Pings:
    """A ping every 10 ms, from `ping_continuously` on."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self._process = process
        self._output = output

    @property
    def answered(self) -> set[int]:
        """The sequence numbers of the requests that were answered in time."""
        replies = REPLY.findall(self._output.read_text())
        return {int(number) for number, milliseconds in replies if float(milliseconds) < LATE_MS}

    def wait_for_more(self, count: int = 100) -> None:
        """Wait until so many more were answered."""
        goal = max(self.answered, default=0) + count
        eventually(
            lambda: max(self.answered, default=0) >= goal, within=LONGEST_WAIT + count * PERIOD_SECONDS
        )

    @property
    def lost(self) -> list[int]:
        """Sequence numbers without an answer, up to the last that has one. Call `wait_for_more` first."""
        answered = self.answered
        assert self._process.poll() is None, self._output.read_text()[-1000:]
        return sorted(set(range(1, max(answered) + 1)) - answered)


@contextmanager
def ping_continuously(namespace: Namespace, address: IPv6Address, workdir: Path) -> Iterator[Pings]:
    """Ping an address meanwhile."""
    output = workdir / f"pings-{int(address):x}"
    argv = ("ping", "-6", "-n", "-D", "-i", str(PERIOD_SECONDS), str(address))
    with _running(namespace.nsenter(*argv), output) as process:
        pings = Pings(process, output)
        eventually(lambda: pings.answered)
        yield pings


@contextmanager
def flush_continuously(router: Router) -> Iterator[None]:
    """Have the router ask for each neighbour again and again meanwhile, whose cache would hide a lost entry.

    What it has just asked for is left alone: the packets that wait for the answer would be lost with it.
    """
    known = (word for state in ("reachable", "stale", "delay", "probe") for word in ("nud", state))
    flush = shlex.join(("ip", "-6", "neigh", "flush", "dev", BRIDGE, *known))
    silent = subprocess.DEVNULL
    argv = ("sh", "-c", f"while sleep {FLUSH_SECONDS}; do {flush}; done")
    with router.namespace.popen(*argv, stdout=silent, stderr=silent):
        yield


class Connections:
    """One connection to a port that is kept, and new ones all the time, from `connect_continuously` on."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self._process = process
        self._output = output

    @property
    def rounds(self) -> list[str]:
        """The milliseconds that each took, and what did not go well."""
        return self._output.read_text().splitlines()

    def wait_for_more(self, count: int = 20) -> None:
        """Wait for so many more turns, whatever comes of them."""
        goal = len(self.rounds) + count
        eventually(lambda: len(self.rounds) >= goal, within=LONGEST_WAIT)

    @property
    def failed(self) -> list[str]:
        """The turns in which something did not go well."""
        assert self._process.poll() is None, self._output.read_text()[-1000:]
        return [turn for turn in self.rounds if " " in turn]

    @property
    def slow(self) -> list[str]:
        """The turns in which a packet may have been lost."""
        return [turn for turn in self.rounds if float(turn.partition(" ")[0]) > SLOW_MS]


@contextmanager
def connect_continuously(
    namespace: Namespace, address: IPv6Address, port: int, workdir: Path
) -> Iterator[Connections]:
    """Visit an echo meanwhile."""
    output = workdir / f"visits-{int(address):x}-{port}"
    argv = (sys.executable, "-m", "tests.lab.reachability", str(address), str(port))
    with _running(namespace.nsenter(*argv), output) as process:
        yield Connections(process, output)


@contextmanager
def _running(argv: tuple[str, ...], output: Path) -> Iterator[subprocess.Popen[bytes]]:
    with output.open("wb") as file:
        process = subprocess.Popen(argv, cwd=CHECKOUT, stdout=file, stderr=subprocess.STDOUT)
    with process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def main() -> None:
    """Visit what the command line names, until killed."""
    place = sys.argv[1], int(sys.argv[2])
    kept: socket.socket | None = None
    while True:
        began, failed = time.monotonic(), ""
        try:
            kept = kept or socket.create_connection(place, ANSWER_SECONDS)
            _echo(kept)
        except OSError as error:
            failed += f" kept: {error}"
            kept = None
        try:
            with socket.create_connection(place, ANSWER_SECONDS) as new:
                _echo(new)
        except OSError as error:
            failed += f" new: {error}"
        sys.stdout.write(f"{(time.monotonic() - began) * 1000:.1f}{failed}\n")
        sys.stdout.flush()
        time.sleep(PERIOD_SECONDS)


def _echo(connection: socket.socket) -> None:
    connection.sendall(b"?")
    if connection.recv(1) != b"?":
        raise ConnectionResetError("it was closed")


if __name__ == "__main__":
    main()
