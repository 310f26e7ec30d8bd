"""The host's IPv6 routes: their next hops, and which of them are default routes.

Read without pyroute2, which knows no nexthop objects (`ip nexthop`) and takes many times as long.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from socket import AF_INET6

from dockeripv6mapper.kernel.netlink import RequestSocket, attributes

RTM_NEWROUTE, RTM_GETROUTE = 24, 26
RTM_NEWRULE, RTM_GETRULE = 32, 34
RTM_NEWNEXTHOP, RTM_GETNEXTHOP = 104, 106
"""Message types of `linux/rtnetlink.h`."""

ROUTE = struct.Struct("=BBxxBxxBxxxx")
"""`struct rtmsg`: family, prefix length of the destination, table, type."""
RTN_UNICAST = 1
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_MULTIPATH, RTA_TABLE, RTA_NH_ID = 1, 4, 5, 9, 15, 30
HOP = struct.Struct("=HxxI")
"""`struct rtnexthop`: length with the attributes that follow, interface index."""

RULE = struct.Struct("=BxxxBxxBxxxx")
"""`struct fib_rule_hdr`: family, table, action."""
FR_ACT_TO_TBL = 1
FRA_TABLE = 15
"""Action and attribute of `linux/fib_rules.h`."""

NEXTHOP_BYTES = 8
"""Size of `struct nhmsg` (`linux/nexthop.h`)."""
NHA_ID, NHA_GROUP, NHA_OIF, NHA_GATEWAY = 1, 2, 5, 6
MEMBER = struct.Struct("=Ixxxx")
"""`struct nexthop_grp`: the ID of a nexthop object."""

TABLE_DEFAULT, TABLE_MAIN, TABLE_LOCAL = 253, 254, 255
NUMBER = struct.Struct("=I")
ADDRESS_BYTES = 16

GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All global unicast addresses that are assigned so far (RFC 4291 §2.4)."""
MAX_DEFAULT_BITS = 4
"""`2000::/4` and `3000::/4` are the longest prefixes that are in use as parts of a default route: VPN clients
add routes that are longer than another default route, to be preferred to it."""


@dataclass(frozen=True, slots=True)
class Hop:
    """A next hop of a route."""

    index: int
    """The interface index of its link."""
    gateway: IPv6Address | None
    """None: the destination is on-link."""


@dataclass(frozen=True, slots=True)
class Route:
    """A unicast route of any table but `local`, which has the host's own addresses."""

    destination: IPv6Network
    hops: tuple[Hop, ...]
    is_default: bool


def read_routes(netlink: RequestSocket) -> list[Route]:
    """All unicast routes. Raises `OSError`."""
    tables = {TABLE_MAIN, TABLE_DEFAULT, *_tables_of_rules(netlink)}
    objects: Mapping[int, tuple[Hop, ...]] | None = None
    routes = []
    # Every message is received before the next request, which goes over the same socket.
    for message in list(netlink.dump(RTM_GETROUTE, ROUTE.pack(AF_INET6, 0, 0, 0))):
        if message.kind != RTM_NEWROUTE or len(message.body) < ROUTE.size:
            continue
        _family, bits, table, kind = ROUTE.unpack_from(message.body)
        values = dict(attributes(message.body, ROUTE.size))
        table = _number(values.get(RTA_TABLE), table)
        if kind != RTN_UNICAST or table == TABLE_LOCAL:
            continue
        hops = tuple(_hops(values))
        if not hops and RTA_NH_ID in values:
            # With net.ipv4.nexthop_compat_mode=0 the kernel only names the object.
            objects = _read_nexthops(netlink) if objects is None else objects
            hops = objects.get(_number(values[RTA_NH_ID]), ())
        destination = IPv6Network((values.get(RTA_DST, bytes(ADDRESS_BYTES)), bits), strict=False)
        routes.append(Route(destination, hops, table in tables and is_default(destination)))
    return routes


def is_default(destination: IPv6Network) -> bool:
    """Whether a route leads to the internet, or to a half of it: `::/0`, `2000::/3`, `8000::/1` and the like.

    `8000::/1` has no global unicast address, and comes with `::/1`, which has all.
    """
    return destination.prefixlen <= MAX_DEFAULT_BITS and destination.overlaps(GLOBAL_UNICAST)


def _hops(values: Mapping[int, bytes]) -> Iterator[Hop]:
    if RTA_OIF in values:
        yield Hop(_number(values[RTA_OIF]), _gateway(values.get(RTA_GATEWAY)))
    rest = values.get(RTA_MULTIPATH, b"")
    while len(rest) >= HOP.size:
        length, index = HOP.unpack_from(rest)
        if length < HOP.size:
            return
        yield Hop(index, _gateway(dict(attributes(rest[:length], HOP.size)).get(RTA_GATEWAY)))
        rest = rest[length + 3 & ~3 :]


def _tables_of_rules(netlink: RequestSocket) -> Iterator[int]:
    """The tables that a rule leads to. A VRF's table has no rule of its own: it is another routing domain."""
    for message in netlink.dump(RTM_GETRULE, RULE.pack(AF_INET6, 0, 0)):
        if message.kind == RTM_NEWRULE and len(message.body) >= RULE.size:
            _family, table, action = RULE.unpack_from(message.body)
            values = dict(attributes(message.body, RULE.size))
            if action == FR_ACT_TO_TBL:
                yield _number(values.get(FRA_TABLE), table)


def _read_nexthops(netlink: RequestSocket) -> dict[int, tuple[Hop, ...]]:
    """The next hops of each nexthop object and of each group of such, by ID."""
    single: dict[int, tuple[Hop, ...]] = {}
    groups: dict[int, list[int]] = {}
    for message in netlink.dump(RTM_GETNEXTHOP, bytes(NEXTHOP_BYTES)):
        values = dict(attributes(message.body, NEXTHOP_BYTES))
        if message.kind != RTM_NEWNEXTHOP or NHA_ID not in values:
            continue
        number = _number(values[NHA_ID])
        if NHA_OIF in values:
            single[number] = (Hop(_number(values[NHA_OIF]), _gateway(values.get(NHA_GATEWAY))),)
        groups[number] = [member for (member,) in MEMBER.iter_unpack(values.get(NHA_GROUP, b""))]
    return single | {
        number: tuple(hop for member in members for hop in single.get(member, ()))
        for number, members in groups.items()
        if members
    }


def _number(value: bytes | None, default: int = 0) -> int:
    return default if value is None else int(NUMBER.unpack_from(value)[0])


def _gateway(value: bytes | None) -> IPv6Address | None:
    """A next hop's address; None: it has none, or one of another family."""
    return IPv6Address(value) if value is not None and len(value) == ADDRESS_BYTES else None


def next_hops(routes: Iterable[Route]) -> Iterator[IPv6Address]:
    """The gateways of all routes."""
    for route in routes:
        yield from (hop.gateway for hop in route.hops if hop.gateway is not None)
