"""Ports: the label `ipv6.mapper.ports` → openings.

The label is untrusted text. One invalid item refuses all of it: only what the writer meant may be open.
"""

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address
from itertools import groupby

from dockeripv6mapper.mapping.labels import PORTS, invalid
from dockeripv6mapper.model import Opening

ALL = "all"
PROTOCOLS = ("tcp", "udp", "sctp")
"""Transport protocols with ports that both nft's `th dport` and the engine know."""
LAST_PORT = 65535
MOST_ITEMS = 100
"""Most items of one label. Each may be a range, so more items are a mistake or an attack."""

_ITEM = re.compile(r"(?P<first>[0-9]{1,5})(?:-(?P<last>[0-9]{1,5}))?(?:/(?P<protocol>[a-z]+))?")


def parse_ports(text: str, address: IPv6Address) -> tuple[Opening, ...]:
    """`80/tcp,443,53/udp,8000-8100/tcp` or `all`, as openings of `address` that do not overlap, in order.

    The default protocol is `tcp`. Raises `RefusedError(INVALID_LABEL)`, which names the first invalid item.
    """
    if text.strip().lower() == ALL:
        return tuple(Opening(address, protocol, 1, LAST_PORT) for protocol in sorted(PROTOCOLS))
    items = text.split(",")
    if len(items) > MOST_ITEMS:
        raise invalid(PORTS, text, f"at most {MOST_ITEMS} items, not {len(items)}")
    return merge(_parse_item(item, address) for item in items)


def merge(openings: Iterable[Opening]) -> tuple[Opening, ...]:
    """The same ports, sorted, without openings that overlap or touch: an nft interval set refuses those."""
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


def subtract(openings: Iterable[Opening], others: Iterable[Opening]) -> tuple[Opening, ...]:
    """The ports of `openings` that are in none of the `others`."""
    left = list(openings)
    for other in others:
        left = [part for each in left for part in _without(each, other)]
    return tuple(left)


def _without(opening: Opening, other: Opening) -> Iterator[Opening]:
    if (opening.address, opening.protocol) != (other.address, other.protocol):
        yield opening
        return
    for first, last in (
        (opening.first, min(opening.last, other.first - 1)),
        (max(opening.first, other.last + 1), opening.last),
    ):
        if first <= last:
            yield Opening(opening.address, opening.protocol, first, last)


def _parse_item(item: str, address: IPv6Address) -> Opening:
    match = _ITEM.fullmatch(item.strip().lower())
    if match is None:
        raise invalid(PORTS, item, "a port or a range, as in 80, 80/tcp or 8000-8100/udp")
    first = int(match["first"])
    last = int(match["last"] or first)
    protocol = match["protocol"] or PROTOCOLS[0]
    if protocol not in PROTOCOLS:
        raise invalid(PORTS, item, f"one of the protocols {', '.join(PROTOCOLS)}")
    if not 1 <= first <= last <= LAST_PORT:
        raise invalid(PORTS, item, f"ports from 1 to {LAST_PORT}, the lower one first")
    return Opening(address, protocol, first, last)
