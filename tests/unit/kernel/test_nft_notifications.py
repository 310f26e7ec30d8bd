"""Which notifications of nftables concern the mapper."""

import struct

import pytest

from dockeripv6mapper.kernel.netlink import ATTRIBUTE, HEADER, Message, messages
from dockeripv6mapper.kernel.nft_notifications import concerns_mapper

NEWTABLE, DELTABLE, NEWCHAIN, DELCHAIN, NEWRULE, DELRULE = 0, 2, 3, 5, 6, 8
NEWSET, DELSETELEM, NEWGEN = 9, 14, 15
KINDS = (NEWTABLE, DELTABLE, NEWCHAIN, DELCHAIN, NEWRULE, DELRULE, NEWSET, DELSETELEM)
IPV6, INET = 10, 1
OUR_PID = 4711
COMMENT = b"comment\0DockerIPV6Mapper\0"


def message(
    kind: int, table: str, *values: tuple[int, bytes], family: int = IPV6, port: int = 1, subsystem: int = 10
) -> Message:
    """A notification about a table and with further attributes."""
    body = struct.pack("=BBH", family, 0, 0)
    for number, value in ((1, table.encode() + b"\0"), *values):
        padded = value + b"\0" * (-len(value) % 4)
        body += ATTRIBUTE.pack(ATTRIBUTE.size + len(value), number) + padded
    return Message(subsystem << 8 | kind, 0, 0, body, port)


def concerns(each: Message) -> bool:
    """Whether it concerns the mapper, whose own command has the PID 4711."""
    return concerns_mapper(each, lambda port: port == OUR_PID)


@pytest.mark.parametrize("kind", KINDS)
def test_every_change_of_our_table_counts_unless_we_made_it(kind: int) -> None:
    """Tables of other families have the same name and are not ours."""
    assert concerns(message(kind, "dockeripv6mapper"))
    assert not concerns(message(kind, "dockeripv6mapper", port=OUR_PID))
    assert not concerns(message(kind, "dockeripv6mapper", family=INET))
    assert not concerns(message(kind, "dockeripv6mapper2"))
    assert not concerns(message(kind, "dockeripv6mapper", subsystem=1))


def test_our_accept_rules_count_and_the_engines_rules_do_not() -> None:
    """At a container's start, the engine writes rules into `raw` and `filter`."""
    for kind in (NEWRULE, DELRULE):
        assert concerns(message(kind, "raw", (2, b"PREROUTING\0"), (4, COMMENT)))
        assert not concerns(message(kind, "raw", (2, b"PREROUTING\0"), (4, b"other")))
        assert not concerns(message(kind, "filter", (2, b"DOCKER\0"), (4, b"DOCKER-USER\0")))


def test_the_place_of_our_rule_counts() -> None:
    """DOCKER-USER, and the jump to it in FORWARD."""
    for kind in (NEWCHAIN, DELCHAIN):
        assert concerns(message(kind, "filter", (3, b"DOCKER-USER\0")))
        assert not concerns(message(kind, "filter", (3, b"DOCKER\0")))
    assert concerns(message(DELRULE, "filter", (2, b"FORWARD\0"), (4, b"DOCKER-USER\0")))
    assert not concerns(message(DELRULE, "filter", (2, b"FORWARD\0"), (4, b"DOCKER-FORWARD\0")))


def test_the_end_of_a_transaction_does_not_count() -> None:
    """It names no table, and another number has the place of the name."""
    assert not concerns(message(NEWGEN, "dockeripv6mapper"))


def test_a_truncated_or_corrupt_message_raises_nothing() -> None:
    """Of each length, and with each byte replaced."""
    whole = message(DELRULE, "filter", (2, b"FORWARD\0"), (4, b"DOCKER-USER\0" + COMMENT))
    for length in range(len(whole.body)):
        concerns(whole._replace(body=whole.body[:length]))
        for junk in (0, 0xFF):
            corrupt = bytearray(whole.body)
            corrupt[length] = junk
            concerns(whole._replace(body=bytes(corrupt)))


def test_the_port_of_the_sender_is_read_from_the_header() -> None:
    """It is the PID of the process that made the change."""
    datagram = HEADER.pack(HEADER.size, 10 << 8, 0, 0, OUR_PID)
    assert [each.port for each in messages(datagram)] == [OUR_PID]
