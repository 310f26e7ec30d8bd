"""Neighbour Discovery: announcing on an uplink that an address is to be had there.

The kernel says nothing of itself when a proxy entry is made; a router that asked before it was there, and
is about to ask again in a second, hears of it at once. Without the override flag an announcement takes
nothing from anybody: it completes what a router was waiting for, and leaves alone what it knows.
"""

import socket
import struct
from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address

from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.model import Link, ProxyEntry

ADVERTISEMENT = struct.Struct("!BBHI16sBB6s")
"""Type, code, checksum, flags, target; one option's type, length in units of 8 bytes, and value
(RFC 4861 §4.4, §4.6.1, RFC 2464 §6)."""
ADVERTISEMENT_TYPE = 136
FROM_ROUTER = 1 << 31
"""The flag R: whoever has proxy entries forwards, and the kernel sets it in what it answers for them."""
TARGET_LINK_LAYER_ADDRESS = 2
MAC_BYTES = 6
CHECKSUM_BY_KERNEL = 0

SOLICITATION = struct.Struct("!BBHIBB6s")
"""Type, code, checksum, reserved; one option (RFC 4861 §4.1, §4.6.1)."""
ROUTER_SOLICITATION_TYPE = 133
SOURCE_LINK_LAYER_ADDRESS = 1

ALL_NODES, ALL_ROUTERS = "ff02::1", "ff02::2"
HOP_LIMIT = 255
"""What it must be on arrival, so that nobody beyond the link can send any (RFC 4861 §7.1.2)."""
ICMP6_FILTER = 1
BLOCK_ALL = b"\xff" * 32
"""`struct icmp6_filter`, a bit for each type that is not to be received (RFC 3542 §3.2)."""

PERMISSION_HINT = "run as root, or with the capability CAP_NET_RAW, as the systemd unit does"


def unsolicited_advertisement(target: IPv6Address, mac: bytes) -> bytes:
    """A Neighbor Advertisement that nobody asked for: `target` is to be had at `mac`, six bytes."""
    option = (TARGET_LINK_LAYER_ADDRESS, 1, mac)
    return ADVERTISEMENT.pack(ADVERTISEMENT_TYPE, 0, CHECKSUM_BY_KERNEL, FROM_ROUTER, target.packed, *option)


def router_solicitation(mac: bytes) -> bytes:
    """A Router Solicitation from a link with the link-layer address `mac`, six bytes."""
    option = (SOURCE_LINK_LAYER_ADDRESS, 1, mac)
    return SOLICITATION.pack(ROUTER_SOLICITATION_TYPE, 0, CHECKSUM_BY_KERNEL, 0, *option)


class Announcer:
    """Sends advertisements and solicitations on links. Opens its socket when it is first needed."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def announce(self, entries: Iterable[ProxyEntry], links: Mapping[str, Link]) -> None:
        """Announce each entry on its uplink, where that has Ethernet addresses.

        Goes on after a failure, and then raises the first as `KernelRefusedError`.
        """
        failed: tuple[str, OSError] | None = None
        for entry in entries:
            link = links.get(entry.uplink)
            if link is None or len(link.mac) != MAC_BYTES:
                continue
            message = unsolicited_advertisement(entry.address, link.mac)
            try:
                # A queue that is full must not keep the controller waiting: who asks is answered anyway.
                self._open().sendto(message, socket.MSG_DONTWAIT, (ALL_NODES, 0, 0, link.index))
            except OSError as error:
                failed = failed or (entry.uplink, error)
        if failed is not None:
            uplink, cause = failed
            hint = PERMISSION_HINT if isinstance(cause, PermissionError) else None
            raise KernelRefusedError(
                f"announcing addresses on {uplink}: {cause.strerror}", hint=hint
            ) from cause

    def solicit_router(self, name: str, links: Mapping[str, Link]) -> None:
        """Ask the routers of a link to advertise, where it has an Ethernet address.

        The kernel takes the link-local address as the source. Raises `KernelRefusedError`.
        """
        link = links.get(name)
        if link is None or len(link.mac) != MAC_BYTES:
            return
        try:
            where = (ALL_ROUTERS, 0, 0, link.index)
            self._open().sendto(router_solicitation(link.mac), socket.MSG_DONTWAIT, where)
        except OSError as error:
            hint = PERMISSION_HINT if isinstance(error, PermissionError) else None
            raise KernelRefusedError(f"soliciting routers on {name}: {error.strerror}", hint=hint) from error

    def close(self) -> None:
        """Close the socket, if one was opened."""
        if self._socket is not None:
            self._socket.close()

    def _open(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
            self._socket.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, BLOCK_ALL)
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, HOP_LIMIT)
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        return self._socket
