"""Links, addresses and routes: what the host is, as far as it matters here.

pyroute2 takes some 85 ms to read those of a host with 200 links, such as a hundred containers on two networks
have, each with a link-local address and three routes. The kernel tells of their changes, so who looks again
and again reads again after one, and now and then in any case.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from errno import ENOBUFS
from ipaddress import IPv6Address, IPv6Network
from socket import AF_INET6, MSG_DONTWAIT
from typing import Any, TypeAlias

from pyroute2 import IPRoute
from pyroute2.netlink.rtnl.ifinfmsg import IFF_LOOPBACK, IFF_NOARP, IFF_POINTOPOINT

from dockeripv6mapper.kernel.netlink import (
    RTMGRP_IPV6_IFADDR,
    RTMGRP_IPV6_ROUTE,
    RTMGRP_LINK,
    RTMGRP_NEXTHOP,
    messages,
    open_notifications,
    open_rtnetlink,
    speaking,
)
from dockeripv6mapper.kernel.notifications import Renewals
from dockeripv6mapper.model import Link

NO_NEIGHBOUR_DISCOVERY = IFF_LOOPBACK | IFF_NOARP | IFF_POINTOPOINT
"""Flags of links on which the kernel never solicits neighbours (`net/ipv6/ndisc.c`)."""

Message: TypeAlias = Any
"""A netlink message of pyroute2's: `message["field"]` of its header, `message.get("attribute")`."""

GROUPS = RTMGRP_LINK | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE | RTMGRP_NEXTHOP
READ_ANYWAY = 20
"""At every so many looks all is read, told or not: what nobody thought of must not stay wrong for good."""

RECEIVE_BYTES = 1 << 16

RTN_UNICAST = 1
RT_TABLE_LOCAL = 255


@dataclass(frozen=True, slots=True)
class Topology:
    """The host's links, addresses and next hops."""

    links: Mapping[str, Link]
    default_route_links: tuple[str, ...]
    addresses: frozenset[IPv6Address]
    next_hops: frozenset[IPv6Address]
    on_link: frozenset[tuple[IPv6Network, str]]


class TopologyObserver:
    """Looks at the network namespace that this process is in, again and again. Close it."""

    def __init__(self) -> None:
        with speaking("opening a netlink socket"):
            self._changes = open_notifications(GROUPS)
        self._rtnetlink = open_rtnetlink()
        self._renewals = Renewals()
        self._seen: Topology | None = None
        self._looks = 0
        """How many there were since the last reading."""

    def observe(self) -> Topology:
        """What is there now; the same object, if nothing has changed since the last."""
        # What changes while it is being read is told of, too, and read the next time.
        with speaking("hearing of changes of links, addresses and routes"):
            self._heed_changes()
        self._looks += 1
        if self._seen is None or self._looks >= READ_ANYWAY:
            self._seen = observe_topology(self._rtnetlink)
            self._looks = 0
        return self._seen

    def _heed_changes(self) -> None:
        """Take off the socket what the kernel has told of: after anything, what was seen is out of date."""
        while True:
            try:
                datagram = self._changes.recv(RECEIVE_BYTES, MSG_DONTWAIT)
                if self._renewals.have_news(messages(datagram)):
                    self._seen = None
            except BlockingIOError:
                return
            except OSError as error:
                # So much has happened that some of it was lost. It is said once, before what is left.
                self._seen = None
                self._renewals.forget()
                if error.errno != ENOBUFS:
                    raise

    def close(self) -> None:
        """Close the sockets."""
        self._changes.close()
        self._rtnetlink.close()


def observe_topology(rtnetlink: IPRoute) -> Topology:
    """Read links, IPv6 addresses and IPv6 routes afresh."""
    with speaking("reading links, addresses and routes"):
        links = [_link(message) for message in rtnetlink.get_links()]
        addresses = [IPv6Address(each.get("address")) for each in rtnetlink.get_addr(family=AF_INET6)]
        routes = [each for each in rtnetlink.get_routes(family=AF_INET6) if each["type"] == RTN_UNICAST]
    names = {link.index: link.name for link in links}
    defaults = (hop["oif"] for route in routes if route["dst_len"] == 0 for hop in _hops(route))
    return Topology(
        links={link.name: link for link in links},
        default_route_links=tuple(sorted({names[index] for index in defaults if index in names})),
        addresses=frozenset(addresses),
        next_hops=frozenset(hop["gateway"] for route in routes for hop in _hops(route) if hop["gateway"]),
        on_link=frozenset(_on_link(routes, names)),
    )


def _link(message: Message) -> Link:
    flags = message["flags"]
    return Link(
        name=message.get("ifname"),
        index=message["index"],
        neighbour_discovery=not flags & NO_NEIGHBOUR_DISCOVERY,
        mac=bytes.fromhex((message.get("address") or "").replace(":", "")),
        loopback=bool(flags & IFF_LOOPBACK),
        master=message.get("master"),
    )


def _on_link(routes: Iterable[Message], names: Mapping[int, str]) -> Iterable[tuple[IPv6Network, str]]:
    """The prefixes whose addresses are neighbours, each with its link; no link-local or multicast ones."""
    for route in routes:
        for hop in _hops(route):
            if hop["gateway"] is None and route["dst_len"] and hop["oif"] in names:
                prefix = IPv6Network((route.get("dst"), route["dst_len"]))
                if not prefix.is_link_local and not prefix.is_multicast:
                    yield prefix, names[hop["oif"]]


def _hops(route: Message) -> Iterable[Mapping[str, Any]]:
    """A route's next hops, one or several: the link's index, and the gateway where there is one."""
    if route.get("table") == RT_TABLE_LOCAL:
        return
    if several := route.get("multipath"):
        for hop in several:
            yield {"oif": hop["oif"], "gateway": _address(hop.get("gateway"))}
    else:
        yield {"oif": route.get("oif"), "gateway": _address(route.get("gateway"))}


def _address(text: str | None) -> IPv6Address | None:
    return IPv6Address(text) if text else None
