"""What `ipv6.mapper.ports` opens: exactly what its writer meant, or nothing."""

import pytest

from dockeripv6mapper.mapping.ports import MOST_ITEMS, parse_ports
from dockeripv6mapper.model import Opening, Reason, RefusedError
from tests.unit.builders import MON_CONTAINER


def opened(text: str) -> list[tuple[str, int, int]]:
    """The openings of a label's value, without the address."""
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
    """`tcp` where no protocol is named; an interval set takes no overlaps."""
    assert opened(text) == openings


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
def test_an_item_that_cannot_be_understood_is_named(text: str, item: str) -> None:
    """None of the label's ports is opened then."""
    with pytest.raises(RefusedError) as caught:
        parse_ports(text, MON_CONTAINER)
    assert caught.value.refusal.reason is Reason.INVALID_LABEL
    assert f"ipv6.mapper.ports={item}" in caught.value.refusal.detail


def test_thousands_of_items_are_refused() -> None:
    """Whoever means that many means a range."""
    assert opened(",".join(map(str, range(1, 2 * MOST_ITEMS, 2))))
    with pytest.raises(RefusedError, match="at most"):
        parse_ports(",".join(map(str, range(1, 5000))), MON_CONTAINER)


def test_an_opening_is_shown_as_a_label_gives_it() -> None:
    """Port or range, and protocol."""
    assert str(Opening(MON_CONTAINER, "tcp", 80, 80)) == f"80/tcp of {MON_CONTAINER}"
    assert str(Opening(MON_CONTAINER, "udp", 8000, 8100)) == f"8000-8100/udp of {MON_CONTAINER}"
