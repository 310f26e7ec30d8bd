"""Netlink messages in a datagram."""

import pytest

from dockeripv6mapper.kernel.netlink import HEADER, Message, messages


def message(kind: int, body: bytes, sequence: int = 0) -> bytes:
    """A netlink message with its header, padded to four bytes."""
    length = HEADER.size + len(body)
    return HEADER.pack(length, kind, 0, sequence, 0) + body + b"\0" * (-length % 4)


def test_a_datagram_may_contain_several_messages() -> None:
    """Each is read, with the sequence number of the request that it answers."""
    datagram = message(16, b"abcd", 7) + message(24, b"abc", 8) + message(1, b"")
    assert list(messages(datagram)) == [
        Message(16, 0, 7, b"abcd"),
        Message(24, 0, 8, b"abc"),
        Message(1, 0, 0, b""),
    ]


@pytest.mark.parametrize("datagram", [b"", b"\0" * 16, b"\xff" * 40, message(16, b"abcdefgh")[:-4]])
def test_parsing_stops_at_a_malformed_message(datagram: bytes) -> None:
    """It raises nothing, and does not loop forever."""
    assert len(list(messages(datagram))) <= 1
