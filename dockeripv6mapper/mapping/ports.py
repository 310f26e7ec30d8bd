"""Ports: what `ipv6.mapper.ports` asks to be opened.

Untrusted text as any label. One item that cannot be understood refuses the whole of it: what is open must
be exactly what its writer meant.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv6Address
from itertools import groupby

from dockeripv6mapper.mapping.labels import PORTS, invalid
from dockeripv6mapper.model import Opening, RefusedError

ALL = "all"
PROTOCOLS = ("tcp", "udp", "sctp")
"""Transport protocols with ports that nft's `th dport` and the engine both know."""
LAST_PORT = 65535
MOST_ITEMS = 100
"""Items of one label; each may be a range, so that more is a mistake or an attack."""

_ITEM = re.compile(r"(?P<first>[0-9]{1,5})(?:-(?P<last>[0-9]{1,5}))?(?:/(?P<protocol>[a-z]+))?")


def parse_ports(text: str, address: IPv6Address) -> tuple[Opening, ...]:
    """`80/tcp,443,53/udp,8000-8100/tcp` or `all`, as openings of `address` that do not overlap, in order.

    `tcp` where no protocol is named. Raises `RefusedError(INVALID_LABEL)`, which names the first item that
    cannot be understood.
    """
    if text.strip().lower() == ALL:
        return tuple(Opening(address, protocol, 1, LAST_PORT) for protocol in sorted(PROTOCOLS))
    items = text.split(",")
    if len(items) > MOST_ITEMS:
        raise invalid(PORTS, text, f"at most {MOST_ITEMS} items, not {len(items)}")
    return merged(_parse_item(item, address) for item in items)


def merged(openings: Iterable[Opening]) -> tuple[Opening, ...]:
    """The same ports with no two openings that overlap or touch, in order: as an interval set wants them."""
    result: list[Opening] = []
    for (address, protocol), group in groupby(
        sorted(openings), key=lambda each: (each.address, each.protocol)
    ):
        first, last = 0, -1
        for opening in group:
            if opening.first > last + 1 and last >= first:
                result.append(Opening(address, protocol, first, last))
            if opening.first > last + 1 or last < first:
                first = opening.first
            last = max(last, opening.last)
        result.append(Opening(address, protocol, first, last))
    return tuple(result)


def _parse_item(item: str, address: IPv6Address) -> Opening:
    match = _ITEM.fullmatch(item.strip().lower())
    if match is None:
        raise _bad(item, "a port or a range, as in 80, 80/tcp or 8000-8100/udp")
    first = int(match["first"])
    last = int(match["last"] or first)
    protocol = match["protocol"] or PROTOCOLS[0]
    if protocol not in PROTOCOLS:
        raise _bad(item, f"one of the protocols {', '.join(PROTOCOLS)}")
    if not 1 <= first <= last <= LAST_PORT:
        raise _bad(item, f"ports from 1 to {LAST_PORT}, the lower one first")
    return Opening(address, protocol, first, last)


def _bad(item: str, expected: str) -> RefusedError:
    return invalid(PORTS, item, expected)
