"""Our nftables table as text: pure functions build it and parse its listing. `firewall` runs nft.

    table ip6 dockeripv6mapper
        set open            (address, protocol, port) that new connections may reach
        set mapped          with `--firewall closed`: addresses that are closed to all other new connections
        chain prerouting    marks packets to `open`, before the engine's rules
        chain replies       marks the replies: engine 20.10 drops traffic between its networks both ways
        chain forward       with `--firewall closed`: packets from an uplink to `mapped` go to `closed`
        chain closed        drops new connections without our mark

The table's structure is everything but the elements of its sets. Openings change often and are elements, so
one transaction adds and deletes them. Where the structure changes, the whole table is rebuilt.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv6Address
from typing import Any, TypeVar

from dockeripv6mapper.mapping.ports import LAST_PORT, PROTOCOLS
from dockeripv6mapper.model import FirewallRules, Opening

T = TypeVar("T")

TABLE = "ip6 dockeripv6mapper"

MARKING_PRIORITY = -310
"""Before the engine's rules in `raw` (-300)."""
REPLY_PRIORITY = -150
"""After routing, which may depend on another program's mark; before the engine's rules in `filter` (0)."""
CLOSING_PRIORITY = -10
"""Before the engine's rules in `filter` (0). A drop is final; after an accept, later chains still decide."""

LET_THROUGH = (
    "destination-unreachable, packet-too-big, time-exceeded, parameter-problem, echo-request, echo-reply"
)
"""ICMPv6 that must not be dropped in transit (RFC 4890 §4.3.1)."""

STRUCTURE = "structure"
"""First word of the comment in our table; then come the structure's digest and the number of rules."""
DIGEST_DIGITS = 16
FIRST_PORT = 1


def rebuild(rules: FirewallRules) -> str:
    """A transaction that replaces the table, whatever it contains, by `rules`."""
    return "\n".join([remove(), _table(rules), change(rules, FirewallRules())])


def change(rules: FirewallRules, now: FirewallRules) -> str:
    """A transaction from `now` to `rules` of the same structure; it closes before it opens."""
    lines = [
        *_elements("delete", "open", map(_opening, sorted(now.openings - rules.openings))),
        *_elements("add", "mapped", map(str, sorted(rules.closed - now.closed))),
        *_elements("delete", "mapped", map(str, sorted(now.closed - rules.closed))),
        *_elements("add", "open", map(_opening, sorted(rules.openings - now.openings))),
    ]
    return "\n".join(lines)


def remove() -> str:
    """A transaction that removes the table. It succeeds even if the table does not exist."""
    return f"add table {TABLE}\ndelete table {TABLE}"


def structure(rules: FirewallRules) -> str:
    """A digest of the table without the elements of its sets. A comment in the table contains it."""
    digest = hashlib.sha256("\n".join(_chains(rules)).encode())
    return digest.hexdigest()[:DIGEST_DIGITS]


def read(listing: str) -> tuple[str | None, FirewallRules]:
    """The structure and the elements of our table in the output of `nft -j list table`.

    The structure is None where another program changed the table, which must then be rebuilt. Elements that
    can be parsed are returned even then. Raises `ValueError` for output that is no listing.
    """
    objects = _objects(listing)
    openings, foreign_openings = _elements_of(objects, "open", _read_opening)
    closed, foreign_closed = _elements_of(objects, "mapped", _read_address)
    rules = FirewallRules(openings=frozenset(openings), closed=frozenset(closed))
    if foreign_openings or foreign_closed:
        return None, rules
    comments = [_comment(each["rule"]) for each in objects if "rule" in each]
    for comment in comments:
        match comment.split():
            case [word, digest, count] if word == STRUCTURE and count == str(len(comments)):
                return digest, rules
    return None, rules


def _objects(listing: str) -> list[Mapping[str, Any]]:
    """The objects of a listing. Raises `ValueError` for other text."""
    match json.loads(listing):
        case {"nftables": list(objects)}:
            return [each for each in objects if isinstance(each, dict)]
    raise ValueError("not a listing of nftables")


def _elements_of(
    objects: Iterable[Mapping[str, Any]], name: str, read_one: Callable[[Any], T]
) -> tuple[list[T], bool]:
    """The elements of a set that have the form of ours, and whether there are others.

    Others have a comment, a timeout or a counter, or are a range or a prefix of addresses.
    """
    ours: list[T] = []
    foreign = False
    for each in objects:
        match each.get("set"):
            case {"name": str(set_name), "elem": list(elements)} if set_name == name:
                for element in elements:
                    try:
                        ours.append(read_one(element))
                    except (LookupError, TypeError, ValueError):
                        foreign = True
    return ours, foreign


def _comment(rule: object) -> str:
    comment = rule.get("comment") if isinstance(rule, dict) else None
    return comment if isinstance(comment, str) else ""


def _table(rules: FirewallRules) -> str:
    lines = _chains(rules)
    count = sum(line.startswith("  ") and "hook" not in line for line in lines)
    comment = f' comment "{STRUCTURE} {structure(rules)} {count}"'
    lines = [line + comment if "@open" in line else line for line in lines]
    return "\n".join([f"table {TABLE} {{", *lines, "}"])


def _chains(rules: FirewallRules) -> list[str]:
    marked = f"@open meta mark set meta mark or {rules.mark:#x}"
    lines = [
        "set open { type ipv6_addr . inet_proto . inet_service; flags interval; }",
        "set mapped { type ipv6_addr; }",
        "chain prerouting {",
        f"  type filter hook prerouting priority {MARKING_PRIORITY}; policy accept;",
        f"  ip6 daddr . meta l4proto . th dport {marked}",
        "}",
        "chain replies {",
        f"  type filter hook forward priority {REPLY_PRIORITY}; policy accept;",
        f"  ct direction reply ip6 saddr . meta l4proto . th sport {marked}",
        "}",
    ]
    if rules.closes:
        uplinks = ", ".join(f'"{name}"' for name in rules.uplinks)
        lines += [
            "chain forward {",
            f"  type filter hook forward priority {CLOSING_PRIORITY}; policy accept;",
            f"  iifname {{ {uplinks} }} ip6 daddr @mapped jump closed",
            "}",
            "chain closed {",
            "  ct state established,related return",
            f"  meta mark and {rules.mark:#x} == {rules.mark:#x} return",
            f"  icmpv6 type {{ {LET_THROUGH} }} return",
            "  drop",
            "}",
        ]
    return lines


def _elements(verb: str, name: str, elements: Iterable[str]) -> Iterable[str]:
    if joined := ", ".join(elements):
        yield f"{verb} element {TABLE} {name} {{ {joined} }}"


def _opening(opening: Opening) -> str:
    ports = f"{opening.first}" if opening.first == opening.last else f"{opening.first}-{opening.last}"
    return f"{opening.address} . {opening.protocol} . {ports}"


def _read_opening(element: Any) -> Opening:  # noqa: ANN401 - JSON
    """Raises `LookupError`, `TypeError` or `ValueError` for an element that has not the form of ours."""
    address, protocol, ports = element["concat"]
    first, last = ports["range"] if isinstance(ports, dict) else (ports, ports)
    if protocol not in PROTOCOLS or not FIRST_PORT <= int(first) <= int(last) <= LAST_PORT:
        raise ValueError(f"not an opening: {element!r:.80}")
    return Opening(_read_address(address), protocol, int(first), int(last))


def _read_address(text: object) -> IPv6Address:
    """Raises `ValueError`, also for a number: `IPv6Address` alone would accept one."""
    return IPv6Address(str(text))
