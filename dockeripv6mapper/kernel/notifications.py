"""Notifications: whether the kernel notifies of a change, or only of a lifetime that was renewed.

Each router advertisement renews the lifetimes of routes and addresses, which the kernel notifies of. On some
links that is every few seconds. Everything else in such a message is as it was. Pure.
"""

import struct
from collections.abc import Container, Iterable

from dockeripv6mapper.kernel.netlink import ATTRIBUTE, Message, attributes

RTM_NEWLINK, RTM_DELLINK = 16, 17
RTM_NEWADDR, RTM_DELADDR = 20, 21
RTM_NEWROUTE, RTM_DELROUTE = 24, 25
RTM_NEWNETCONF = 80
"""Message types of `linux/rtnetlink.h`."""

NLM_F_REPLACE = 0x100
"""Flag of `linux/netlink.h`."""

IFA_ADDRESS, IFA_CACHEINFO = 1, 6
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_CACHEINFO, RTA_TABLE, RTA_EXPIRES = 1, 4, 5, 6, 12, 15, 23
"""Attributes of addresses (`linux/if_addr.h`) and routes (`linux/rtnetlink.h`)."""

ADDRESS_HEADER_BYTES, ROUTE_HEADER_BYTES = 8, 12
"""Sizes of `struct ifaddrmsg` and `struct rtmsg`."""
ADDRESS_INDEX = slice(4, 8)
"""The interface index in `struct ifaddrmsg`."""
ROUTE_LENGTHS = slice(0, 2)
"""Family and prefix length in `struct rtmsg`."""

INDEX_AT_4 = struct.Struct("=4xi")
"""The interface index, in `struct ifinfomsg` and `struct ifaddrmsg` alike."""
ROUTE_DST_LEN = struct.Struct("=xB")
"""`rtm_dst_len` in `struct rtmsg`."""
NETCONF = struct.Struct("=B3xHHi")
"""`struct netconfmsg`, then its first attribute, NETCONFA_IFINDEX: length, type, index."""
NETCONF_ALL = -1

MOST_REMEMBERED = 4096
"""Messages. A host has some routes and addresses for each container; with more, renewals cost a look."""

Key = tuple[int, bytes, tuple[bytes | None, ...]]


def concerns(kind: int, body: bytes, uplinks: Container[int] | None) -> bool:
    """Whether a message tells of an uplink, by index, or of a default route.

    `uplinks` None: one is awaited whose index nobody knows yet, so that any new link may be it.
    """
    try:
        if uplinks is None:
            return kind in (RTM_NEWLINK, RTM_NEWROUTE, RTM_DELROUTE)
        if kind in (RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_DELADDR):
            return INDEX_AT_4.unpack_from(body)[0] in uplinks
        if kind in (RTM_NEWROUTE, RTM_DELROUTE):
            return bool(ROUTE_DST_LEN.unpack_from(body)[0] == 0)
        if kind == RTM_NEWNETCONF:
            index = NETCONF.unpack_from(body)[3]
            return index == NETCONF_ALL or index in uplinks
    except struct.error:
        return False
    return False


class Renewals:
    """Remembers each route and address as the kernel last notified of it, its lifetime left aside."""

    def __init__(self) -> None:
        self._last: dict[Key, bytes] = {}

    def have_news(self, received: Iterable[Message]) -> bool:
        """Whether any of some messages is news. All are remembered, also those after the first that is."""
        news = [self.is_news(each) for each in received]
        return any(news)

    def is_news(self, message: Message) -> bool:
        """Whether a message tells of more than a renewed lifetime. The first of a route or address does."""
        kind, body = message.kind, message.body
        if kind in (RTM_DELADDR, RTM_DELROUTE) or message.flags & NLM_F_REPLACE:
            # The kernel sends no message for the route that is replaced.
            self.forget()
            return True
        if kind not in (RTM_NEWADDR, RTM_NEWROUTE):
            return True
        key, lasting = _parts(kind, body)
        if self._last.get(key) == lasting:
            return False
        if len(self._last) >= MOST_REMEMBERED:
            self.forget()
        self._last[key] = lasting
        return True

    def forget(self) -> None:
        """Forget all: messages were lost, or something is gone."""
        self._last.clear()


def _parts(kind: int, body: bytes) -> tuple[Key, bytes]:
    """What a message is about, and what it says of it, the lifetime left aside."""
    about: tuple[int, ...] = (RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_TABLE)
    lifetimes: tuple[int, ...] = (RTA_CACHEINFO, RTA_EXPIRES)
    header, place = ROUTE_HEADER_BYTES, body[ROUTE_LENGTHS]
    if kind == RTM_NEWADDR:
        about, lifetimes = (IFA_ADDRESS,), (IFA_CACHEINFO,)
        header, place = ADDRESS_HEADER_BYTES, body[ADDRESS_INDEX]
    found = list(attributes(body, header))
    values = dict(found)
    lasting = b"".join(
        ATTRIBUTE.pack(len(value), each) + value for each, value in found if each not in lifetimes
    )
    return (kind, place, tuple(values.get(each) for each in about)), body[:header] + lasting
