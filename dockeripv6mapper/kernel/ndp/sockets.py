"""Raw ICMPv6 sockets for Neighbour Discovery: send a message, and receive the valid ones.

Non-blocking: a full send queue or an empty receive queue never makes the caller wait.

Not a packet socket (`AF_PACKET`): other protocols' packets cost nothing here, the kernel checks the checksum,
and closing is quick. The sender's MAC address is not shown, but an option of the message has it. The host
receives solicitations for a proxied address, since the kernel joins its solicited-node group for the
entry (`pndisc_constructor` in `net/ipv6/ndisc.c`).
"""

import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address

from dockeripv6mapper.kernel.ndp.messages import HOP_LIMIT, UNSPECIFIED, Message, pack, packet, parse

ICMP6_FILTER = 1
FILTER_WORDS = 8
"""`struct icmp6_filter`: a bit for each ICMPv6 type, which is blocked where it is set (RFC 3542 §3.2)."""
IPV6_TRANSPARENT = 75
"""Allows a source address that is not the host's own (`linux/in6.h`); needs CAP_NET_RAW."""
PKTINFO = struct.Struct("=16si")
"""`struct in6_pktinfo`: the address, and the interface index (RFC 3542 §6)."""
HOP_LIMIT_VALUE = struct.Struct("=i")

RECEIVE_BYTES = 1500
"""A longer message is cut off, and discarded. Those that matter have less than a hundred bytes."""
ANCILLARY_BYTES = socket.CMSG_SPACE(PKTINFO.size) + socket.CMSG_SPACE(HOP_LIMIT_VALUE.size)

PERMISSION_HINT = "run as root, or with the capability CAP_NET_RAW, as the systemd unit does"


@dataclass(frozen=True, slots=True)
class Received:
    """A valid message, and how it arrived."""

    message: Message
    source: IPv6Address
    destination: IPv6Address
    index: int
    """The index of the interface that it arrived on."""


def open_socket(types: Iterable[int] = (), link: str | None = None) -> socket.socket:
    """A non-blocking raw socket that receives these ICMPv6 types, from one link or from all.

    Raises `OSError`. Close it.
    """
    opened = socket.socket(
        socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, socket.IPPROTO_ICMPV6
    )
    try:
        # Before it receives anything else.
        receive_types(opened, types)
        if link is not None:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
        for option, value in {
            socket.IPV6_UNICAST_HOPS: HOP_LIMIT,
            socket.IPV6_MULTICAST_HOPS: HOP_LIMIT,
            socket.IPV6_MULTICAST_LOOP: 0,
            socket.IPV6_RECVPKTINFO: 1,
            socket.IPV6_RECVHOPLIMIT: 1,
            IPV6_TRANSPARENT: 1,
        }.items():
            opened.setsockopt(socket.IPPROTO_IPV6, option, value)
    except OSError:
        opened.close()
        raise
    return opened


def open_packet_socket() -> socket.socket:
    """A non-blocking socket that sends whole IPv6 packets, and receives none. Raises `OSError`. Close it."""
    return socket.socket(
        socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW
    )


def receive_types(opened: socket.socket, types: Iterable[int]) -> None:
    """Receive these ICMPv6 types from now on, and no others. Raises `OSError`."""
    words = [0xFFFF_FFFF] * FILTER_WORDS
    for each in types:
        words[each >> 5] &= ~(1 << (each & 31))
    opened.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, struct.pack(f"={FILTER_WORDS}I", *words))


def send(
    opened: socket.socket,
    message: Message,
    destination: IPv6Address,
    *,
    index: int,
    source: IPv6Address | None = None,
) -> None:
    """Send a message on the interface with this index. Raises `OSError`.

    `source`: any unicast address, also one that is not the host's own; None: one that the kernel chooses.
    """
    control = []
    if source is not None:
        control.append((socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, PKTINFO.pack(source.packed, index)))
    opened.sendmsg([pack(message)], control, 0, (str(destination), 0, 0, index))


def send_unspecified(
    opened: socket.socket, message: Message, destination: IPv6Address, *, index: int
) -> None:
    """Send a message from `::` through a packet socket. Raises `OSError`.

    As `IPV6_PKTINFO`, `::` means that the kernel chooses (RFC 3542 §6.2): so the packet brings its header.
    """
    opened.sendto(packet(message, UNSPECIFIED, destination), (str(destination), 0, 0, index))


def receive(opened: socket.socket, limit: int) -> Iterator[Received]:
    """The valid ones of the next messages in the receive queue, at most `limit` of them. Raises `OSError`."""
    for _ in range(limit):
        try:
            data, control, flags, sender = opened.recvmsg(RECEIVE_BYTES, ANCILLARY_BYTES)
        except BlockingIOError:
            return
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            continue
        values = {kind: value for level, kind, value in control if level == socket.IPPROTO_IPV6}
        if socket.IPV6_PKTINFO not in values or socket.IPV6_HOPLIMIT not in values:
            continue
        packed, index = PKTINFO.unpack(values[socket.IPV6_PKTINFO])
        (hop_limit,) = HOP_LIMIT_VALUE.unpack(values[socket.IPV6_HOPLIMIT])
        source, destination = IPv6Address(sender[0].partition("%")[0]), IPv6Address(packed)
        if (message := parse(data, hop_limit, source, destination)) is not None:
            yield Received(message, source, destination, index)
