"""Which of the kernel's notifications are worth a full pass."""

import struct

import pytest

from dockeripv6mapper.kernel import notifications, watch

UPLINK, VETH = 2, 77
UPLINKS = frozenset({UPLINK})


def link(index: int) -> bytes:
    """A `struct ifinfomsg`: family, pad, type, index, flags, change."""
    return struct.pack("=BxHiII", 0, 1, index, 0, 0)


def address(index: int) -> bytes:
    """A `struct ifaddrmsg`: family, prefix length, flags, scope, index."""
    return struct.pack("=BBBBI", 10, 64, 0, 0, index)


def route(dst_len: int) -> bytes:
    """The beginning of a `struct rtmsg`."""
    return struct.pack("=BBBBBBBBI", 10, dst_len, 0, 0, 254, 3, 0, 1, 0)


def netconf(index: int) -> bytes:
    """A `struct netconfmsg` and its attribute NETCONFA_IFINDEX."""
    return struct.pack("=B3xHHi", 10, 8, 1, index)


@pytest.mark.parametrize(
    ("kind", "body", "concerned"),
    [
        (watch.RTM_NEWLINK, link(UPLINK), True),
        (watch.RTM_DELLINK, link(UPLINK), True),
        (watch.RTM_NEWLINK, link(VETH), False),
        (notifications.RTM_DELADDR, address(UPLINK), True),
        (notifications.RTM_NEWADDR, address(VETH), False),
        (notifications.RTM_NEWROUTE, route(0), True),
        (notifications.RTM_DELROUTE, route(0), True),
        (notifications.RTM_NEWROUTE, route(64), False),
        (watch.RTM_NEWNETCONF, netconf(UPLINK), True),
        (watch.RTM_NEWNETCONF, netconf(watch.NETCONF_ALL), True),
        (watch.RTM_NEWNETCONF, netconf(VETH), False),
        (watch.RTM_NEWLINK, b"", False),
        (watch.RTM_NEWNETCONF, b"\0", False),
        (99, link(UPLINK), False),
    ],
)
def test_only_uplinks_and_default_routes_concern_us(kind: int, body: bytes, concerned: bool) -> None:
    """Every container start changes some link: those are none of our business."""
    assert watch.concerns(kind, body, UPLINKS) is concerned


@pytest.mark.parametrize(("kind", "concerned"), [(watch.RTM_NEWLINK, True), (watch.RTM_DELLINK, False)])
def test_any_new_link_may_be_the_uplink_that_is_awaited(kind: int, concerned: bool) -> None:
    """One that was named and is not there, or that was made anew with another index."""
    assert watch.concerns(kind, link(VETH), None) is concerned
