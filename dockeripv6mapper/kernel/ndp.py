"""Neighbour Discovery messages (RFC 4861) that the mapper sends: announcements, and router solicitations.

The kernel announces nothing when a proxy entry is added. A router that solicited the address before that
retries only after a second; an unsolicited advertisement answers it at once. It has no override flag: it
completes a router's incomplete cache entry, and never replaces a MAC that a router has cached (RFC 4861
§7.2.5). A router that has cached another host's MAC keeps it until its own reachability probe fails.
"""

import socket
import struct
from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address

from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.model import Link, ProxyEntry

ADVERTISEMENT = struct.Struct("!BBHI16sBB6s")
"""A Neighbor Advertisement: type, code, checksum, flags, target; then one option: type, length in units of
8 bytes, value (RFC 4861 §4.4, §4.6.1, RFC 2464 §6)."""
ADVERTISEMENT_TYPE = 136
ROUTER_FLAG = 1 << 31
"""The flag R, since a host with proxy entries forwards. The kernel's own answers for a proxy entry carry R=0
(`pndisc_is_router` in `net/ipv6/ndisc.c`)."""
TARGET_LINK_LAYER_ADDRESS = 2
MAC_BYTES = 6
CHECKSUM_BY_KERNEL = 0
"""The kernel fills in the checksum on a raw ICMPv6 socket (RFC 3542 §3.1)."""

SOLICITATION = struct.Struct("!BBHIBB6s")
"""A Router Solicitation: type, code, checksum, reserved; then one option (RFC 4861 §4.1, §4.6.1)."""
ROUTER_SOLICITATION_TYPE = 133
SOURCE_LINK_LAYER_ADDRESS = 1

ALL_NODES, ALL_ROUTERS = "ff02::1", "ff02::2"
HOP_LIMIT = 255
"""Required on arrival, so that no router can have forwarded the message (RFC 4861 §7.1.2)."""
ICMP6_FILTER = 1
BLOCK_ALL = b"\xff" * 32
"""`struct icmp6_filter`: a set bit blocks the reception of one ICMPv6 type (RFC 3542 §3.2)."""

PERMISSION_HINT = "run as root, or with the capability CAP_NET_RAW, as the systemd unit does"


def unsolicited_advertisement(target: IPv6Address, mac: bytes) -> bytes:
    """An unsolicited Neighbor Advertisement without override: `target` is at `mac`, six bytes."""
    option = (TARGET_LINK_LAYER_ADDRESS, 1, mac)
    return ADVERTISEMENT.pack(ADVERTISEMENT_TYPE, 0, CHECKSUM_BY_KERNEL, ROUTER_FLAG, target.packed, *option)


def router_solicitation(mac: bytes) -> bytes:
    """A Router Solicitation from a link whose link-layer address is `mac`, six bytes."""
    option = (SOURCE_LINK_LAYER_ADDRESS, 1, mac)
    return SOLICITATION.pack(ROUTER_SOLICITATION_TYPE, 0, CHECKSUM_BY_KERNEL, 0, *option)


class Announcer:
    """Sends advertisements and solicitations. Opens its socket at the first message. Close it."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def announce(self, entries: Iterable[ProxyEntry], links: Mapping[str, Link]) -> None:
        """Announce each entry on its uplink; entries on a link without an Ethernet address are skipped.

        Announces the rest after a failure, then raises the first failure as `KernelRefusedError`.
        """
        failed: tuple[str, OSError] | None = None
        for entry in entries:
            link = links.get(entry.uplink)
            if link is None or len(link.mac) != MAC_BYTES:
                continue
            message = unsolicited_advertisement(entry.address, link.mac)
            try:
                # A full send queue must not block the controller: the kernel answers solicitations anyway.
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
        """Send a Router Solicitation on a link; skipped on a link without an Ethernet address.

        The kernel uses the link's link-local address as the source. Raises `KernelRefusedError`.
        """
        link = links.get(name)
        if link is None or len(link.mac) != MAC_BYTES:
            return
        try:
            destination = (ALL_ROUTERS, 0, 0, link.index)
            self._open().sendto(router_solicitation(link.mac), socket.MSG_DONTWAIT, destination)
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
