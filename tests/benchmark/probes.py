"""Probes: programs that wait for one thing in a namespace of the lab, and print when it happened.

probes.py echo ADDRESS…       every address has answered a ping
probes.py gone ADDRESS LINK   the proxy entry was removed
probes.py closed ADDRESS PORT   a TCP port no longer answers, after it has answered
probes.py create SOCKET NAME  the engine's create event of this container has arrived on the raw socket

Each prints `ready` once it waits, and then the time in nanoseconds since the epoch.
"""

import select
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from errno import EAGAIN, ENOBUFS
from ipaddress import IPv6Address

from dockeripv6mapper.kernel.proxies import ProxyNeighbour, ProxyNeighbours

ECHO_REQUEST = struct.pack("!BBHHH", 128, 0, 0, 0x1D6, 1)
"""Type, code, checksum (the kernel's work), identifier, sequence number: RFC 4443 §4.1."""
ECHO_REPLY_TYPE = 129
READ_BYTES = 65536
PERIOD_SECONDS = 0.001
NEVER_OPEN_SECONDS = 3.0
SILENCE_NANOSECONDS = 100_000_000
"""Without an answer for this time, a packet counts as dropped: in the lab an answer takes less than 1 ms."""
TIMEOUT_SECONDS = 60.0
"""More than any measured time."""


def await_echo(*addresses: str) -> int:
    """Ping the addresses in turn, one a millisecond. Return when the last of them has answered once."""
    unanswered = deque(map(IPv6Address, addresses))
    end = time.monotonic() + TIMEOUT_SECONDS
    last = 0
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
        print("ready", flush=True)
        while unanswered:
            if time.monotonic() > end:
                raise TimeoutError(f"no answer from {', '.join(map(str, unanswered))}")
            unanswered.rotate()
            try:
                sock.sendto(ECHO_REQUEST, (str(unanswered[0]), 0))
            except OSError as error:
                # The queues are full of packets for neighbours that do not answer yet.
                if error.errno not in (EAGAIN, ENOBUFS):
                    raise
            deadline = time.monotonic() + PERIOD_SECONDS
            while unanswered and (left := deadline - time.monotonic()) > 0:
                if not select.select([sock], (), (), left)[0]:
                    continue
                now = time.time_ns()
                message, source = sock.recvfrom(2048)
                address = IPv6Address(source[0])
                if message[0] == ECHO_REPLY_TYPE and address in unanswered:
                    unanswered.remove(address)
                    last = now
    return last


def await_removal(address: str, link: str) -> int:
    """Poll the kernel until it has no proxy entry of `address`."""
    neighbours = ProxyNeighbours()
    entry = ProxyNeighbour(IPv6Address(address), socket.if_nametoindex(link))
    print("ready", flush=True)
    while isinstance(neighbours.find([entry])[0], int):
        time.sleep(PERIOD_SECONDS / 4)
    return time.time_ns()


def await_closed(address: str, port: str) -> int:
    """Begin a connection every millisecond. Return when the first one began that followed the last answer.

    Not one after the other: a port may be open for less time than it takes to notice a lost packet. Return
    0 where no connection was answered: the port was open for less than this process waited for a core.
    """
    print("ready", flush=True)
    end = time.monotonic() + NEVER_OPEN_SECONDS
    began: dict[int, tuple[int, socket.socket]] = {}
    poll, last_answered = select.poll(), 0
    while last_answered or time.monotonic() < end:
        now = time.time_ns()
        for number, (at, sock) in list(began.items()):
            if now - at > SILENCE_NANOSECONDS:
                if 0 < last_answered < at:
                    return at
                poll.unregister(number)
                sock.close()
                del began[number]
        sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        with suppress(BlockingIOError):
            sock.connect((address, int(port)))
        began[sock.fileno()] = (now, sock)
        poll.register(sock, select.POLLOUT)
        for number, _ in poll.poll(PERIOD_SECONDS * 1000):
            poll.unregister(number)
            at, sock = began.pop(number)
            sock.close()
            last_answered = max(last_answered, at)
    return 0


def await_create(path: str, name: str) -> int:
    """Read the event stream until the create event of the container `name`."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(b"GET /events HTTP/1.1\r\nHost: docker\r\n\r\n")
        sock.recv(READ_BYTES)
        print("ready", flush=True)
        while data := sock.recv(READ_BYTES):
            now = time.time_ns()
            if b'"create"' in data and f'"name":"{name}"'.encode() in data:
                return now
    raise EOFError(f"the event stream of {path} has ended")


PROBES: Mapping[str, Callable[..., int]] = {
    "echo": await_echo,
    "gone": await_removal,
    "closed": await_closed,
    "create": await_create,
}

if __name__ == "__main__":
    print(PROBES[sys.argv[1]](*sys.argv[2:]), flush=True)
