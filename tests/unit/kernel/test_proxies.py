"""Proxy neighbours as bytes: what is asked of the kernel, and what it answers."""

import struct
from socket import AF_INET6

import pytest

from dockeripv6mapper.kernel.proxies import NTF_PROXY, ProxyNeighbour, pack, parse
from tests.unit.builders import MON_CONTAINER

NEIGHBOUR = ProxyNeighbour(MON_CONTAINER, 2)


def test_a_request_says_address_interface_state_and_protocol() -> None:
    """`struct ndmsg`, then NDA_DST and NDA_PROTOCOL, each padded to four bytes (`linux/neighbour.h`)."""
    header = struct.pack("=BxxxiHBB", AF_INET6, 2, 0x80, NTF_PROXY, 0)
    address = struct.pack("=HH", 20, 1) + MON_CONTAINER.packed
    protocol = struct.pack("=HHBxxx", 5, 12, 109)
    assert pack(NEIGHBOUR, 0x80, 109) == header + address + protocol


@pytest.mark.parametrize("protocol", [0, 109])
def test_what_is_asked_for_is_what_is_read(protocol: int) -> None:
    """The kernel answers in the form of the request; without a number, it is 0."""
    assert parse(pack(NEIGHBOUR, protocol=protocol)) == (NEIGHBOUR, protocol)


def test_a_neighbour_that_is_not_proxied_is_none_of_ours() -> None:
    """Nor is one without an address, or an attribute that is cut off."""
    body = pack(NEIGHBOUR)
    assert parse(body[:10] + b"\0" + body[11:]) is None
    assert parse(body[:12]) is None
    assert parse(body[:12] + b"\1\0\1\0") is None
