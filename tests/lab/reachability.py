"""Continuous reachability probes of an address from the client: pings and TCP connections.

As a program, `python -m tests.lab.reachability ADDRESS PORT`, it probes a TCP echo server in rounds. Each
round uses one persistent and one new connection, and prints one line: its milliseconds, then its errors.
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
"""Timeout of a connection. Less than the 1 s after which the kernel repeats a SYN: a lost SYN fails."""
LATE_MS = 250.0
"""A later reply counts as lost: the router queued the packet until neighbour discovery succeeded."""
SLOW_MS = 190.0
"""Below the 200 ms after which the kernel retransmits a TCP segment (TCP_RTO_MIN)."""
REPLY = re.compile(r"bytes from .*icmp_seq=(\d+) .*time=([0-9.]+) ms")
LONGEST_WAIT = 10.0
"""Seconds."""


class Pings:
    """The replies to `ping_continuously`: one ping every 10 ms."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self._process = process
        self._output = output

    @property
    def answered(self) -> set[int]:
        """Sequence numbers of the requests answered within `LATE_MS`."""
        replies = REPLY.findall(self._output.read_text())
        return {int(number) for number, milliseconds in replies if float(milliseconds) < LATE_MS}

    def wait_for_more(self, count: int = 100) -> None:
        """Wait until `count` more requests were answered."""
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
    """Ping an address from a namespace for the duration of the context."""
    output = workdir / f"pings-{int(address):x}"
    argv = ("ping", "-6", "-n", "-D", "-i", str(PERIOD_SECONDS), str(address))
    with _running(namespace.nsenter(*argv), output) as process:
        pings = Pings(process, output)
        eventually(lambda: pings.answered)
        yield pings


@contextmanager
def flush_continuously(router: Router) -> Iterator[None]:
    """Flush the router's neighbour cache every 50 ms, since it would hide a missing proxy entry.

    Entries in state INCOMPLETE are not flushed: the packets queued for them would be lost.
    """
    states = (word for state in ("reachable", "stale", "delay", "probe") for word in ("nud", state))
    flush = shlex.join(("ip", "-6", "neigh", "flush", "dev", BRIDGE, *states))
    silent = subprocess.DEVNULL
    argv = ("sh", "-c", f"while sleep {FLUSH_SECONDS}; do {flush}; done")
    with router.namespace.popen(*argv, stdout=silent, stderr=silent):
        yield


class Connections:
    """The rounds of `connect_continuously`: one persistent connection, and a new one each round."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self._process = process
        self._output = output

    @property
    def rounds(self) -> list[str]:
        """One line per round: its milliseconds, then its errors."""
        return self._output.read_text().splitlines()

    def wait_for_more(self, count: int = 20) -> None:
        """Wait for `count` more rounds, successful or not."""
        goal = len(self.rounds) + count
        eventually(lambda: len(self.rounds) >= goal, within=LONGEST_WAIT)

    @property
    def failed(self) -> list[str]:
        """The rounds with an error."""
        assert self._process.poll() is None, self._output.read_text()[-1000:]
        return [each for each in self.rounds if " " in each]

    @property
    def slow(self) -> list[str]:
        """The rounds slower than `SLOW_MS`, in which a packet may have been lost."""
        return [each for each in self.rounds if float(each.partition(" ")[0]) > SLOW_MS]


@contextmanager
def connect_continuously(
    namespace: Namespace, address: IPv6Address, port: int, workdir: Path
) -> Iterator[Connections]:
    """Connect to a TCP echo server from a namespace for the duration of the context."""
    output = workdir / f"connections-{int(address):x}-{port}"
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
    """Probe the address and port given as arguments, until killed."""
    server = sys.argv[1], int(sys.argv[2])
    persistent: socket.socket | None = None
    while True:
        started, errors = time.monotonic(), ""
        try:
            persistent = persistent or socket.create_connection(server, ANSWER_SECONDS)
            _echo(persistent)
        except OSError as error:
            errors += f" persistent: {error}"
            persistent = None
        try:
            with socket.create_connection(server, ANSWER_SECONDS) as new:
                _echo(new)
        except OSError as error:
            errors += f" new: {error}"
        sys.stdout.write(f"{(time.monotonic() - started) * 1000:.1f}{errors}\n")
        sys.stdout.flush()
        time.sleep(PERIOD_SECONDS)


def _echo(connection: socket.socket) -> None:
    connection.sendall(b"?")
    if connection.recv(1) != b"?":
        raise ConnectionResetError("connection closed")


if __name__ == "__main__":
    main()
