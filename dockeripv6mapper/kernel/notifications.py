"""Which netlink notifications matter: those about an uplink, and those that are no mere lifetime renewal.

Each router advertisement renews the lifetimes of routes and addresses, on some links every few seconds, and
the kernel notifies of each renewal. Such a message differs from the one before only in its lifetime. Pure.
"""

import struct
import sys
from collections.abc import Container, Iterable
from contextlib import suppress

from dockeripv6mapper.kernel.netlink import ATTRIBUTE, NLM_F_REPLACE, Message, attributes
from dockeripv6mapper.kernel.routes import MAX_DEFAULT_BITS

RTM_NEWLINK, RTM_DELLINK = 16, 17
RTM_NEWADDR, RTM_DELADDR = 20, 21
RTM_NEWROUTE, RTM_DELROUTE = 24, 25
RTM_NEWRULE, RTM_DELRULE = 32, 33
RTM_NEWNETCONF = 80
RTM_NEWNEXTHOP, RTM_DELNEXTHOP = 104, 105
"""Message types of `linux/rtnetlink.h`."""

IFLA_EVENT = 44
IFLA_EVENT_NOTIFY_PEERS = 4
"""Attribute of a link's notification, and its value after `NETDEV_NOTIFY_PEERS` (`linux/if_link.h`)."""
LINK_HEADER_BYTES = 16
"""Size of `struct ifinfomsg`."""

IFA_ADDRESS, IFA_CACHEINFO = 1, 6
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_CACHEINFO, RTA_TABLE, RTA_EXPIRES = 1, 4, 5, 6, 12, 15, 23
"""Attributes of addresses (`linux/if_addr.h`) and routes (`linux/rtnetlink.h`)."""

ADDRESS_HEADER_BYTES, ROUTE_HEADER_BYTES = 8, 12
"""Sizes of `struct ifaddrmsg` and `struct rtmsg`."""
ADDRESS_INDEX = slice(4, 8)
"""The interface index in `struct ifaddrmsg`."""
ROUTE_LENGTHS = slice(0, 2)
"""Family and prefix length in `struct rtmsg`."""

LINK_CHANGES = struct.Struct("=12xI")
"""`ifi_change` in `struct ifinfomsg`."""
NEW_LINK = 0xFFFFFFFF
"""`ifi_change` of a link that was just created (`register_netdevice` in `net/core/dev.c`)."""
IFLA_IFNAME, IFLA_LINKINFO, IFLA_INFO_KIND = 3, 18, 1
"""Attributes of links (`linux/if_link.h`)."""
GUEST_KINDS = (b"bridge\0", b"tun\0", b"veth\0")
"""Links that may lead to guests, which could pose as routers."""
ENGINE_VETH = b"veth"
"""How the name of a container's link begins that the engine has made. Each container has one, on a bridge."""

INDEX_AT_4 = struct.Struct("=4xi")
"""The interface index in `struct ifinfomsg` and in `struct ifaddrmsg`."""
ROUTE_DST_LEN = struct.Struct("=xB")
"""`rtm_dst_len` in `struct rtmsg`: the prefix length."""
NETCONF = struct.Struct("=B3xHHi")
"""`struct netconfmsg`, then its first attribute, NETCONFA_IFINDEX: length, type, index."""
NETCONF_ALL = -1

MAX_REMEMBERED = 4096
"""Routes and addresses. A host has a few for each container. With more of them, a renewal is reported as a
change and costs one reading."""


def concerns_uplink(kind: int, body: bytes, uplinks: Container[int] | None) -> bool:
    """Whether a notification is about one of `uplinks`, by interface index, or about a default route.

    Or about the rules and nexthop objects that a default route may depend on, or about a new link that may be
    a virtual machine's. `uplinks` None: an uplink does not exist yet, so its index is unknown: any link
    but one that goes away may be it.
    """
    if kind in (RTM_NEWRULE, RTM_DELRULE, RTM_NEWNEXTHOP, RTM_DELNEXTHOP):
        return True
    if uplinks is None:
        return kind != RTM_DELLINK
    concerns = False
    with suppress(struct.error):
        if kind in (RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_DELADDR):
            index = INDEX_AT_4.unpack_from(body)[0]
            concerns = index in uplinks or (kind == RTM_NEWLINK and _is_new_guest_link(body))
        elif kind in (RTM_NEWROUTE, RTM_DELROUTE):
            concerns = ROUTE_DST_LEN.unpack_from(body)[0] <= MAX_DEFAULT_BITS
        elif kind == RTM_NEWNETCONF:
            index = NETCONF.unpack_from(body)[3]
            concerns = index == NETCONF_ALL or index in uplinks
    return concerns


def _is_new_guest_link(body: bytes) -> bool:
    """Whether a link of one of `GUEST_KINDS` was just created, and not by the engine for a container."""
    if LINK_CHANGES.unpack_from(body)[0] != NEW_LINK:
        return False
    values = dict(attributes(body, LINK_HEADER_BYTES))
    kind = dict(attributes(values.get(IFLA_LINKINFO, b""), 0)).get(IFLA_INFO_KIND)
    return kind in GUEST_KINDS and not values.get(IFLA_IFNAME, b"").startswith(ENGINE_VETH)


def notifies_peers(message: Message) -> int | None:
    """The index of the link whose addresses the kernel asks to announce; None: it does not ask.

    The kernel does so after a failover of a bond and after a virtual machine was moved to another host.
    """
    if message.kind != RTM_NEWLINK or len(message.body) < LINK_HEADER_BYTES:
        return None
    event = dict(attributes(message.body, LINK_HEADER_BYTES)).get(IFLA_EVENT, b"")
    if event != IFLA_EVENT_NOTIFY_PEERS.to_bytes(4, sys.byteorder):
        return None
    index: int = INDEX_AT_4.unpack_from(message.body)[0]
    return index


Key = tuple[int, bytes, tuple[bytes | None, ...]]
"""What identifies a route or an address: message type, part of the header, the identifying attributes."""


class RenewalFilter:
    """Tells a change from a lifetime renewal. Remembers the last notification of each route and address."""

    def __init__(self) -> None:
        self._last: dict[Key, bytes] = {}
        """The message without its lifetime, by route or address."""

    def any_change(self, messages: Iterable[Message]) -> bool:
        """Whether one of `messages` is a change. Reads all of them, so that each is remembered."""
        changes = [self.is_change(each) for each in messages]
        return any(changes)

    def is_change(self, message: Message) -> bool:
        """Whether a message is more than a renewed lifetime. The first of a route or an address is."""
        kind, body = message.kind, message.body
        if kind in (RTM_DELADDR, RTM_DELROUTE) or message.flags & NLM_F_REPLACE:
            # For a replaced route the kernel sends no message that it is gone.
            self.forget()
            return True
        if kind not in (RTM_NEWADDR, RTM_NEWROUTE):
            return True
        key, content = _without_lifetime(kind, body)
        if self._last.get(key) == content:
            return False
        if len(self._last) >= MAX_REMEMBERED:
            self.forget()
        self._last[key] = content
        return True

    def forget(self) -> None:
        """Forget everything: after lost messages, or after a deletion."""
        self._last.clear()


def _without_lifetime(kind: int, body: bytes) -> tuple[Key, bytes]:
    """The key of a route's or an address's message, and the message's body without its lifetime."""
    identifying: tuple[int, ...] = (RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_TABLE)
    lifetimes: tuple[int, ...] = (RTA_CACHEINFO, RTA_EXPIRES)
    header_bytes, identifying_header = ROUTE_HEADER_BYTES, body[ROUTE_LENGTHS]
    if kind == RTM_NEWADDR:
        identifying, lifetimes = (IFA_ADDRESS,), (IFA_CACHEINFO,)
        header_bytes, identifying_header = ADDRESS_HEADER_BYTES, body[ADDRESS_INDEX]
    pairs = list(attributes(body, header_bytes))
    values = dict(pairs)
    lasting = b"".join(
        ATTRIBUTE.pack(len(value), each) + value for each, value in pairs if each not in lifetimes
    )
    key = (kind, identifying_header, tuple(values.get(each) for each in identifying))
    return key, body[:header_bytes] + lasting
