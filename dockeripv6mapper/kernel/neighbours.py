"""The kernel's table of proxy neighbours, over rtnetlink: many requests in one send.

Message by message and not through pyroute2, which takes a millisecond for what the kernel does in some
ten microseconds: this is in the path of every container start, and of ten thousand entries at once.
"""

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from itertools import count

from dockeripv6mapper.kernel.netlink import ATTRIBUTE, HEADER, attributes, messages

RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE_OR_CREATE = 0x500
"""Message types and flags of `linux/rtnetlink.h`, `linux/netlink.h`."""

NEIGHBOUR = struct.Struct("=BxxxiHBB")
"""`struct ndmsg`: family, interface index, state, flags, type."""
ERROR = struct.Struct("=i")
"""The beginning of `struct nlmsgerr`: 0, or a negative errno."""
NTF_PROXY = 0x08
NUD_PERMANENT = 0x80
NDA_DST, NDA_PROTOCOL = 1, 12

REQUESTS_PER_SEND = 100
"""The answers to as many fit a socket's receive buffer, which takes 208 KB, a good 700 bytes for each."""
RECEIVE_BYTES = 1 << 16
ANSWER_SECONDS = 10
"""The kernel answers at once: a longer silence is an answer that was lost."""

PROTOCOL_NONE = 0


@dataclass(frozen=True, slots=True)
class ProxyNeighbour:
    """An address that is proxied on an interface, by index."""

    address: IPv6Address
    index: int


Result = int | OSError | None
"""What came of a request: a protocol number, an error, or nothing to say."""


class ProxyNeighbours:
    """The table of the network namespace that this process is in. Close it."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.settimeout(ANSWER_SECONDS)
        self._sequence = count(1)

    def dump(self) -> Iterator[tuple[ProxyNeighbour, int]]:
        """All of them, each with its protocol number. Raises `OSError`."""
        sequence = next(self._sequence)
        body = NEIGHBOUR.pack(socket.AF_INET6, 0, 0, NTF_PROXY, 0)
        self._socket.send(_message(RTM_GETNEIGH, NLM_F_DUMP, sequence, body))
        for kind, body in self._answers(sequence):
            if kind == RTM_NEWNEIGH and (found := parse(body)) is not None:
                yield found

    def find(self, wanted: Sequence[ProxyNeighbour]) -> list[Result]:
        """For each its protocol number, None or ENOENT where there is none such, or what went wrong."""
        if len(wanted) > REQUESTS_PER_SEND:
            present = dict(self.dump())
            return [present.get(each) for each in wanted]
        return self._transact(RTM_GETNEIGH, 0, [pack(each) for each in wanted])

    def put(self, wanted: Sequence[ProxyNeighbour], protocol: int) -> list[Result]:
        """Add each, or make it of that protocol; for each None, or what went wrong."""
        bodies = [pack(each, NUD_PERMANENT, protocol) for each in wanted]
        return self._transact(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_REPLACE_OR_CREATE, bodies)

    def remove(self, unwanted: Sequence[ProxyNeighbour]) -> list[Result]:
        """Remove each; for each None, or what went wrong, ENOENT among it."""
        return self._transact(RTM_DELNEIGH, NLM_F_ACK, [pack(each) for each in unwanted])

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _transact(self, kind: int, flags: int, bodies: Sequence[bytes]) -> list[Result]:
        """Send requests and collect an answer to each, in their order. Raises `OSError` on the way."""
        results: list[Result] = []
        for begin in range(0, len(bodies), REQUESTS_PER_SEND):
            some = {next(self._sequence): body for body in bodies[begin : begin + REQUESTS_PER_SEND]}
            self._socket.send(b"".join(_message(kind, flags, each, body) for each, body in some.items()))
            answers: dict[int, Result] = {}
            while len(answers) < len(some):
                for answer, _, sequence, body in messages(self._socket.recv(RECEIVE_BYTES)):
                    if sequence in some:
                        answers[sequence] = _result(answer, body)
            results += [answers[sequence] for sequence in some]
        return results

    def _answers(self, wanted: int) -> Iterator[tuple[int, bytes]]:
        """The messages of a dump, until its end."""
        while True:
            for kind, _, sequence, body in messages(self._socket.recv(RECEIVE_BYTES)):
                if sequence != wanted:
                    continue
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR and (error := _result(kind, body)) is not None:
                    raise error if isinstance(error, OSError) else OSError(error)
                yield kind, body


def pack(neighbour: ProxyNeighbour, state: int = 0, protocol: int = PROTOCOL_NONE) -> bytes:
    """A proxy neighbour as the body of a request."""
    header = NEIGHBOUR.pack(socket.AF_INET6, neighbour.index, state, NTF_PROXY, 0)
    body = header + ATTRIBUTE.pack(ATTRIBUTE.size + 16, NDA_DST) + neighbour.address.packed
    if protocol != PROTOCOL_NONE:
        body += ATTRIBUTE.pack(ATTRIBUTE.size + 1, NDA_PROTOCOL) + bytes((protocol, 0, 0, 0))
    return body


def parse(body: bytes) -> tuple[ProxyNeighbour, int] | None:
    """The proxy neighbour in the body of an answer, and its protocol number; None for any other neighbour."""
    family, index, _state, flags, _kind = NEIGHBOUR.unpack_from(body)
    found = dict(attributes(body, NEIGHBOUR.size))
    if family != socket.AF_INET6 or not flags & NTF_PROXY or NDA_DST not in found:
        return None
    protocol = found.get(NDA_PROTOCOL, bytes((PROTOCOL_NONE,)))[0]
    return ProxyNeighbour(IPv6Address(found[NDA_DST]), index), protocol


def _message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    return HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | flags, sequence, 0) + body


def _result(kind: int, body: bytes) -> Result:
    if kind == NLMSG_ERROR:
        number = -ERROR.unpack_from(body)[0]
        return OSError(number, os.strerror(number)) if number else None
    found = parse(body)
    return None if found is None else found[1]
