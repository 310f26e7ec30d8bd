"""Our nftables table as text: pure functions build it and parse its listing. `firewall` runs nft.

    table ip6 dockeripv6mapper
        set open            (address, protocol, port) that new connections may reach
        set addresses       the addresses in `open`: ICMPv6 errors and neighbour messages must reach them
        set mapped          with `--firewall closed`: addresses that are closed to all other new connections
        chain set_mark      sets our bit of the packet mark on packets to `open`, on the ICMPv6 messages, and
                            on replies: engine 20.10 drops traffic between its networks both ways
        chain clear_mark    clears it on the same packets
        chain before_raw, after_raw            set it before the raw rules of the engine, clear it after them
        chain before_filter, after_filter      the same for the engine's filter rules
        chain forward       with `--firewall closed`: packets from an uplink to `mapped` go to `closed`
        chain closed        drops new connections without our mark

Other programs use the packet mark too. Between the two pairs of hooks lie their mangle rules, policy routing,
and rules that restore a mark from conntrack. These see a mark without our bit, and may overwrite the mark:
`before_filter` sets the bit again. Known to overwrite the whole mark: wg-quick (for UDP), Tailscale (for
established connections), multi-WAN setups with `CONNMARK --restore-mark`. Known to compare the whole mark:
`ip rule fwmark` without a mask, tc's fw classifier.

The table's structure is everything but the elements of its sets. Openings change often and are elements, so
one transaction adds and deletes them. Where the structure changes, the whole table is rebuilt.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv6Address
from typing import Any, TypeVar

from dockeripv6mapper.firewall_rules import ALL_BITS
from dockeripv6mapper.mapping.ports import LAST_PORT, PROTOCOLS
from dockeripv6mapper.model import FirewallRules, Opening

T = TypeVar("T")

TABLE_FAMILY, TABLE_NAME = "ip6", "dockeripv6mapper"
TABLE = f"{TABLE_FAMILY} {TABLE_NAME}"

BEFORE_RAW_PRIORITY = -310
"""Before the engine's rules in `raw` (-300)."""
AFTER_RAW_PRIORITY = -299
"""After them; before firewalld (-290), conntrack (-200) and `mangle` (-150)."""
BEFORE_FILTER_PRIORITY = -11
"""After `mangle` (-150), before `forward` (-10) and the engine's rules in `filter` (0)."""
CLOSING_PRIORITY = -10
"""Before the engine's rules in `filter` (0). A drop is final; after an accept, later chains still decide."""
AFTER_FILTER_PRIORITY = -310
"""At postrouting. Chains of other programs at the forward hook may accept our mark, at any later priority."""

LET_THROUGH = (
    "destination-unreachable, packet-too-big, time-exceeded, parameter-problem, echo-request, echo-reply"
)
"""ICMPv6 that must not be dropped in transit (RFC 4890 §4.3.1)."""
NEEDED = (
    "destination-unreachable, packet-too-big, time-exceeded, parameter-problem, "
    "nd-neighbor-solicit, nd-neighbor-advert"
)
"""ICMPv6 that addresses with an open port need.

Without errors, large answers stall (RFC 4890 §4.3.1). Where the kernel does not get a router's unicast
solicitations, it cannot answer them, and the router drops its neighbour entry (RFC 4861 §7.3).
"""

STRUCTURE = "structure"
"""First word of the comment in our table; then come the structure's digest and the number of rules."""
DIGEST_DIGITS = 16
FIRST_PORT = 1


def rebuild(rules: FirewallRules) -> str:
    """A transaction that replaces the table, whatever it contains, by `rules`."""
    return "\n".join([remove(), _table(rules), change(rules, FirewallRules())])


def change(rules: FirewallRules, now: FirewallRules) -> str:
    """A transaction from `now` to `rules` of the same structure; it closes before it opens."""
    addresses, addresses_now = _addresses(rules), _addresses(now)
    lines = [
        *_elements("delete", "open", map(_opening, sorted(now.openings - rules.openings))),
        *_elements("delete", "addresses", map(str, sorted(addresses_now - addresses))),
        *_elements("add", "mapped", map(str, sorted(rules.closed - now.closed))),
        *_elements("delete", "mapped", map(str, sorted(now.closed - rules.closed))),
        *_elements("add", "addresses", map(str, sorted(addresses - addresses_now))),
        *_elements("add", "open", map(_opening, sorted(rules.openings - now.openings))),
    ]
    return "\n".join(lines)


def _addresses(rules: FirewallRules) -> set[IPv6Address]:
    """The elements of `addresses`."""
    return {opening.address for opening in rules.openings}


def remove() -> str:
    """A transaction that removes the table. It succeeds even if the table does not exist."""
    return f"add table {TABLE}\ndelete table {TABLE}"


def structure(rules: FirewallRules) -> str:
    """A digest of the table without the elements of its sets. A comment in the table contains it."""
    digest = hashlib.sha256("\n".join(_lines(rules)).encode())
    return digest.hexdigest()[:DIGEST_DIGITS]


def read(listing: str) -> tuple[str | None, FirewallRules]:
    """The structure and the elements of our table in the output of `nft -j list table`.

    The structure is None where another program changed the table, which must then be rebuilt. Elements that
    can be parsed are returned even then. Raises `ValueError` for output that is no listing.
    """
    objects = _objects(listing)
    openings, foreign_openings = _elements_of(objects, "open", _read_opening)
    addresses, foreign_addresses = _elements_of(objects, "addresses", _read_address)
    closed, foreign_closed = _elements_of(objects, "mapped", _read_address)
    rules = FirewallRules(openings=frozenset(openings), closed=frozenset(closed))
    if foreign_openings or foreign_addresses or foreign_closed or not all(map(_is_active, objects)):
        return None, rules
    # The table of an earlier version has no such set, and another structure.
    has_addresses = any(_is_set(each, "addresses") for each in objects)
    if has_addresses and set(addresses) != _addresses(rules):
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


def _is_set(each: Mapping[str, Any], name: str) -> bool:
    match each.get("set"):
        case {"name": str(set_name)}:
            return set_name == name
    return False


def _is_active(each: Mapping[str, Any]) -> bool:
    """Whether a table is not dormant, and a base chain accepts by policy; True for all else."""
    match each:
        case {"table": {"flags": flags}}:
            return not flags
        case {"chain": {"policy": policy}}:
            return bool(policy == "accept")
    return True


def _comment(rule: object) -> str:
    comment = rule.get("comment") if isinstance(rule, dict) else None
    return comment if isinstance(comment, str) else ""


def _table(rules: FirewallRules) -> str:
    lines = _lines(rules)
    count = sum(line.startswith("  ") and "hook" not in line for line in lines)
    comment = f' comment "{STRUCTURE} {structure(rules)} {count}"'
    lines = [line + comment if "@open" in line else line for line in lines]
    return "\n".join([f"table {TABLE} {{", *lines, "}"])


def _lines(rules: FirewallRules) -> list[str]:
    """The lines of our table, without elements and comments. Those of rules and hooks are indented."""
    mark, others = f"{rules.mark:#x}", f"{ALL_BITS ^ rules.mark:#x}"
    is_marked = f"meta mark and {mark} == {mark}"
    lines = [
        "set open { type ipv6_addr . inet_proto . inet_service; flags interval; }",
        # By `typeof`: nft 1.0.6 dies of a set that a newer one wrote with `type ipv6_addr`.
        "set addresses { typeof ip6 daddr; }",
        "set mapped { typeof ip6 daddr; }",
        *_chain("set_mark", [f"{each} meta mark set meta mark or {mark}" for each in MATCHES]),
        *_chain("clear_mark", [f"{each} meta mark set meta mark and {others}" for each in MATCHES]),
        *_base_chain("before_raw", "prerouting", BEFORE_RAW_PRIORITY, "jump set_mark"),
        *_base_chain("after_raw", "prerouting", AFTER_RAW_PRIORITY, f"{is_marked} jump clear_mark"),
        *_base_chain("before_filter", "forward", BEFORE_FILTER_PRIORITY, "jump set_mark"),
        *_base_chain("after_filter", "postrouting", AFTER_FILTER_PRIORITY, f"{is_marked} jump clear_mark"),
    ]
    if rules.closes:
        uplinks = ", ".join(f'"{name}"' for name in rules.uplinks)
        closing = f"iifname {{ {uplinks} }} ip6 daddr @mapped jump closed"
        lines += [
            *_chain(
                "closed",
                [
                    "ct state established,related return",
                    f"{is_marked} return",
                    f"icmpv6 type {{ {LET_THROUGH} }} return",
                    "drop",
                ],
            ),
            *_base_chain("forward", "forward", CLOSING_PRIORITY, closing),
        ]
    return lines


MATCHES = (
    "ip6 daddr . meta l4proto . th dport @open",
    f"ip6 daddr @addresses icmpv6 type {{ {NEEDED} }}",
    "ct direction reply ip6 saddr . meta l4proto . th sport @open",
)
"""Matches of the packets that carry our mark. The last one matches nothing before conntrack (-200)."""


def _chain(name: str, rules: Iterable[str]) -> list[str]:
    return [f"chain {name} {{", *(f"  {rule}" for rule in rules), "}"]


def _base_chain(name: str, hook: str, priority: int, rule: str) -> list[str]:
    return _chain(name, [f"type filter hook {hook} priority {priority}; policy accept;", rule])


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
