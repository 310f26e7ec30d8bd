"""The rtnetlink socket, its messages, and its errors as ours."""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EPERM
from pathlib import Path
from typing import NamedTuple

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from dockeripv6mapper.errors import KernelRefusedError, MapperError, PermissionMissingError

CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13}
"""Bits in a capability set (`linux/capability.h`)."""

HEADER = struct.Struct("=IHHII")
"""`struct nlmsghdr`: length, type, flags, sequence, port."""
ATTRIBUTE = struct.Struct("=HH")
"""`struct rtattr`: length, type; the value follows, padded to four bytes."""

RTMGRP_LINK, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE = 1 << 0, 1 << 8, 1 << 10
RTMGRP_IPV6_NETCONF, RTMGRP_NEXTHOP = 1 << 24, 1 << 31
"""What the kernel notifies of (`linux/rtnetlink.h`); the last two are its groups 25 and 32, RTNLGRP_…."""

PERMISSION_HINT = "run as root, or with the capability CAP_NET_ADMIN, as the systemd unit does"


def open_rtnetlink() -> IPRoute:
    """A socket to the network namespace that this process is in. Close it."""
    try:
        return IPRoute()
    except OSError as error:
        raise MapperError(f"opening a netlink socket: {error.strerror}") from error


def open_notifications(groups: int) -> socket.socket:
    """A socket that hears what the kernel notifies of from now on. Raises `OSError`. Close it."""
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    opened.bind((0, groups))
    return opened


class Message(NamedTuple):
    """A netlink message: `struct nlmsghdr` without what is of no use here, and what follows it."""

    kind: int
    flags: int
    sequence: int
    body: bytes


def messages(datagram: bytes) -> Iterator[Message]:
    """The netlink messages of a datagram. Ends at anything malformed."""
    offset = 0
    while offset + HEADER.size <= len(datagram):
        length, kind, flags, sequence, _port = HEADER.unpack_from(datagram, offset)
        if length < HEADER.size:
            return
        yield Message(kind, flags, sequence, datagram[offset + HEADER.size : offset + length])
        offset += length + 3 & ~3


def attributes(body: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """The attributes in a message's body from `offset` on: type, value. Ends at anything malformed."""
    while offset + ATTRIBUTE.size <= len(body):
        length, kind = ATTRIBUTE.unpack_from(body, offset)
        if length < ATTRIBUTE.size:
            return
        yield kind, body[offset + ATTRIBUTE.size : offset + length]
        offset += length + 3 & ~3


@contextmanager
def speaking(doing: str) -> Iterator[None]:
    """Turn what goes wrong with a netlink request into our errors."""
    try:
        yield
    except NetlinkError as error:
        hint = PERMISSION_HINT if error.code == EPERM else None
        raise KernelRefusedError(f"{doing}: {os.strerror(error.code)}", hint=hint) from error
    except OSError as error:
        raise KernelRefusedError(f"{doing}: {error.strerror or error}") from error


def capabilities(process: str = "self") -> frozenset[str]:
    """Of the capabilities that the mapper has a use for, those that a process has. Raises `OSError`."""
    status = Path(f"/proc/{process}/status").read_text().splitlines()
    effective = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))
    return frozenset(name for name, bit in CAPABILITIES.items() if effective >> bit & 1)


def require_net_admin() -> None:
    """Raise `PermissionMissingError` where the process may not change the kernel's tables."""
    if "CAP_NET_ADMIN" not in capabilities():
        raise PermissionMissingError(
            "changing the kernel's neighbour table: CAP_NET_ADMIN is missing", hint=PERMISSION_HINT
        )
