"""What a router advertisement renews is no news; all else is."""

import socket
import struct

import pytest

from dockeripv6mapper.kernel.netlink import Message
from dockeripv6mapper.kernel.notifications import (
    MOST_REMEMBERED,
    NETCONF_ALL,
    NLM_F_REPLACE,
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_DELROUTE,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWNETCONF,
    RTM_NEWROUTE,
    Renewals,
    concerns,
)

GATEWAY, OTHER_GATEWAY = (socket.inet_pton(socket.AF_INET6, f"fe80::{each}") for each in (1, 2))


def attribute(kind: int, value: bytes) -> bytes:
    """A `struct rtattr`."""
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def route(gateway: bytes = GATEWAY, *, lifetime: int = 1800, link: int = 2, preference: int = 0) -> bytes:
    """A default route as the kernel notifies of it: RTA_OIF, RTA_GATEWAY, RTA_CACHEINFO, RTA_PREF."""
    header = struct.pack("=BBBBBBBBI", socket.AF_INET6, 0, 0, 0, 254, 9, 0, 1, 0)
    cache = struct.pack("=IIiiIIII", 0, 0, lifetime, 0, 0, 0, 0, 0)
    return header + b"".join(
        [
            attribute(4, struct.pack("=I", link)),
            attribute(5, gateway),
            attribute(12, cache),
            attribute(20, bytes([preference])),
        ]
    )


def address(flags: int = 0, *, lifetime: int = 1800) -> bytes:
    """An address as the kernel notifies of it: IFA_ADDRESS, IFA_CACHEINFO, IFA_FLAGS."""
    header = struct.pack("=BBBBI", socket.AF_INET6, 64, 0, 0, 2)
    cache = struct.pack("=IIII", lifetime, lifetime, 0, 0)
    return header + attribute(1, GATEWAY) + attribute(6, cache) + attribute(8, struct.pack("=I", flags))


def told(kind: int, body: bytes, flags: int = 0) -> Message:
    """A notification."""
    return Message(kind, flags, 0, body)


@pytest.mark.parametrize(
    ("kind", "first", "renewed"),
    [
        (RTM_NEWROUTE, route(), route(lifetime=1795)),
        (RTM_NEWADDR, address(), address(lifetime=1795)),
    ],
)
def test_a_renewed_lifetime_is_no_news(kind: int, first: bytes, renewed: bytes) -> None:
    """Every few seconds there is one on some links; the first time the route or address is new."""
    renewals = Renewals()
    assert renewals.is_news(told(kind, first))
    assert not renewals.is_news(told(kind, renewed))


@pytest.mark.parametrize(
    ("kind", "first", "changed"),
    [
        (RTM_NEWROUTE, route(), route(OTHER_GATEWAY)),
        (RTM_NEWROUTE, route(), route(link=3)),
        (RTM_NEWROUTE, route(), route(preference=1)),
        (RTM_NEWADDR, address(), address(flags=0x40)),
    ],
)
def test_what_changed_is_news_and_so_is_what_it_was_before(kind: int, first: bytes, changed: bytes) -> None:
    """Of each route and address the last state is remembered, and no earlier one."""
    renewals = Renewals()
    renewals.is_news(told(kind, first))
    assert renewals.is_news(told(kind, changed))
    assert not renewals.is_news(told(kind, changed))


def test_flags_that_come_and_go_are_news_each_time() -> None:
    """An address that is tentative, usable and tentative again."""
    renewals = Renewals()
    seen = [renewals.is_news(told(RTM_NEWADDR, address(flags))) for flags in (0x40, 0, 0x40, 0)]
    assert seen == [True, True, True, True]


@pytest.mark.parametrize("kind", [RTM_DELROUTE, RTM_DELADDR])
def test_what_comes_back_after_it_was_gone_is_news(kind: int) -> None:
    """As a default route does whose lifetime ended."""
    renewals = Renewals()
    renewals.is_news(told(RTM_NEWROUTE, route()))
    assert renewals.is_news(told(kind, route()))
    assert renewals.is_news(told(RTM_NEWROUTE, route()))


def test_a_route_that_another_has_replaced_is_news_when_it_is_back() -> None:
    """The kernel notifies of each in turn, and of no end."""
    renewals = Renewals()
    seen = [
        renewals.is_news(told(RTM_NEWROUTE, route(gateway), NLM_F_REPLACE))
        for gateway in (GATEWAY, OTHER_GATEWAY, GATEWAY)
    ]
    assert seen == [True, True, True]


def test_of_messages_that_come_together_each_is_remembered() -> None:
    """Also those after the first that is news."""
    renewals = Renewals()
    renewals.is_news(told(RTM_NEWROUTE, route()))
    assert renewals.have_news([told(RTM_NEWADDR, address()), told(RTM_DELROUTE, route())])
    assert renewals.have_news([told(RTM_NEWROUTE, route())])
    assert not renewals.have_news([told(RTM_NEWROUTE, route())])


def test_all_is_news_after_messages_were_lost() -> None:
    """One of them may have told of a change."""
    renewals = Renewals()
    renewals.is_news(told(RTM_NEWROUTE, route()))
    renewals.forget()
    assert renewals.is_news(told(RTM_NEWROUTE, route()))


def test_links_are_always_news() -> None:
    """A link's message holds counters, which an advertisement does not touch."""
    renewals = Renewals()
    assert all(renewals.is_news(told(RTM_NEWLINK, b"")) for _ in range(2))


@pytest.mark.parametrize("body", [b"", b"\0", route()[:20], address()[:9], b"\xff" * 40])
def test_a_message_that_is_cut_short_does_no_harm(body: bytes) -> None:
    """It is the kernel's, and may be of a newer one."""
    renewals = Renewals()
    for kind in (RTM_NEWROUTE, RTM_NEWADDR):
        assert renewals.is_news(told(kind, body))


def test_what_is_remembered_is_bounded() -> None:
    """With more routes than that, a renewal costs a look."""
    renewals = Renewals()
    for number in range(MOST_REMEMBERED + 1):
        renewals.is_news(told(RTM_NEWROUTE, route(link=number)))
    assert renewals.is_news(told(RTM_NEWROUTE, route(link=0)))


UPLINK, VETH = 2, 77
UPLINKS = frozenset({UPLINK})


def link(index: int) -> bytes:
    """A `struct ifinfomsg`: family, pad, type, index, flags, change."""
    return struct.pack("=BxHiII", 0, 1, index, 0, 0)


def address_of(index: int) -> bytes:
    """A `struct ifaddrmsg`: family, prefix length, flags, scope, index."""
    return struct.pack("=BBBBI", 10, 64, 0, 0, index)


def route_to(dst_len: int) -> bytes:
    """The beginning of a `struct rtmsg`."""
    return struct.pack("=BBBBBBBBI", 10, dst_len, 0, 0, 254, 3, 0, 1, 0)


def netconf(index: int) -> bytes:
    """A `struct netconfmsg` and its attribute NETCONFA_IFINDEX."""
    return struct.pack("=B3xHHi", 10, 8, 1, index)


@pytest.mark.parametrize(
    ("kind", "body", "concerned"),
    [
        (RTM_NEWLINK, link(UPLINK), True),
        (RTM_DELLINK, link(UPLINK), True),
        (RTM_NEWLINK, link(VETH), False),
        (RTM_DELADDR, address_of(UPLINK), True),
        (RTM_NEWADDR, address_of(VETH), False),
        (RTM_NEWROUTE, route_to(0), True),
        (RTM_DELROUTE, route_to(0), True),
        (RTM_NEWROUTE, route_to(64), False),
        (RTM_NEWNETCONF, netconf(UPLINK), True),
        (RTM_NEWNETCONF, netconf(NETCONF_ALL), True),
        (RTM_NEWNETCONF, netconf(VETH), False),
        (RTM_NEWLINK, b"", False),
        (RTM_NEWNETCONF, b"\0", False),
        (99, link(UPLINK), False),
    ],
)
def test_only_uplinks_and_default_routes_concern_us(kind: int, body: bytes, concerned: bool) -> None:
    """Every container start changes some link: those are none of our business."""
    assert concerns(kind, body, UPLINKS) is concerned


@pytest.mark.parametrize(("kind", "concerned"), [(RTM_NEWLINK, True), (RTM_DELLINK, False)])
def test_any_new_link_may_be_the_uplink_that_is_awaited(kind: int, concerned: bool) -> None:
    """One that was named and is not there, or that was made anew with another index."""
    assert concerns(kind, link(VETH), None) is concerned
