"""A router's advertisements: sent at an interval, and in answer to solicitations (RFC 4861 §6.2).

python -m tests.lab.router_advertiser LINK [--interval S] [--lifetime S] [--prefix P] [--silent]

Prints `ready` when the first advertisement is out, and then one line for each solicitation that came. At
SIGTERM a last advertisement with a lifetime of zero takes the default route back (§6.2.5).
"""

import argparse
import fcntl
import selectors
import signal
import socket
import struct
import sys
import time
from ipaddress import IPv6Network

SOLICITATION_TYPE, ADVERTISEMENT_TYPE = 133, 134
ADVERTISEMENT = struct.Struct("!BBHBBHII")
"""Type, code, checksum, hop limit, flags, router lifetime, reachable time, retransmission timer (§4.2)."""
SOURCE_LINK_LAYER = struct.Struct("!BB6s")
PREFIX_INFORMATION = struct.Struct("!BBBBIII16s")
"""Type, length, prefix length, flags, valid and preferred lifetime, reserved, prefix (§4.6.2)."""
ON_LINK_AND_AUTONOMOUS = 0xC0
LIFETIME = 1800
ALL_NODES, ALL_ROUTERS = "ff02::1", "ff02::2"
HOP_LIMIT = 255
ICMP6_FILTER = 1
SIOCGIFHWADDR = 0x8927
IFREQ = struct.Struct("16s24s")
HARDWARE_ADDRESS = slice(2, 8)
"""In a `struct sockaddr`, behind its family."""


def advertisement(mac: bytes, lifetime: int, prefix: IPv6Network | None) -> bytes:
    """A Router Advertisement; the kernel fills in its checksum."""
    message = ADVERTISEMENT.pack(ADVERTISEMENT_TYPE, 0, 0, 64, 0, lifetime, 0, 0)
    message += SOURCE_LINK_LAYER.pack(1, 1, mac)
    if prefix is not None:
        message += PREFIX_INFORMATION.pack(
            3,
            4,
            prefix.prefixlen,
            ON_LINK_AND_AUTONOMOUS,
            LIFETIME,
            LIFETIME,
            0,
            prefix.network_address.packed,
        )
    return message


def open_socket(link: str) -> socket.socket:
    """A socket that receives solicitations on `link`, and sends with a hop limit of 255."""
    opened = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    index = socket.if_nametoindex(link)
    blocked = bytearray(b"\xff" * 32)
    blocked[SOLICITATION_TYPE // 8] &= ~(1 << SOLICITATION_TYPE % 8) & 0xFF
    opened.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, bytes(blocked))
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
    opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOP_LIMIT)
    opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    group = socket.inet_pton(socket.AF_INET6, ALL_ROUTERS) + struct.pack("@I", index)
    opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
    return opened


def mac_of(link: str, opened: socket.socket) -> bytes:
    """The link-layer address of a link; /sys would show another network namespace's (netdevice(7))."""
    answer = fcntl.ioctl(opened, SIOCGIFHWADDR, IFREQ.pack(link.encode(), b""))
    sockaddr: bytes = IFREQ.unpack(answer)[1]
    return sockaddr[HARDWARE_ADDRESS]


def main() -> None:
    """Advertise until a signal comes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("link")
    parser.add_argument("--interval", type=float, default=600.0)
    parser.add_argument("--lifetime", type=int, default=LIFETIME)
    parser.add_argument("--prefix", type=IPv6Network)
    parser.add_argument("--silent", action="store_true", help="leave solicitations unanswered")
    given = parser.parse_args()
    opened = open_socket(given.link)
    mac = mac_of(given.link, opened)
    message = advertisement(mac, given.lifetime, given.prefix)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    selector = selectors.DefaultSelector()
    selector.register(opened, selectors.EVENT_READ)
    opened.sendto(message, (ALL_NODES, 0))
    print("ready", flush=True)
    due = time.monotonic() + given.interval
    try:
        while True:
            if selector.select(max(0.0, due - time.monotonic())):
                _, (sender, *_) = opened.recvfrom(1500)
                print(f"solicited by {sender}", flush=True)
                if given.silent:
                    continue
            else:
                due = time.monotonic() + given.interval
            opened.sendto(message, (ALL_NODES, 0))
    finally:
        opened.sendto(advertisement(mac, 0, None), (ALL_NODES, 0))


if __name__ == "__main__":
    main()
