"""Matches of nftables: one match of a rule, or one change of the mark, in the words of ip6tables. Pure.

For `nft_chains`. A match that has no such words becomes `UNKNOWN`, which is never evaluated.
"""

from collections.abc import Mapping
from typing import Any

from dockeripv6mapper.firewall_rules import ALL_BITS
from dockeripv6mapper.kernel.firewall import MARK

Json = Mapping[str, Any]
Words = tuple[str, ...]

UNKNOWN: Words = ("-m", "nft")
NEVER: Words = ("!", "-p", "all")
ALWAYS: Words = ()
PROTOCOLS = {"6": "tcp", "17": "udp", "132": "sctp", "58": "ipv6-icmp", "icmpv6": "ipv6-icmp"}
CONNECTION_MARK = {"ct": {"key": "mark"}}
OPTIONS: Mapping[str, Words] = {
    "meta iifname": ("-i",),
    "meta iif": ("-i",),
    "meta oifname": ("-o",),
    "meta oif": ("-o",),
    "meta l4proto": ("-p",),
    "ip6 nexthdr": ("-p",),
    "ip6 saddr": ("-s",),
    "ip6 daddr": ("-d",),
    "icmpv6 type": ("-p", "ipv6-icmp", "--icmpv6-type"),
    "ct state": ("--ctstate",),
    "ct direction": ("--ctdir",),
    "fib type daddr": ("--dst-type",),
    "fib type saddr": ("--src-type",),
    "th dport": ("--dport",),
    "th sport": ("--sport",),
    **{
        f"{protocol} {field}": ("-p", protocol, f"--{field}")
        for protocol in ("tcp", "udp", "sctp", "udplite", "dccp")
        for field in ("dport", "sport")
    },
}
"""The option of ip6tables for what a match looks at, and the options that it implies."""
MARKS = {"meta mark": "--mark", "ct mark": "--connmark"}
ONLY_FOR = {"meta nfproto": {"ipv6"}, "meta protocol": {"ip6", "ipv6"}}
"""Matches that IPv6 passes with these values only."""
OTHER_PROTOCOLS = ("ip", "icmp", "igmp", "arp")
FALSE = (
    ("ct status", "dnat"),
    ("ct status", "snat"),
    # `missing`: there is no route back to the client by this link. The uplink has the default route.
    ("fib oif saddr iif", "False"),
    ("fib oif saddr mark iif", "False"),
)
"""Matches that fail for a packet whose addresses are not translated."""


def of_unknown_set(left: Json) -> Words:
    """A set that is too large. The client is in none that lists sources."""
    return NEVER if left.get("payload", {}).get("field") == "saddr" else UNKNOWN


def match_words(left: Json, values: list[Any], *, negated: bool) -> Words:
    """The words of a match of one key with any of some values."""
    texts = [_text(value) for value in values]
    if None in texts:
        return UNKNOWN
    joined = ",".join(text for text in texts if text is not None)
    if not joined:
        # An empty set.
        return ALWAYS if negated else NEVER
    words = _words(left, joined, values)
    if words in (ALWAYS, NEVER):
        return words if not negated else {ALWAYS: NEVER, NEVER: ALWAYS}[words]
    if not negated or words == UNKNOWN:
        return words
    # The words before the last option say where the value is, and hold for both.
    return (*words[:-2], "!", *words[-2:])


def _text(value: Any) -> str | None:  # noqa: ANN401 - JSON
    """A value as ip6tables writes it; None for one of another kind."""
    match value:
        case bool():
            return str(value)
        case str() | int():
            return str(value)
        case {"prefix": {"addr": address, "len": length}}:
            return f"{address}/{length}"
        case {"range": [int(first), int(last)]}:
            return f"{first}:{last}"
        case {"range": [first, last]}:
            return f"{first}-{last}"
    return None


def _words(left: Json, joined: str, values: list[Any]) -> Words:
    """The words of a match that is not negated."""
    key = _name(left)
    if key in OPTIONS:
        return (*OPTIONS[key], _value(key, joined))
    kind, _, what = key.partition(" ")
    what, _, mask = what.partition(" ")
    if option := MARKS.get(f"{kind} {what}"):
        mask = mask or hex(ALL_BITS)
        return (option, f"{values[0]:#x}/{mask}") if _is_number(values) else UNKNOWN
    if key in ONLY_FOR:
        return ALWAYS if ONLY_FOR[key] & set(joined.split(",")) else NEVER
    if kind in OTHER_PROTOCOLS or (key, joined) in FALSE:
        return NEVER
    return UNKNOWN


def _name(left: Json) -> str:
    """What a match looks at, as nft writes it: `ip6 daddr`, `meta mark`, and with a mask `meta mark 0x1`."""
    name = ""
    match left:
        case {"&": [inner, int(mask)]}:
            name = f"{_name(inner)} {mask:#x}"
        case {"payload": {"protocol": protocol, "field": field}}:
            name = f"{protocol} {field}"
        case {"payload": {"base": "th", "offset": 16, "len": 16}}:
            name = "th dport"
        case {"payload": {"base": "th", "offset": 0, "len": 16}}:
            name = "th sport"
        case {"fib": {"result": result, "flags": flags}}:
            name = f"fib {result} {flags if isinstance(flags, str) else ' '.join(flags)}"
        case {"meta": {"key": key}}:
            name = f"meta {key}"
        case {"ct": {"key": key}}:
            name = f"ct {key}"
    return name


def _value(key: str, joined: str) -> str:
    """Values as ip6tables writes them."""
    kind, _, what = key.partition(" ")
    if what.startswith(("iif", "oif")):
        return joined.replace("*", "+")
    if what in ("l4proto", "nexthdr"):
        return ",".join(PROTOCOLS.get(each, each) for each in joined.split(","))
    return joined.upper() if kind in ("ct", "fib") else joined


def _is_number(values: list[Any]) -> bool:
    return len(values) == 1 and isinstance(values[0], int)


def mark_change(value: Json) -> Words:
    """The words of a change of the mark of the packet or its connection; none for another change."""
    key, target = value["key"], "CONNMARK" if value["key"] == CONNECTION_MARK else "MARK"
    if key not in (MARK, CONNECTION_MARK):
        return ()
    match value["value"]:
        case int(mark):
            change = f"{mark:#x}/{ALL_BITS:#x}"
        case {"|": [left, int(mark)]} if left == key:
            change = f"{mark:#x}/{mark:#x}"
        case {"&": [left, int(mask)]} if left == key:
            change = f"0x0/{ALL_BITS & ~mask:#x}"
        case {"^": [left, int(mark)]} if left == key:
            change = f"{mark:#x}/0x0"
        case other if other in (MARK, CONNECTION_MARK) and other != key:
            return ("-j", "CONNMARK", "--save-mark" if key == CONNECTION_MARK else "--restore-mark")
        case _:
            return (*UNKNOWN, "-j", target, "--set-xmark", "0x0/0x0")
    return ("-j", target, "--set-xmark", change)
