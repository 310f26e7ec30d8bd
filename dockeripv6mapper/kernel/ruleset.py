"""The nftables ruleset, as text: built and read by pure functions, run by `firewall`.

    table ip6 dockeripv6mapper
        set open       (address, protocol, port) that new connections may reach
        set mapped     with `--firewall closed`: addresses that nothing else may reach from an uplink
        prerouting     marks what goes to `open`, before the engine's own rules look at it
    replies        marks what comes back from there: engine 20.10 keeps its networks apart in both directions
        forward        with `--firewall closed`: drops what is new, from an uplink, and not marked

What changes often stands in the sets, whose elements come and go in one transaction; the rules stay.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address
from typing import Any

from dockeripv6mapper.model import FirewallRules, Opening

TABLE = "ip6 dockeripv6mapper"

MARKING_PRIORITY = -310
"""Before the engine's rules in `raw` (-300)."""
REPLY_PRIORITY = -150
"""After routing, which may go by somebody's mark, and before the engine's rules in `filter` (0)."""
CLOSING_PRIORITY = -10
"""Before the engine's rules in `filter` (0): a drop is final where an accept is not."""

LET_THROUGH = (
    "destination-unreachable, packet-too-big, time-exceeded, parameter-problem, echo-request, echo-reply"
)
"""ICMPv6 that must not be dropped in transit (RFC 4890 §4.3.1)."""

STRUCTURE = "structure"
"""First word of the comment that identifies the rules; then their digest, and how many there are."""
DIGEST_DIGITS = 16


def rebuild(rules: FirewallRules) -> str:
    """A transaction after which the table is as `rules` say, whatever it was before."""
    return "\n".join([remove(), _table(rules), change(rules, FirewallRules())])


def change(rules: FirewallRules, now: FirewallRules) -> str:
    """A transaction from `now` to `rules`, where both have the same structure; closing comes first."""
    lines = [
        *_elements("delete", "open", map(_opening, sorted(now.openings - rules.openings))),
        *_elements("add", "mapped", map(str, sorted(rules.closed - now.closed))),
        *_elements("delete", "mapped", map(str, sorted(now.closed - rules.closed))),
        *_elements("add", "open", map(_opening, sorted(rules.openings - now.openings))),
    ]
    return "\n".join(lines)


def remove() -> str:
    """A transaction after which there is no table, whether there was one or not."""
    return f"add table {TABLE}\ndelete table {TABLE}"


def structure(rules: FirewallRules) -> str:
    """What identifies the table's rules, its sets' elements left aside: kept in a comment there."""
    digest = hashlib.sha256("\n".join(_chains(rules)).encode())
    return digest.hexdigest()[:DIGEST_DIGITS]


def read(listing: str) -> tuple[str | None, FirewallRules]:
    """The structure and the elements in the output of `nft -j list table`; None: somebody changed the rules.

    Raises `ValueError`, `KeyError` or `TypeError` where it is not such a listing.
    """
    objects = json.loads(listing)["nftables"]
    sets = {each["set"]["name"]: each["set"].get("elem", ()) for each in objects if "set" in each}
    comments = [each["rule"].get("comment") or "" for each in objects if "rule" in each]
    rules = FirewallRules(
        openings=frozenset(map(_read_opening, sets.get("open", ()))),
        closed=frozenset(map(IPv6Address, sets.get("mapped", ()))),
    )
    for comment in comments:
        match comment.split():
            case [word, digest, count] if word == STRUCTURE and count == str(len(comments)):
                return digest, rules
    return None, rules


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
    if listed := ", ".join(elements):
        yield f"{verb} element {TABLE} {name} {{ {listed} }}"


def _opening(opening: Opening) -> str:
    ports = f"{opening.first}" if opening.first == opening.last else f"{opening.first}-{opening.last}"
    return f"{opening.address} . {opening.protocol} . {ports}"


def _read_opening(element: Mapping[str, Any]) -> Opening:
    address, protocol, ports = element["concat"]
    first, last = ports["range"] if isinstance(ports, dict) else (ports, ports)
    return Opening(IPv6Address(address), protocol, first, last)
