"""Neighbour Discovery messages (RFC 4861) as bytes: packed, parsed and validated. Pure.

What is received is hostile input. `parse` returns None for any message that RFC 4861 has the receiver discard
silently, and raises nothing. The kernel computes and checks the checksum on a raw ICMPv6 socket (RFC 3542
§3.1); only `packet` computes it here.
"""

import struct
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import TypeAlias

ROUTER_SOLICITATION, NEIGHBOR_SOLICITATION, NEIGHBOR_ADVERTISEMENT = 133, 135, 136
"""ICMPv6 types (RFC 4861 §4.1, §4.3, §4.4)."""

SOURCE_LINK_LAYER_ADDRESS, TARGET_LINK_LAYER_ADDRESS = 1, 2
"""Option types (RFC 4861 §4.6)."""
NONCE = 14
"""Option type (RFC 3971 §5.3.2). A probe carries one, so that its sender knows it again (RFC 7527 §4.1)."""
NONCE_BYTES = 6
"""The least length of a nonce, and the one that fills the option (RFC 3971 §5.3.2)."""
MAC_BYTES = 6
"""The length of an Ethernet address; it fills its option (RFC 2464 §6)."""
OPTION_UNIT = 8
"""The length of options is given in units of 8 bytes (RFC 4861 §4.6)."""

ROUTER_FLAG, SOLICITED_FLAG, OVERRIDE_FLAG = 1 << 31, 1 << 30, 1 << 29
"""R, S and O of an advertisement (RFC 4861 §4.4)."""

HOP_LIMIT = 255
"""Required on arrival, so that no router can have forwarded the message (RFC 4861 §7.1)."""
CHECKSUM_BY_KERNEL = 0

WITHOUT_TARGET = struct.Struct("!BBHI")
"""A Router Solicitation before its options: type, code, checksum, reserved (RFC 4861 §4.1)."""
WITH_TARGET = struct.Struct("!BBHI16s")
"""A Neighbor Solicitation or Advertisement before its options: type, code, checksum, flags (reserved in a
solicitation), target (RFC 4861 §4.3, §4.4)."""

IPV6_HEADER = struct.Struct("!IHBB16s16s")
"""Version with class and label, payload length, next header, hop limit, source, destination (RFC 8200 §3)."""
VERSION = 6 << 28
ICMPV6 = 58
"""The next header value (RFC 4443 §2.1)."""
PSEUDO_HEADER = struct.Struct("!16s16sIxxxB")
"""Source, destination, upper-layer length, next header (RFC 8200 §8.1)."""
CHECKSUM = slice(2, 4)
"""Its place in an ICMPv6 message (RFC 4443 §2.1)."""

ALL_NODES, ALL_ROUTERS = IPv6Address("ff02::1"), IPv6Address("ff02::2")
"""Multicast groups of a link (RFC 4291 §2.7.1)."""
UNSPECIFIED = IPv6Address("::")
"""The source of a probe (RFC 4862 §5.4.2)."""
SOLICITED_NODE = int(IPv6Address("ff02::1:ff00:0"))
LOW_24_BITS = 0xFF_FFFF
"""A solicited-node group is this prefix and the address's low 24 bits (RFC 4291 §2.7.1)."""


@dataclass(frozen=True, slots=True)
class RouterSolicitation:
    """A Router Solicitation (RFC 4861 §4.1)."""

    source_mac: bytes | None = None
    """Source link-layer address: six bytes, or None where the option is absent."""


@dataclass(frozen=True, slots=True)
class Solicitation:
    """A Neighbor Solicitation (RFC 4861 §4.3)."""

    target: IPv6Address
    source_mac: bytes | None = None
    """Source link-layer address: six bytes, or None where the option is absent."""
    nonce: bytes | None = None
    """At least six bytes, or None where the option is absent."""


@dataclass(frozen=True, slots=True)
class Advertisement:
    """A Neighbor Advertisement (RFC 4861 §4.4)."""

    target: IPv6Address
    target_mac: bytes | None = None
    """Target link-layer address: six bytes, or None where the option is absent."""
    router: bool = False
    solicited: bool = False
    override: bool = False


Message: TypeAlias = RouterSolicitation | Solicitation | Advertisement

Options: TypeAlias = dict[int, bytes]
"""The values of a message's options, by type."""


def solicited_node(address: IPv6Address) -> IPv6Address:
    """The solicited-node multicast group of an address (RFC 4291 §2.7.1)."""
    return IPv6Address(SOLICITED_NODE | int(address) & LOW_24_BITS)


def pack(message: Message) -> bytes:
    """The ICMPv6 message, with a checksum of zero, which the kernel replaces."""
    match message:
        case RouterSolicitation(mac):
            head = WITHOUT_TARGET.pack(ROUTER_SOLICITATION, 0, CHECKSUM_BY_KERNEL, 0)
            return head + _option(SOURCE_LINK_LAYER_ADDRESS, mac)
        case Solicitation(target, mac, nonce):
            head = WITH_TARGET.pack(NEIGHBOR_SOLICITATION, 0, CHECKSUM_BY_KERNEL, 0, target.packed)
            return head + _option(SOURCE_LINK_LAYER_ADDRESS, mac) + _option(NONCE, nonce)
        case Advertisement(target, mac):
            flags = (
                ROUTER_FLAG * message.router
                | SOLICITED_FLAG * message.solicited
                | OVERRIDE_FLAG * message.override
            )
            head = WITH_TARGET.pack(NEIGHBOR_ADVERTISEMENT, 0, CHECKSUM_BY_KERNEL, flags, target.packed)
            return head + _option(TARGET_LINK_LAYER_ADDRESS, mac)


def packet(message: Message, source: IPv6Address, destination: IPv6Address) -> bytes:
    """The message as a whole IPv6 packet, with its checksum."""
    payload = bytearray(pack(message))
    pseudo = PSEUDO_HEADER.pack(source.packed, destination.packed, len(payload), ICMPV6)
    payload[CHECKSUM] = checksum(pseudo + payload).to_bytes(2, "big")
    head = (VERSION, len(payload), ICMPV6, HOP_LIMIT, source.packed, destination.packed)
    return IPV6_HEADER.pack(*head) + payload


def checksum(data: bytes) -> int:
    """The Internet checksum of an even number of bytes (RFC 1071): 0 where a right one is included."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def parse(data: bytes, hop_limit: int, source: IPv6Address, destination: IPv6Address) -> Message | None:
    """The message in `data`, which begins at the ICMPv6 header; None if it is invalid or of another type.

    The rules are those of RFC 4861 §6.1.1, §7.1.1 and §7.1.2. Unknown options are skipped (§4.6). An option
    with a link-layer address of another length than Ethernet's counts as absent.
    """
    if hop_limit != HOP_LIMIT or len(data) < WITHOUT_TARGET.size or data[1] != 0:
        return None
    if data[0] == ROUTER_SOLICITATION:
        return _router_solicitation(data, source)
    if data[0] not in (NEIGHBOR_SOLICITATION, NEIGHBOR_ADVERTISEMENT) or len(data) < WITH_TARGET.size:
        return None
    kind, _code, _checksum, flags, packed = WITH_TARGET.unpack_from(data)
    target, options = IPv6Address(packed), _options(data[WITH_TARGET.size :])
    if options is None or target.is_multicast:
        return None
    if kind == NEIGHBOR_SOLICITATION:
        return _solicitation(target, options, source, destination)
    return _advertisement(target, options, flags, destination)


def _router_solicitation(data: bytes, source: IPv6Address) -> RouterSolicitation | None:
    options = _options(data[WITHOUT_TARGET.size :])
    if options is None or (source.is_unspecified and SOURCE_LINK_LAYER_ADDRESS in options):
        return None
    return RouterSolicitation(_mac(options, SOURCE_LINK_LAYER_ADDRESS))


def _solicitation(
    target: IPv6Address, options: Options, source: IPv6Address, destination: IPv6Address
) -> Solicitation | None:
    if source.is_unspecified:
        to_group = destination == solicited_node(destination)
        if not to_group or SOURCE_LINK_LAYER_ADDRESS in options:
            return None
    return Solicitation(target, _mac(options, SOURCE_LINK_LAYER_ADDRESS), options.get(NONCE))


def _advertisement(
    target: IPv6Address, options: Options, flags: int, destination: IPv6Address
) -> Advertisement | None:
    if flags & SOLICITED_FLAG and destination.is_multicast:
        return None
    return Advertisement(
        target,
        _mac(options, TARGET_LINK_LAYER_ADDRESS),
        router=bool(flags & ROUTER_FLAG),
        solicited=bool(flags & SOLICITED_FLAG),
        override=bool(flags & OVERRIDE_FLAG),
    )


def _option(kind: int, value: bytes | None) -> bytes:
    """An option, padded with zeros to whole units; nothing where there is no value."""
    if value is None:
        return b""
    units = -(-(2 + len(value)) // OPTION_UNIT)
    return (bytes((kind, units)) + value).ljust(units * OPTION_UNIT, b"\0")


def _options(data: bytes) -> Options | None:
    """The values by type, the first of each; None where one has length zero or exceeds the message."""
    options: Options = {}
    while data:
        if len(data) < OPTION_UNIT or data[1] == 0 or len(data) < data[1] * OPTION_UNIT:
            return None
        length = data[1] * OPTION_UNIT
        options.setdefault(data[0], data[2:length])
        data = data[length:]
    return options


def _mac(options: Options, kind: int) -> bytes | None:
    value = options.get(kind)
    return value if value is not None and len(value) == MAC_BYTES else None
