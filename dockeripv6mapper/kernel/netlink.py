"""rtnetlink: sockets, the message format, errors, and the capabilities that it needs.

Requests with few answers and a short deadline go through `RequestSocket`, message by message. Long dumps of
links, addresses and routes go through pyroute2, which knows their many attributes (see `topology`).
"""

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from errno import EPERM
from itertools import count
from pathlib import Path
from typing import NamedTuple, TypeAlias

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from dockeripv6mapper.errors import KernelRefusedError, MapperError, PermissionMissingError

CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13}
"""The capabilities that the mapper uses; their bits in a capability set (`linux/capability.h`)."""
PERMISSION_HINT = "run as root, or with the capability CAP_NET_ADMIN, as the systemd unit does"

HEADER = struct.Struct("=IHHII")
"""`struct nlmsghdr`: length, type, flags, sequence, port."""
ATTRIBUTE = struct.Struct("=HH")
"""`struct rtattr`: length, type; the value follows, padded to four bytes."""
ERROR = struct.Struct("=i")
"""The beginning of `struct nlmsgerr`: 0, or a negative errno."""

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_REPLACE, NLM_F_CREATE = 0x100, 0x400
"""Message types and flags of `linux/netlink.h`."""

RTMGRP_LINK, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE = 1 << 0, 1 << 8, 1 << 10
RTMGRP_IPV6_RULE, RTMGRP_IPV6_NETCONF, RTMGRP_NEXTHOP = 1 << 18, 1 << 24, 1 << 31
"""Multicast groups of notifications (`linux/rtnetlink.h`). The last three are RTNLGRP_IPV6_RULE (19),
RTNLGRP_IPV6_NETCONF (25) and RTNLGRP_NEXTHOP (32)."""

REQUESTS_PER_SEND = 100
"""An answer takes a good 700 bytes of the receive buffer, and the buffer's default is 208 KB."""
RECEIVE_BYTES = 1 << 16
ANSWER_TIMEOUT_SECONDS = 10
"""The kernel answers at once. After this time the answer must have been lost."""


class Message(NamedTuple):
    """A netlink message: the useful fields of `struct nlmsghdr`, and the body after it."""

    kind: int
    flags: int
    sequence: int
    body: bytes
    port: int = 0
    """The sender's port: of a notification, that of the process that made the change, by default its PID."""


Answer: TypeAlias = bytes | OSError | None
"""The answer to one request: the body of a message, an error, or an acknowledgement (None)."""


class RequestSocket:
    """Sends netlink requests, many in one send, and collects an answer to each. Close it.

    pyroute2 takes about a millisecond for a request that the kernel serves in some ten microseconds. Every
    container start waits for such a request, and some hosts have ten thousand proxy entries.
    """

    def __init__(self, protocol: int = socket.NETLINK_ROUTE) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        self._socket.settimeout(ANSWER_TIMEOUT_SECONDS)
        self._sequence = count(1)

    def request(
        self, kind: int, flags: int, bodies: Sequence[bytes], *, before: bytes = b"", after: bytes = b""
    ) -> list[Answer]:
        """Send one request for each body; returns the answers in the same order.

        `before`, `after`: messages around them, with the number 0 (see `pack_message`); the kernel answers
        them only where it refuses all. Raises `OSError` then, and where sending or receiving fails, a timeout
        included.
        """
        answers: list[Answer] = []
        for begin in range(0, len(bodies), REQUESTS_PER_SEND):
            batch = {next(self._sequence): body for body in bodies[begin : begin + REQUESTS_PER_SEND]}
            requests = (pack_message(kind, flags, number, body) for number, body in batch.items())
            self._socket.send(b"".join((before, *requests, after)))
            by_number: dict[int, Answer] = {}
            while len(by_number) < len(batch):
                for message in messages(self._socket.recv(RECEIVE_BYTES)):
                    if message.sequence in batch:
                        by_number[message.sequence] = _answer(message)
                    elif (
                        before and message.sequence == 0 and isinstance(refused := _answer(message), OSError)
                    ):
                        raise refused
            answers += [by_number[number] for number in batch]
        return answers

    def dump(self, kind: int, body: bytes) -> Iterator[Message]:
        """Request a dump; yields its messages. Raises `OSError`."""
        number = next(self._sequence)
        self._socket.send(pack_message(kind, NLM_F_DUMP, number, body))
        while True:
            for message in messages(self._socket.recv(RECEIVE_BYTES)):
                if message.sequence != number:
                    continue
                if message.kind == NLMSG_DONE:
                    return
                if isinstance(error := _answer(message), OSError):
                    raise error
                yield message

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def open_rtnetlink() -> IPRoute:
    """A pyroute2 socket in this process's network namespace. Raises `MapperError`. Close it."""
    try:
        return IPRoute()
    except OSError as error:
        raise MapperError(f"opening a netlink socket: {error.strerror}") from error


def open_notifications(groups: int, protocol: int = socket.NETLINK_ROUTE) -> socket.socket:
    """A socket that receives the notifications of some groups from now on. Raises `OSError`. Close it."""
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    try:
        opened.bind((0, groups))
    except OSError:
        opened.close()
        raise
    return opened


def messages(datagram: bytes) -> Iterator[Message]:
    """The netlink messages of a datagram. Stops at a malformed one."""
    offset = 0
    while offset + HEADER.size <= len(datagram):
        length, kind, flags, sequence, port = HEADER.unpack_from(datagram, offset)
        if length < HEADER.size:
            return
        yield Message(kind, flags, sequence, datagram[offset + HEADER.size : offset + length], port)
        offset += length + 3 & ~3


def attributes(body: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """The attributes in a message's body from `offset` on: type, value. Stops at a malformed one."""
    while offset + ATTRIBUTE.size <= len(body):
        length, kind = ATTRIBUTE.unpack_from(body, offset)
        if length < ATTRIBUTE.size:
            return
        yield kind, body[offset + ATTRIBUTE.size : offset + length]
        offset += length + 3 & ~3


def pack_message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """A request with its header."""
    return HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | flags, sequence, 0) + body


def _answer(message: Message) -> Answer:
    if message.kind != NLMSG_ERROR:
        return message.body
    number = -ERROR.unpack_from(message.body)[0]
    return OSError(number, os.strerror(number)) if number else None


@contextmanager
def translated_errors(doing: str) -> Iterator[None]:
    """Raise errors of a netlink request as `KernelRefusedError`; `doing` begins the message."""
    try:
        yield
    except NetlinkError as error:
        hint = PERMISSION_HINT if error.code == EPERM else None
        raise KernelRefusedError(f"{doing}: {os.strerror(error.code)}", hint=hint) from error
    except OSError as error:
        raise KernelRefusedError(f"{doing}: {error.strerror or error}") from error


def capabilities(process: str = "self") -> frozenset[str]:
    """Those of `CAPABILITIES` that a process has; `process` is a directory of /proc. Raises `OSError`."""
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    effective = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))
    return frozenset(name for name, bit in CAPABILITIES.items() if effective >> bit & 1)


def require_net_admin() -> None:
    """Raise `PermissionMissingError` where the process may not change the kernel's tables."""
    if "CAP_NET_ADMIN" not in capabilities():
        raise PermissionMissingError(
            "changing the kernel's neighbour table: CAP_NET_ADMIN is missing", hint=PERMISSION_HINT
        )
