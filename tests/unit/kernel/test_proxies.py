"""Proxy entries as bytes of rtnetlink requests and answers."""

import struct
from socket import AF_INET6

import pytest

from dockeripv6mapper.kernel.proxies import NTF_PROXY, ProxyNeighbour, pack, parse
from tests.unit.builders import MON_CONTAINER

NEIGHBOUR = ProxyNeighbour(MON_CONTAINER, 2)


def test_a_request_has_address_interface_state_and_protocol() -> None:
    """`struct ndmsg`, then NDA_DST and NDA_PROTOCOL, each padded to four bytes (`linux/neighbour.h`)."""
    header = struct.pack("=BxxxiHBB", AF_INET6, 2, 0x80, NTF_PROXY, 0)
    address = struct.pack("=HH", 20, 1) + MON_CONTAINER.packed
    protocol = struct.pack("=HHBxxx", 5, 12, 109)
    assert pack(NEIGHBOUR, 0x80, 109) == header + address + protocol


@pytest.mark.parametrize("protocol", [0, 109])
def test_parse_reverses_pack(protocol: int) -> None:
    """An answer has the request's format. Without NDA_PROTOCOL the number is 0."""
    assert parse(pack(NEIGHBOUR, protocol=protocol)) == (NEIGHBOUR, protocol)


def test_other_neighbours_are_ignored() -> None:
    """One without NTF_PROXY, one without an address, and one with a malformed attribute."""
    body = pack(NEIGHBOUR)
    assert parse(body[:10] + b"\0" + body[11:]) is None
    assert parse(body[:12]) is None
    assert parse(body[:12] + b"\1\0\1\0") is None
