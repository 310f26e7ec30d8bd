"""The bytes of Neighbour Discovery messages, and which received ones are valid."""

from dataclasses import replace
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockeripv6mapper.kernel.ndp.messages import (
    ALL_NODES,
    HOP_LIMIT,
    UNSPECIFIED,
    Advertisement,
    Message,
    RouterSolicitation,
    Solicitation,
    checksum,
    pack,
    packet,
    parse,
    solicited_node,
)
from tests.unit.builders import MON_CONTAINER

MAC = bytes.fromhex("020000000001")
NONCE = bytes.fromhex("0a0b0c0d0e0f")
ROUTER = IPv6Address("fe80::1")
GROUP = solicited_node(MON_CONTAINER)
ADVERTISEMENT = Advertisement(MON_CONTAINER, MAC)
SOLICITATION = Solicitation(MON_CONTAINER, MAC)
PROBE = Solicitation(MON_CONTAINER, nonce=NONCE)
TARGET_HEX = "20010470 b0800103 0001003d 007a0030"

macs = st.none() | st.binary(min_size=6, max_size=6)
addresses = st.integers(0, (1 << 128) - 1).map(IPv6Address)
targets = addresses.filter(lambda address: not address.is_multicast)
messages = (
    st.builds(RouterSolicitation, macs)
    | st.builds(Solicitation, targets, macs, st.none() | st.binary(min_size=6, max_size=6))
    | st.builds(Advertisement, targets, macs, st.booleans(), st.booleans(), st.booleans())
)


def parse_valid(
    data: bytes, source: IPv6Address = ROUTER, destination: IPv6Address = ROUTER
) -> Message | None:
    """Parse a message that arrived with the right hop limit."""
    return parse(data, HOP_LIMIT, source, destination)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (ADVERTISEMENT, f"88000000 00000000 {TARGET_HEX} 02010200 00000001"),
        (replace(ADVERTISEMENT, override=True), f"88000000 20000000 {TARGET_HEX} 02010200 00000001"),
        (replace(ADVERTISEMENT, router=True), f"88000000 80000000 {TARGET_HEX} 02010200 00000001"),
        (replace(ADVERTISEMENT, solicited=True), f"88000000 40000000 {TARGET_HEX} 02010200 00000001"),
        (SOLICITATION, f"87000000 00000000 {TARGET_HEX} 01010200 00000001"),
        (PROBE, f"87000000 00000000 {TARGET_HEX} 0e010a0b 0c0d0e0f"),
        (RouterSolicitation(MAC), "85000000 00000000 01010200 00000001"),
        (Advertisement(MON_CONTAINER), f"88000000 00000000 {TARGET_HEX}"),
    ],
)
def test_the_bytes_are_those_of_the_rfc(message: Message, expected: str) -> None:
    """RFC 4861 §4.1, §4.3, §4.4: type, code, checksum, flags, target, options."""
    assert pack(message).hex(" ", 4) == expected


def test_a_packet_has_the_header_and_the_checksum_of_the_kernels_own_probe() -> None:
    """As captured from Linux: the probe of an address by its interface, with its checksum."""
    target = IPv6Address("fe80::54e0:e3ff:fe83:b8cf")
    message = Solicitation(target, nonce=bytes.fromhex("34aba96fbb08"))
    sent = packet(message, UNSPECIFIED, solicited_node(target))
    assert sent[:8].hex(" ", 4) == "60000000 00203aff"
    pseudo = sent[8:40] + bytes((0, 0, 0, 32, 0, 0, 0, 58))
    assert checksum(pseudo + sent[40:]) == 0
    assert sent[42:44] != bytes(2)


@given(messages)
def test_a_message_survives_packing_and_parsing(message: Message) -> None:
    """Every field, where it arrives as its kind requires."""
    assert parse_valid(pack(message)) == message


@given(messages, st.integers(0, 254))
def test_a_message_that_a_router_may_have_forwarded_is_discarded(message: Message, hop_limit: int) -> None:
    """RFC 4861 §7.1: only a neighbour's messages count."""
    assert parse(pack(message), hop_limit, ROUTER, ROUTER) is None


@given(st.binary(max_size=200), addresses, addresses)
def test_any_bytes_are_parsed_or_discarded(
    data: bytes, source: IPv6Address, destination: IPv6Address
) -> None:
    """No exception, whatever arrives."""
    parse_valid(data, source, destination)


@given(messages, st.data(), addresses, addresses)
def test_any_damaged_message_is_parsed_or_discarded(
    message: Message, data: st.DataObject, source: IPv6Address, destination: IPv6Address
) -> None:
    """Bytes changed, cut off or appended: no exception, and no message longer than it was."""
    damaged = bytearray(pack(message))
    for position, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(damaged) - 1), st.integers(0, 255)), max_size=4)
    ):
        damaged[position] = value
    length = data.draw(st.integers(0, len(damaged)))
    parse_valid(bytes(damaged[:length]) + data.draw(st.binary(max_size=40)), source, destination)


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(1, 4)), max_size=6))
def test_unknown_options_are_skipped(options: list[tuple[int, int]]) -> None:
    """RFC 4861 §4.6; of a repeated option the first counts."""
    unknown = b"".join(bytes((kind, units)).ljust(units * 8, b"\xff") for kind, units in options if kind > 14)
    data = pack(Advertisement(MON_CONTAINER)) + unknown + pack(ADVERTISEMENT)[24:]
    assert parse_valid(data + bytes.fromhex("0201ffffffffffff")) == ADVERTISEMENT


@pytest.mark.parametrize(
    ("data", "source", "destination"),
    [
        pytest.param(pack(ADVERTISEMENT)[:23], ROUTER, ALL_NODES, id="shorter than its header"),
        pytest.param(pack(ADVERTISEMENT)[:-1], ROUTER, ALL_NODES, id="option cut off"),
        pytest.param(
            pack(ADVERTISEMENT) + b"\x63\2".ljust(8), ROUTER, ALL_NODES, id="option longer than the message"
        ),
        pytest.param(pack(ADVERTISEMENT) + b"\1\0".ljust(8), ROUTER, ALL_NODES, id="option of length zero"),
        pytest.param(pack(ADVERTISEMENT) + b"\1", ROUTER, ALL_NODES, id="bytes after the options"),
        pytest.param(b"\x88\1" + pack(ADVERTISEMENT)[2:], ROUTER, ALL_NODES, id="code not zero"),
        pytest.param(b"\x89" + pack(ADVERTISEMENT)[1:], ROUTER, ALL_NODES, id="another type"),
        pytest.param(
            pack(replace(ADVERTISEMENT, target=ALL_NODES)), ROUTER, ALL_NODES, id="multicast target"
        ),
        pytest.param(
            pack(replace(ADVERTISEMENT, solicited=True)),
            ROUTER,
            ALL_NODES,
            id="solicited, to a multicast group",
        ),
        pytest.param(pack(PROBE), UNSPECIFIED, ROUTER, id="probe to a unicast address"),
        pytest.param(pack(PROBE), UNSPECIFIED, ALL_NODES, id="probe to all nodes"),
        pytest.param(pack(SOLICITATION), UNSPECIFIED, GROUP, id="probe with a link-layer address"),
        pytest.param(
            pack(RouterSolicitation(MAC)), UNSPECIFIED, ROUTER, id="the same of a router solicitation"
        ),
    ],
)
def test_an_invalid_message_is_discarded(data: bytes, source: IPv6Address, destination: IPv6Address) -> None:
    """RFC 4861 §6.1.1, §7.1.1, §7.1.2."""
    assert parse_valid(data, source, destination) is None


def test_a_probe_is_valid() -> None:
    """From the unspecified address, to the solicited-node group, without a link-layer address."""
    assert parse_valid(pack(PROBE), UNSPECIFIED, GROUP) == PROBE


def test_a_link_layer_address_of_another_length_counts_as_absent() -> None:
    """As InfiniBand's, of 20 bytes in an option of 24."""
    option = bytes((2, 3)).ljust(24, b"\1")
    assert parse_valid(pack(Advertisement(MON_CONTAINER)) + option) == Advertisement(MON_CONTAINER)


def test_the_solicited_node_group_has_the_addresss_low_24_bits() -> None:
    """The example of RFC 4291 §2.7.1."""
    assert solicited_node(IPv6Address("4037::1:800:200e:8c6c")) == IPv6Address("ff02::1:ff0e:8c6c")
