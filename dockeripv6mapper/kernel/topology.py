"""The host's links, IPv6 addresses and IPv6 routes.

Cached, since a reading takes tens of milliseconds on a host with a hundred containers on two networks.
Re-read after a netlink notification, and at every 20th look as a safety net.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from errno import ENOBUFS
from ipaddress import IPv6Address, IPv6Network
from socket import AF_INET6, MSG_DONTWAIT
from typing import Any, TypeAlias

from pyroute2 import IPRoute
from pyroute2.netlink.rtnl.ifinfmsg import IFF_LOOPBACK, IFF_NOARP, IFF_POINTOPOINT

from dockeripv6mapper.kernel.netlink import (
    RECEIVE_BYTES,
    RTMGRP_IPV6_IFADDR,
    RTMGRP_IPV6_ROUTE,
    RTMGRP_IPV6_RULE,
    RTMGRP_LINK,
    RTMGRP_NEXTHOP,
    RequestSocket,
    messages,
    open_notifications,
    open_rtnetlink,
    translated_errors,
)
from dockeripv6mapper.kernel.notifications import RenewalFilter, notifies_peers
from dockeripv6mapper.kernel.routes import Route, is_default, next_hops, read_routes
from dockeripv6mapper.model import Link

NO_NEIGHBOUR_DISCOVERY = IFF_LOOPBACK | IFF_NOARP | IFF_POINTOPOINT
"""Flags of links on which the kernel never solicits neighbours (`net/ipv6/ndisc.c`)."""

PyrouteMessage: TypeAlias = Any
"""A netlink message as pyroute2 parses it: `message["header field"]`, `message.get("attribute")`."""

GROUPS = RTMGRP_LINK | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE | RTMGRP_IPV6_RULE | RTMGRP_NEXTHOP
REREAD_INTERVAL = 20
"""In looks: each such one reads again, even without a notification, as a safety net."""


@dataclass(frozen=True, slots=True)
class Topology:
    """The host's links, addresses and routes; the fields are those of `model.Host`."""

    links: Mapping[str, Link]
    default_route_links: tuple[str, ...]
    default_routers: frozenset[tuple[IPv6Address, str]]
    addresses: frozenset[IPv6Address]
    next_hops: frozenset[IPv6Address]
    on_link: frozenset[tuple[IPv6Network, str]]


class TopologyObserver:
    """The topology of this process's network namespace, cached. Close it."""

    def __init__(self) -> None:
        with translated_errors("opening a netlink socket"):
            self._notifications = open_notifications(GROUPS)
        self._rtnetlink = open_rtnetlink()
        self._renewals = RenewalFilter()
        self._cached: Topology | None = None
        self._peer_notifications: Counter[int] = Counter()
        """How many were received, by a link's index."""
        self._looks = 0
        """Looks since the last reading."""

    def observe(self) -> Topology:
        """The topology now; the same object as before unless read again. Raises `KernelRefusedError`."""
        # Empty the socket before reading: a change during the reading is then seen at the next look.
        with translated_errors("receiving notifications of links, addresses and routes"):
            self._receive_notifications()
        self._looks += 1
        if self._cached is None or self._looks >= REREAD_INTERVAL:
            self._cached = observe_topology(self._rtnetlink, self._peer_notifications)
            self._looks = 0
        return self._cached

    def _receive_notifications(self) -> None:
        """Empty the socket. Drop the cached topology if any notification is a change."""
        while True:
            try:
                datagram = self._notifications.recv(RECEIVE_BYTES, MSG_DONTWAIT)
                received = list(messages(datagram))
                self._peer_notifications.update(
                    index for each in received if (index := notifies_peers(each)) is not None
                )
                if self._renewals.any_change(received):
                    self._cached = None
            except BlockingIOError:
                return
            except OSError as error:
                # ENOBUFS: the receive buffer overflowed and notifications were lost, so assume a change.
                # The kernel reports it once, before the notifications that are left.
                self._cached = None
                self._renewals.forget()
                if error.errno != ENOBUFS:
                    raise

    def close(self) -> None:
        """Close the sockets."""
        self._notifications.close()
        self._rtnetlink.close()


def observe_topology(rtnetlink: IPRoute, peer_notifications: Mapping[int, int] | None = None) -> Topology:
    """Read links, IPv6 addresses and IPv6 routes, not cached. Raises `KernelRefusedError`.

    `peer_notifications`: their number by a link's index.
    """
    with translated_errors("reading links, addresses and routes"), closing(RequestSocket()) as netlink:
        links = [_link(message, peer_notifications or {}) for message in rtnetlink.get_links()]
        addresses = [IPv6Address(each.get("address")) for each in rtnetlink.get_addr(family=AF_INET6)]
        routes = read_routes(netlink)
    names = {link.index: link.name for link in links}
    defaults = [
        (hop.gateway, names[hop.index])
        for route in routes
        if route.is_default
        for hop in route.hops
        if hop.index in names
    ]
    return Topology(
        links={link.name: link for link in links},
        default_route_links=tuple(sorted({link for _, link in defaults})),
        default_routers=frozenset((gateway, link) for gateway, link in defaults if gateway is not None),
        addresses=frozenset(addresses),
        next_hops=frozenset(next_hops(routes)),
        on_link=frozenset(_on_link(routes, names)),
    )


def _link(message: PyrouteMessage, peer_notifications: Mapping[int, int]) -> Link:
    flags = message["flags"]
    properties, info = message.get("prop_list"), message.get("linkinfo")
    return Link(
        name=message.get("ifname"),
        index=message["index"],
        neighbour_discovery=not flags & NO_NEIGHBOUR_DISCOVERY,
        mac=bytes.fromhex((message.get("address") or "").replace(":", "")),
        carrier_ups=message.get("carrier_up_count") or 0,
        peer_notifications=peer_notifications.get(message["index"], 0),
        loopback=bool(flags & IFF_LOOPBACK),
        master=message.get("master"),
        altnames=tuple(properties.altnames()) if properties else (),
        kind=info.get("kind") if info else None,
    )


def _on_link(routes: Iterable[Route], names: Mapping[int, str]) -> Iterator[tuple[IPv6Network, str]]:
    """The on-link prefixes, each with its link's name. Without those that are link-local or multicast."""
    for route in routes:
        prefix = route.destination
        if is_default(prefix) or prefix.is_link_local or prefix.is_multicast:
            continue
        yield from (
            (prefix, names[hop.index]) for hop in route.hops if not hop.gateway and hop.index in names
        )
