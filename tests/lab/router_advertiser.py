"""Sends router advertisements, periodically and in answer to router solicitations (RFC 4861 §6.2).

python -m tests.lab.router_advertiser LINK [--interval S] [--lifetime S] [--prefix P] [--silent]

Prints `ready` after the first advertisement, then one line for each solicitation received. On SIGTERM it
sends a last advertisement with a router lifetime of 0, which removes the hosts' default route (§6.2.5).
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
"""Seconds, for the default router and for the prefix."""
ALL_NODES, ALL_ROUTERS = "ff02::1", "ff02::2"
HOP_LIMIT = 255
ICMP6_FILTER = 1
SIOCGIFHWADDR = 0x8927
IFREQ = struct.Struct("16s24s")
HARDWARE_ADDRESS = slice(2, 8)
"""Bytes of the address in a `struct sockaddr`, after `sa_family`."""


def advertisement(mac: bytes, lifetime: int, prefix: IPv6Network | None) -> bytes:
    """Pack a Router Advertisement. The checksum is 0: the kernel fills it in."""
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
    """Open a raw socket that receives only router solicitations on `link` and sends with hop limit 255."""
    sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    index = socket.if_nametoindex(link)
    blocked = bytearray(b"\xff" * 32)
    blocked[SOLICITATION_TYPE // 8] &= ~(1 << SOLICITATION_TYPE % 8) & 0xFF
    sock.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, bytes(blocked))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOP_LIMIT)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
    group = socket.inet_pton(socket.AF_INET6, ALL_ROUTERS) + struct.pack("@I", index)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
    return sock


def mac_of(link: str, sock: socket.socket) -> bytes:
    """Return a link's MAC address by ioctl (netdevice(7)): /sys may belong to another network namespace."""
    answer = fcntl.ioctl(sock, SIOCGIFHWADDR, IFREQ.pack(link.encode(), b""))
    sockaddr: bytes = IFREQ.unpack(answer)[1]
    return sockaddr[HARDWARE_ADDRESS]


def main() -> None:
    """Advertise until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("link")
    parser.add_argument("--interval", type=float, default=600.0)
    parser.add_argument("--lifetime", type=int, default=LIFETIME)
    parser.add_argument("--prefix", type=IPv6Network)
    parser.add_argument("--silent", action="store_true", help="do not answer solicitations")
    options = parser.parse_args()
    sock = open_socket(options.link)
    mac = mac_of(options.link, sock)
    message = advertisement(mac, options.lifetime, options.prefix)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    selector = selectors.DefaultSelector()
    selector.register(sock, selectors.EVENT_READ)
    sock.sendto(message, (ALL_NODES, 0))
    print("ready", flush=True)
    due = time.monotonic() + options.interval
    try:
        while True:
            if selector.select(max(0.0, due - time.monotonic())):
                _, (sender, *_) = sock.recvfrom(1500)
                print(f"solicited by {sender}", flush=True)
                if options.silent:
                    continue
            else:
                due = time.monotonic() + options.interval
            sock.sendto(message, (ALL_NODES, 0))
    finally:
        sock.sendto(advertisement(mac, 0, None), (ALL_NODES, 0))


if __name__ == "__main__":
    main()
