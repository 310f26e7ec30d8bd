"""Probes: run as a program inside a namespace, each notes when something happens that it waits for.

probes.py echo ADDRESS        the first echo reply, to requests that begin before anybody answers
probes.py gone ADDRESS LINK   the end of a proxy entry

Each says `ready` when it is at it, and then the time, in nanoseconds since the epoch.
"""

import select
import socket
import struct
import sys
import time
from ipaddress import IPv6Address

from dockeripv6mapper.kernel.neighbours import ProxyNeighbour, ProxyNeighbours

ECHO_REQUEST = struct.pack("!BBHHH", 128, 0, 0, 0x1D6, 1)
"""Type, code, checksum (the kernel's work), identifier, sequence number: RFC 4443 §4.1."""
ECHO_REPLY_TYPE = 129
PERIOD_SECONDS = 0.001


def await_echo(address: IPv6Address) -> int:
    """When the first echo reply comes from `address`, which is asked a thousand times a second."""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
        sock.setblocking(False)
        print("ready", flush=True)
        while True:
            sock.sendto(ECHO_REQUEST, (str(address), 0))
            deadline = time.monotonic() + PERIOD_SECONDS
            while (left := deadline - time.monotonic()) > 0:
                if not select.select([sock], (), (), left)[0]:
                    continue
                now = time.time_ns()
                message, source = sock.recvfrom(2048)
                if message[0] == ECHO_REPLY_TYPE and IPv6Address(source[0]) == address:
                    return now


def await_end(address: IPv6Address, link: str) -> int:
    """When the proxy entry of `address` is gone."""
    neighbours = ProxyNeighbours()
    entry = ProxyNeighbour(address, socket.if_nametoindex(link))
    print("ready", flush=True)
    while isinstance(neighbours.find([entry])[0], int):
        time.sleep(PERIOD_SECONDS / 4)
    return time.time_ns()


def main(kind: str, address: str, *link: str) -> None:
    """Run one probe."""
    awaited = {"echo": await_echo, "gone": await_end}[kind]
    print(awaited(IPv6Address(address), *link), flush=True)  # type: ignore[operator]


if __name__ == "__main__":
    main(*sys.argv[1:])
