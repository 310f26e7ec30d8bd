"""Probes: run as a program inside a namespace, each notes when something happens that it waits for.

probes.py echo ADDRESS…       the first echo reply of the last of them, asked before anybody answers
probes.py gone ADDRESS LINK   the end of a proxy entry
probes.py create SOCKET NAME  an engine's create event of a container, read with nothing in between

Each says `ready` when it is at it, and then the time, in nanoseconds since the epoch.
"""

import select
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from errno import EAGAIN, ENOBUFS
from ipaddress import IPv6Address

from dockeripv6mapper.kernel.proxies import ProxyNeighbour, ProxyNeighbours

ECHO_REQUEST = struct.pack("!BBHHH", 128, 0, 0, 0x1D6, 1)
"""Type, code, checksum (the kernel's work), identifier, sequence number: RFC 4443 §4.1."""
ECHO_REPLY_TYPE = 129
READ_BYTES = 65536
PERIOD_SECONDS = 0.001
TIMEOUT_SECONDS = 60.0
"""How long an answer is waited for: whatever is measured takes less."""


def await_echo(*addresses: str) -> int:
    """When the last of `addresses` answers for the first time; they are asked in turn, one a millisecond."""
    silent = deque(map(IPv6Address, addresses))
    end = time.monotonic() + TIMEOUT_SECONDS
    last = 0
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
        print("ready", flush=True)
        while silent:
            if time.monotonic() > end:
                raise TimeoutError(f"no answer from {', '.join(map(str, silent))}")
            silent.rotate()
            try:
                sock.sendto(ECHO_REQUEST, (str(silent[0]), 0))
            except OSError as error:
                # What waits for neighbours that do not answer yet fills the queues.
                if error.errno not in (EAGAIN, ENOBUFS):
                    raise
            deadline = time.monotonic() + PERIOD_SECONDS
            while silent and (left := deadline - time.monotonic()) > 0:
                if not select.select([sock], (), (), left)[0]:
                    continue
                now = time.time_ns()
                message, source = sock.recvfrom(2048)
                address = IPv6Address(source[0])
                if message[0] == ECHO_REPLY_TYPE and address in silent:
                    silent.remove(address)
                    last = now
    return last


def await_removal(address: str, link: str) -> int:
    """When the proxy entry of `address` is gone."""
    neighbours = ProxyNeighbours()
    entry = ProxyNeighbour(IPv6Address(address), socket.if_nametoindex(link))
    print("ready", flush=True)
    while isinstance(neighbours.find([entry])[0], int):
        time.sleep(PERIOD_SECONDS / 4)
    return time.time_ns()


def await_create(path: str, name: str) -> int:
    """When the create event of the container `name` is there, on an engine's local socket."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(b"GET /events HTTP/1.1\r\nHost: docker\r\n\r\n")
        sock.recv(READ_BYTES)
        print("ready", flush=True)
        while heard := sock.recv(READ_BYTES):
            now = time.time_ns()
            if b'"create"' in heard and f'"name":"{name}"'.encode() in heard:
                return now
    raise EOFError(f"{path} ended its events")


PROBES: Mapping[str, Callable[..., int]] = {"echo": await_echo, "gone": await_removal, "create": await_create}

if __name__ == "__main__":
    print(PROBES[sys.argv[1]](*sys.argv[2:]), flush=True)
