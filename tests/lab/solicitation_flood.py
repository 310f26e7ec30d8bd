"""Sends neighbour solicitations at a high rate on a link of this namespace, and counts the answers.

python -m tests.lab.solicitation_flood LINK TARGET SECONDS RATE

Prints a JSON object: how many were sent, and how many advertisements came back, by their source address.
"""

import json
import socket
import struct
import sys
import time
from collections import Counter
from ipaddress import IPv6Address

SOLICITATION, ADVERTISEMENT = 135, 136
SOLICITED = 0x40
"""The flags of an answer for a proxy entry: neither R nor O (RFC 4861 §4.4)."""
HOP_LIMIT = 255
ICMP6_FILTER = 1
ONLY_ADVERTISEMENTS = struct.pack("=8I", *(0xFFFFFFFF & ~(1 << 8 if word == 4 else 0) for word in range(8)))
BURST_SECONDS = 0.01


def open_socket(link: str) -> socket.socket:
    """Return a raw ICMPv6 socket that receives advertisements only."""
    raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    raw.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, ONLY_ADVERTISEMENTS)
    raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOP_LIMIT)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    return raw


def main() -> None:
    """Solicit TARGET on LINK at RATE a second, and count the advertisements for it."""
    link, target, seconds, rate = sys.argv[1], IPv6Address(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    with open_socket(link) as raw:
        index = socket.if_nametoindex(link)
        group = IPv6Address(int(IPv6Address("ff02::1:ff00:0")) | int(target) & 0xFFFFFF)
        message = struct.pack("!BBHI16s", SOLICITATION, 0, 0, 0, target.packed)
        began, sent, sources = time.monotonic(), 0, Counter[str]()
        while (elapsed := time.monotonic() - began) < seconds + 0.5:
            while sent < rate * min(elapsed, seconds):
                raw.sendto(message, (str(group), 0, 0, index))
                sent += 1
            count(raw, target, sources)
            time.sleep(BURST_SECONDS)
    json.dump({"sent": sent, "answers": sources}, sys.stdout)


def count(raw: socket.socket, target: IPv6Address, sources: Counter[str]) -> None:
    """Count the answers for the target that have arrived, by source."""
    while True:
        try:
            data, address = raw.recvfrom(1024, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        if data[4] == SOLICITED and data[8:24] == target.packed:
            sources[address[0].partition("%")[0]] += 1


if __name__ == "__main__":
    main()
