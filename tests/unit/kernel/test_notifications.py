"""Which netlink notifications are a change of an uplink, and which only renew a lifetime."""

import socket
import struct

import pytest

from dockeripv6mapper.kernel.netlink import NLM_F_REPLACE, Message
from dockeripv6mapper.kernel.notifications import (
    MAX_REMEMBERED,
    NETCONF_ALL,
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_DELNEXTHOP,
    RTM_DELROUTE,
    RTM_DELRULE,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWNETCONF,
    RTM_NEWNEXTHOP,
    RTM_NEWROUTE,
    RTM_NEWRULE,
    RenewalFilter,
    concerns_uplink,
    notifies_peers,
)

UPLINK, VETH = 2, 77
UPLINKS = frozenset({UPLINK})
GATEWAY, OTHER_GATEWAY = (socket.inet_pton(socket.AF_INET6, f"fe80::{each}") for each in (1, 2))


def link(index: int) -> bytes:
    """A `struct ifinfomsg`: family, pad, type, index, flags, change."""
    return struct.pack("=BxHiII", 0, 1, index, 0, 0)


def new_link(kind: str, changed: int = 0xFFFFFFFF, name: bytes = b"new0") -> bytes:
    """A new link's notification: `struct ifinfomsg`, then IFLA_IFNAME and IFLA_LINKINFO with its kind."""
    info = attribute(1, kind.encode() + b"\0")
    header = struct.pack("=BxHiII", 0, 1, VETH, 0, changed)
    return header + attribute(3, name + b"\0") + attribute(18, info)


def link_address(index: int) -> bytes:
    """A `struct ifaddrmsg`: family, prefix length, flags, scope, index."""
    return struct.pack("=BBBBI", 10, 64, 0, 0, index)


def route_to(dst_len: int) -> bytes:
    """The beginning of a `struct rtmsg`."""
    return struct.pack("=BBBBBBBBI", 10, dst_len, 0, 0, 254, 3, 0, 1, 0)


def netconf(index: int) -> bytes:
    """A `struct netconfmsg` and its attribute NETCONFA_IFINDEX."""
    return struct.pack("=B3xHHi", 10, 8, 1, index)


def attribute(kind: int, value: bytes) -> bytes:
    """A `struct rtattr`."""
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def route(gateway: bytes = GATEWAY, *, lifetime: int = 1800, link: int = 2, preference: int = 0) -> bytes:
    """A default route's notification: RTA_OIF, RTA_GATEWAY, RTA_CACHEINFO, RTA_PREF."""
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
    """An address's notification: IFA_ADDRESS, IFA_CACHEINFO, IFA_FLAGS."""
    header = struct.pack("=BBBBI", socket.AF_INET6, 64, 0, 0, 2)
    cache = struct.pack("=IIII", lifetime, lifetime, 0, 0)
    return header + attribute(1, GATEWAY) + attribute(6, cache) + attribute(8, struct.pack("=I", flags))


def notification(kind: int, body: bytes, flags: int = 0) -> Message:
    """A notification."""
    return Message(kind, flags, 0, body)


@pytest.mark.parametrize(
    ("kind", "first", "renewed"),
    [
        (RTM_NEWROUTE, route(), route(lifetime=1795)),
        (RTM_NEWADDR, address(), address(lifetime=1795)),
    ],
)
def test_a_renewed_lifetime_is_no_change(kind: int, first: bytes, renewed: bytes) -> None:
    """On some links it is renewed every few seconds. The first notification of a route is a change."""
    renewals = RenewalFilter()
    assert renewals.is_change(notification(kind, first))
    assert not renewals.is_change(notification(kind, renewed))


@pytest.mark.parametrize(
    ("kind", "first", "changed"),
    [
        (RTM_NEWROUTE, route(), route(OTHER_GATEWAY)),
        (RTM_NEWROUTE, route(), route(link=3)),
        (RTM_NEWROUTE, route(), route(preference=1)),
        (RTM_NEWADDR, address(), address(flags=0x40)),
    ],
)
def test_any_other_difference_is_a_change(kind: int, first: bytes, changed: bytes) -> None:
    """The same notification again is none: the last one of each route and address is remembered."""
    renewals = RenewalFilter()
    renewals.is_change(notification(kind, first))
    assert renewals.is_change(notification(kind, changed))
    assert not renewals.is_change(notification(kind, changed))


def test_flags_that_alternate_are_a_change_each_time() -> None:
    """An address is tentative, usable, tentative again: only its last state is remembered."""
    renewals = RenewalFilter()
    changes = [renewals.is_change(notification(RTM_NEWADDR, address(flags))) for flags in (0x40, 0, 0x40, 0)]
    assert changes == [True, True, True, True]


@pytest.mark.parametrize("kind", [RTM_DELROUTE, RTM_DELADDR])
def test_a_route_or_address_that_returns_is_a_change(kind: int) -> None:
    """For example, a default route after its lifetime had ended."""
    renewals = RenewalFilter()
    renewals.is_change(notification(RTM_NEWROUTE, route()))
    assert renewals.is_change(notification(kind, route()))
    assert renewals.is_change(notification(RTM_NEWROUTE, route()))


def test_a_replaced_route_that_returns_is_a_change() -> None:
    """For a replacement the kernel notifies only of the new route, not of the old one's end."""
    renewals = RenewalFilter()
    changes = [
        renewals.is_change(notification(RTM_NEWROUTE, route(gateway), NLM_F_REPLACE))
        for gateway in (GATEWAY, OTHER_GATEWAY, GATEWAY)
    ]
    assert changes == [True, True, True]


def test_each_message_of_a_datagram_is_remembered() -> None:
    """Also those after the first that is a change."""
    renewals = RenewalFilter()
    renewals.is_change(notification(RTM_NEWROUTE, route()))
    assert renewals.any_change([notification(RTM_NEWADDR, address()), notification(RTM_DELROUTE, route())])
    assert renewals.any_change([notification(RTM_NEWROUTE, route())])
    assert not renewals.any_change([notification(RTM_NEWROUTE, route())])


def test_everything_is_a_change_after_lost_messages() -> None:
    """One of the lost messages may have been a change."""
    renewals = RenewalFilter()
    renewals.is_change(notification(RTM_NEWROUTE, route()))
    renewals.forget()
    assert renewals.is_change(notification(RTM_NEWROUTE, route()))


def test_a_link_notification_is_always_a_change() -> None:
    """Its message contains counters, so it is not compared. A lifetime renewal causes none."""
    renewals = RenewalFilter()
    assert all(renewals.is_change(notification(RTM_NEWLINK, b"")) for _ in range(2))


@pytest.mark.parametrize("body", [b"", b"\0", route()[:20], address()[:9], b"\xff" * 40])
def test_a_truncated_message_raises_nothing(body: bytes) -> None:
    """A newer kernel may send other attributes."""
    renewals = RenewalFilter()
    for kind in (RTM_NEWROUTE, RTM_NEWADDR):
        assert renewals.is_change(notification(kind, body))


def test_the_memory_is_bounded() -> None:
    """With more routes than the limit, a renewal counts as a change and costs one reading."""
    renewals = RenewalFilter()
    for number in range(MAX_REMEMBERED + 1):
        renewals.is_change(notification(RTM_NEWROUTE, route(link=number)))
    assert renewals.is_change(notification(RTM_NEWROUTE, route(link=0)))


@pytest.mark.parametrize(
    ("kind", "body", "concerns"),
    [
        (RTM_NEWLINK, link(UPLINK), True),
        (RTM_DELLINK, link(UPLINK), True),
        (RTM_NEWLINK, link(VETH), False),
        (RTM_DELADDR, link_address(UPLINK), True),
        (RTM_NEWADDR, link_address(VETH), False),
        (RTM_NEWROUTE, route_to(0), True),
        (RTM_DELROUTE, route_to(0), True),
        (RTM_NEWROUTE, route_to(3), True),
        (RTM_DELROUTE, route_to(1), True),
        (RTM_NEWROUTE, route_to(64), False),
        (RTM_NEWRULE, b"", True),
        (RTM_DELRULE, b"", True),
        (RTM_NEWNEXTHOP, b"", True),
        (RTM_DELNEXTHOP, b"", True),
        (RTM_NEWLINK, new_link("bridge"), True),
        (RTM_NEWLINK, new_link("tun"), True),
        (RTM_NEWLINK, new_link("veth"), True),
        (RTM_NEWLINK, new_link("veth", name=b"veth0a1b2c3"), False),
        (RTM_NEWLINK, new_link("bridge", changed=1), False),
        (RTM_NEWNETCONF, netconf(UPLINK), True),
        (RTM_NEWNETCONF, netconf(NETCONF_ALL), True),
        (RTM_NEWNETCONF, netconf(VETH), False),
        (RTM_NEWLINK, b"", False),
        (RTM_NEWNETCONF, b"\0", False),
        (99, link(UPLINK), False),
    ],
)
def test_other_links_and_routes_are_ignored(kind: int, body: bytes, concerns: bool) -> None:
    """Every container start changes some link, which must not cause a full pass."""
    assert concerns_uplink(kind, body, UPLINKS) is concerns


@pytest.mark.parametrize(("kind", "concerns"), [(RTM_NEWLINK, True), (RTM_DELLINK, False)])
def test_any_new_link_may_be_a_missing_uplink(kind: int, concerns: bool) -> None:
    """`--uplink` may name a link that does not exist yet, or that is created again with another index."""
    assert concerns_uplink(kind, link(VETH), None) is concerns


def test_a_links_notification_says_that_the_kernel_notifies_its_peers() -> None:
    """After `NETDEV_NOTIFY_PEERS`: IFLA_EVENT (44) is 4. Other events, and other messages, do not say so."""
    named = link(UPLINK) + attribute(3, b"eth0\0")
    asking, other = (named + attribute(44, struct.pack("=I", event)) for event in (4, 3))
    assert notifies_peers(notification(RTM_NEWLINK, asking)) == UPLINK
    for kind, body in (
        (RTM_NEWLINK, other),
        (RTM_NEWLINK, named),
        (RTM_DELLINK, asking),
        (RTM_NEWADDR, asking),
    ):
        assert notifies_peers(notification(kind, body)) is None


@pytest.mark.parametrize("length", range(24))
def test_a_link_notification_cut_off_anywhere_is_none(length: int) -> None:
    """No exception."""
    body = (link(UPLINK) + attribute(44, struct.pack("=I", 4)))[:length]
    assert notifies_peers(notification(RTM_NEWLINK, body)) in (None, UPLINK)


def test_other_uplinks_settings_are_reported_while_one_is_missing() -> None:
    """Their indexes are not passed then."""
    assert concerns_uplink(RTM_NEWNETCONF, netconf(UPLINK), None)
