"""The label `ipv6.mapper.ports`: it opens exactly the ports that its writer meant, or none."""

import pytest

from dockeripv6mapper.mapping.ports import MOST_ITEMS, parse_ports, subtract
from dockeripv6mapper.model import Opening, Reason, RefusedError
from tests.unit.builders import MON_CONTAINER


def parse(text: str) -> list[tuple[str, int, int]]:
    """The openings of a label's value, as protocol, first and last port."""
    openings = parse_ports(text, MON_CONTAINER)
    assert all(opening.address == MON_CONTAINER for opening in openings)
    return [(opening.protocol, opening.first, opening.last) for opening in openings]


@pytest.mark.parametrize(
    ("text", "openings"),
    [
        ("80/tcp,443,53/udp", [("tcp", 80, 80), ("tcp", 443, 443), ("udp", 53, 53)]),
        ("8000-8100/tcp", [("tcp", 8000, 8100)]),
        ("443", [("tcp", 443, 443)]),
        (" 80/TCP , 81 ", [("tcp", 80, 81)]),
        ("1-65535/sctp", [("sctp", 1, 65535)]),
        ("80,80,80/tcp", [("tcp", 80, 80)]),
        ("80-90,85-95,96", [("tcp", 80, 96)]),
        ("80-90,85", [("tcp", 80, 90)]),
        ("all", [("sctp", 1, 65535), ("tcp", 1, 65535), ("udp", 1, 65535)]),
    ],
)
def test_items_become_ranges_that_neither_overlap_nor_touch(
    text: str, openings: list[tuple[str, int, int]]
) -> None:
    """The default protocol is `tcp`. An nft interval set refuses overlaps."""
    assert parse(text) == openings


@pytest.mark.parametrize(
    ("others", "left"),
    [
        ("85", ["80-84/tcp", "86-90/tcp"]),
        ("70-80,90", ["81-89/tcp"]),
        ("80-90", []),
        ("85/udp,91", ["80-90/tcp"]),
    ],
)
def test_the_ports_of_other_openings_are_subtracted(others: str, left: list[str]) -> None:
    """Those of the same protocol."""
    openings = parse_ports("80-90", MON_CONTAINER)
    assert [each.ports for each in subtract(openings, parse_ports(others, MON_CONTAINER))] == left


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("0", "'0'"),
        ("80,65536", "'65536'"),
        ("80,80-79", "'80-79'"),
        ("80/sctp2", "'80/sctp2'"),
        ("80,,81", "''"),
        ("", "''"),
        ("80/icmp", "'80/icmp'"),
        ("80-", "'80-'"),
        ("-80", "'-80'"),
        ("http", "'http'"),
        ("٨٠", ascii("٨٠")),
        ("80,all", "'all'"),
        ("999999", "'999999'"),
    ],
)
def test_an_invalid_item_refuses_the_label_and_is_named(text: str, item: str) -> None:
    """None of the label's ports is opened."""
    with pytest.raises(RefusedError) as caught:
        parse_ports(text, MON_CONTAINER)
    assert caught.value.refusal.reason is Reason.INVALID_LABEL
    assert f"ipv6.mapper.ports={item}" in caught.value.refusal.detail


def test_too_many_items_are_refused() -> None:
    """So many ports are written as a range."""
    assert parse(",".join(map(str, range(1, 2 * MOST_ITEMS, 2))))
    with pytest.raises(RefusedError, match="at most"):
        parse_ports(",".join(map(str, range(1, 5000))), MON_CONTAINER)


def test_an_opening_is_printed_as_in_a_label() -> None:
    """Port or range, and protocol."""
    assert str(Opening(MON_CONTAINER, "tcp", 80, 80)) == f"80/tcp of {MON_CONTAINER}"
    assert str(Opening(MON_CONTAINER, "udp", 8000, 8100)) == f"8000-8100/udp of {MON_CONTAINER}"
