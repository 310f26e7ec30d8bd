"""Rules of nftables, as `nft -j` prints them, in the words of ip6tables."""

import json
from pathlib import Path
from typing import Any

import pytest

from dockeripv6mapper.firewall_rules import Hook
from dockeripv6mapper.kernel.nft_chains import MAX_ELEMENTS, read_ruleset

LISTINGS = Path(__file__).parent.parent / "nft"
CHAIN = {
    "chain": {"family": "inet", "table": "t", "name": "c", "type": "filter", "hook": "forward", "prio": 0}
}
MARK: dict[str, Any] = {"meta": {"key": "mark"}}


def words(*expressions: object, others: tuple[object, ...] = ()) -> list[str]:
    """The rules that one rule of nftables becomes."""
    rule = {"rule": {"family": "inet", "table": "t", "chain": "c", "expr": [*expressions]}}
    chains, _ = read_ruleset([*others, CHAIN, rule])  # type: ignore[list-item]
    return [" ".join(each.words) for each in chains["inet t", "c"].rules]


def match(left: object, right: object, op: str = "==") -> dict[str, object]:
    """A match of an expression."""
    return {"match": {"op": op, "left": left, "right": right}}


def field(protocol: str, name: str) -> dict[str, object]:
    """A field of a packet's header."""
    return {"payload": {"protocol": protocol, "field": name}}


def meta(key: str) -> dict[str, object]:
    """A property of a packet."""
    return {"meta": {"key": key}}


DROP: dict[str, object] = {"drop": None}


@pytest.mark.parametrize(
    ("left", "right", "op", "translated"),
    [
        (meta("iifname"), "eth0", "==", "-i eth0"),
        (meta("iifname"), "eth0", "!=", "! -i eth0"),
        (meta("oifname"), {"set": ["br-1", "veth*"]}, "==", "-o br-1,veth+"),
        (meta("l4proto"), {"set": ["tcp", 17, "icmpv6"]}, "==", "-p tcp,udp,ipv6-icmp"),
        (field("ip6", "saddr"), {"prefix": {"addr": "2001:db8::", "len": 32}}, "==", "-s 2001:db8::/32"),
        (
            field("ip6", "daddr"),
            {"range": ["2001:db8::1", "2001:db8::9"]},
            "!=",
            "! -d 2001:db8::1-2001:db8::9",
        ),
        (field("tcp", "dport"), {"set": [22, {"range": [80, 90]}]}, "==", "-p tcp --dport 22,80:90"),
        (field("udp", "sport"), 53, "!=", "-p udp ! --sport 53"),
        (field("th", "dport"), 53, "==", "--dport 53"),
        (field("icmpv6", "type"), "echo-request", "==", "-p ipv6-icmp --icmpv6-type echo-request"),
        ({"ct": {"key": "state"}}, ["established", "related"], "in", "--ctstate ESTABLISHED,RELATED"),
        ({"ct": {"key": "direction"}}, "reply", "==", "--ctdir REPLY"),
        ({"fib": {"result": "type", "flags": ["daddr"]}}, "local", "==", "--dst-type LOCAL"),
        (MARK, 16, "==", "--mark 0x10/0xffffffff"),
        ({"&": [MARK, 16]}, 16, "==", "--mark 0x10/0x10"),
        ({"&": [MARK, 16]}, 0, "!=", "! --mark 0x0/0x10"),
        ({"ct": {"key": "mark"}}, 16, "==", "--connmark 0x10/0xffffffff"),
        ({"&": [{"ct": {"key": "mark"}}, 16]}, 16, "==", "--connmark 0x10/0x10"),
        # Never true of a forwarded IPv6 packet whose addresses are not translated.
        (field("ip", "saddr"), "192.0.2.1", "==", "! -p all"),
        (meta("nfproto"), "ipv4", "==", "! -p all"),
        ({"ct": {"key": "status"}}, "dnat", "in", "! -p all"),
        ({"fib": {"result": "oif", "flags": ["saddr", "iif"]}}, False, "==", "! -p all"),
        (field("ip6", "saddr"), {"set": []}, "==", "! -p all"),
        # The client is in no set of sources, even in one that is not listed.
        (field("ip6", "saddr"), "@missing", "==", "! -p all"),
        # Not understood.
        (field("tcp", "flags"), "syn", "==", "-m nft"),
        (field("tcp", "dport"), 1024, ">", "-m nft"),
        (field("tcp", "dport"), "@missing", "==", "-m nft"),
    ],
)
def test_a_match_in_the_words_of_ip6tables(left: object, right: object, op: str, translated: str) -> None:
    """A drop where it matches."""
    assert words(match(left, right, op), {"counter": {}}, DROP) == [f"{translated} -j DROP"]


def test_matches_that_every_ipv6_packet_passes_leave_no_words() -> None:
    """As do rates: the packet is one."""
    assert words(match(meta("nfproto"), "ipv6"), {"limit": {"rate": 1}}, DROP) == ["-j DROP"]
    assert words({"limit": {"rate": 1, "inv": True}}, DROP) == ["! -p all -j DROP"]


def test_a_client_is_outside_of_a_set_of_sources_that_is_too_large() -> None:
    """A drop of all clients but those in the set drops it."""
    many = {"set": [f"2001:db8::{number:x}" for number in range(MAX_ELEMENTS + 1)]}
    source = field("ip6", "saddr")
    assert words(match(source, many), DROP) == ["! -p all -j DROP"]
    assert words(match(source, many, "!="), DROP) == ["-j DROP"]
    assert words(match(field("ip6", "daddr"), many, "!="), DROP) == ["-m nft -j DROP"]


def test_a_rule_without_a_verdict_is_left_out() -> None:
    """It only counts or logs."""
    assert words(match(meta("iifname"), "eth0"), {"counter": {}}, {"log": None}) == []


@pytest.mark.parametrize(
    ("statement", "translated"),
    [
        ({"limit": "of_pings"}, ["-i eth0 -m nft -j DROP"]),
        ({"ct count": "named"}, ["-i eth0 -m nft -j DROP"]),
        (match({"payload": None}, 80), ["-i eth0 -m nft -j DROP"]),
        ({"match": None}, ["-i eth0 -m nft -j DROP"]),
        (None, ["-i eth0 -m nft -j DROP"]),
        (
            {"vmap": {"key": meta("iifname"), "data": {"set": ["eth0"]}}},
            ["-i eth0 -m nft -j NFQUEUE", "-i eth0 -m nft -j DROP"],
        ),
        (
            {"mangle": {"key": MARK}},
            ["-i eth0 -m nft -j MARK --set-xmark 0x0/0x0", "-i eth0 -m nft -j DROP"],
        ),
    ],
)
def test_a_statement_of_another_form_makes_its_rule_unknown(statement: object, translated: list[str]) -> None:
    """Not all rules: the verdict and the other matches of this one stay."""
    assert words(match(meta("iifname"), "eth0"), statement, DROP) == translated
    other = {"rule": {"family": "inet", "table": "t", "chain": "c", "expr": [DROP]}}
    assert words(statement, others=(other,))[:1] == ["-j DROP"]


@pytest.mark.parametrize("queue", [None, {"num": 0}, {"num": {"range": [1, 3]}, "flags": ["bypass"]}])
def test_a_queue_may_accept_or_drop(queue: object) -> None:
    """Its program decides."""
    assert words(match(meta("iifname"), "eth0"), {"queue": queue}) == ["-i eth0 -j NFQUEUE"]


def test_a_map_of_verdicts_that_is_not_known_may_accept_or_drop() -> None:
    """As one that is too large to list."""
    verdicts = {"vmap": {"key": meta("iifname"), "data": "@missing"}}
    assert words(verdicts) == ["-j NFQUEUE"]


def test_an_unknown_statement_makes_the_rule_unknown() -> None:
    """As `xt`, a match of the extensions of iptables."""
    assert words({"xt": None}, DROP) == ["-m nft -j DROP"]


@pytest.mark.parametrize(
    ("value", "change"),
    [
        (16, "0x10/0xffffffff"),
        ({"|": [MARK, 16]}, "0x10/0x10"),
        ({"&": [MARK, 0xFFFF]}, "0x0/0xffff0000"),
        ({"^": [MARK, 16]}, "0x10/0x0"),
    ],
)
def test_a_change_of_the_mark(value: object, change: str) -> None:
    """The verdict that follows in the same rule is a rule of its own."""
    mangle = {"mangle": {"key": MARK, "value": value}}
    assert words(mangle, {"accept": None}) == [f"-j MARK --set-xmark {change}", "-j ACCEPT"]


def test_a_mark_that_is_saved_with_the_connection_and_restored() -> None:
    """As `meta mark set ct mark`."""
    connection = {"ct": {"key": "mark"}}
    changes = ({"key": connection, "value": MARK}, {"key": MARK, "value": connection})
    assert words(*({"mangle": each} for each in changes)) == [
        "-j CONNMARK --save-mark",
        "-j CONNMARK --restore-mark",
    ]
    add_bit = {"key": connection, "value": {"|": [connection, 16]}}
    assert words({"mangle": add_bit}) == ["-j CONNMARK --set-xmark 0x10/0x10"]


def test_a_map_of_verdicts_becomes_a_rule_for_each_element() -> None:
    """Also where its key is a concatenation."""
    links = {"concat": [meta("iifname"), meta("oifname")]}
    elements = [
        [{"concat": ["eth0", "br-1"]}, {"jump": {"target": "in"}}],
        [{"concat": ["br-1", "eth0"]}, DROP],
    ]
    verdicts = {"vmap": {"key": links, "data": {"set": elements}}}
    assert words(verdicts) == ["-i eth0 -o br-1 -j in", "-i br-1 -o eth0 -j DROP"]


def test_a_named_set_of_another_table_is_not_used() -> None:
    """Names of sets are only unique in their table."""
    other = {"set": {"family": "inet", "table": "other", "name": "s", "elem": [80]}}
    own = {
        "set": {"family": "inet", "table": "t", "name": "s", "elem": [{"elem": {"val": 443, "comment": "x"}}]}
    }
    rule = (match(field("tcp", "dport"), "@s"), DROP)
    assert words(*rule, others=(other,)) == ["-m nft -j DROP"]
    assert words(*rule, others=(other, own)) == ["-p tcp --dport 443 -j DROP"]


@pytest.mark.parametrize(
    ("flags", "met"),
    [(None, True), ("dormant", False), (["dormant"], False), (["owner", "dormant"], False), ("owner", True)],
)
def test_no_packet_meets_the_chains_of_a_dormant_table(flags: object, *, met: bool) -> None:
    """The kernel has removed them from the hooks. nft prints one flag as text, several as a list."""
    table = {"table": {"family": "inet", "name": "t", **({"flags": flags} if flags else {})}}
    other = {"table": {"family": "inet", "name": "other", "flags": ["dormant"]}}
    _, hooks = read_ruleset([table, other, CHAIN])
    assert bool(hooks) is met


def test_only_filter_chains_at_prerouting_and_forward_are_hooks() -> None:
    """Not the engine's nat chains, nor the tables in which ip6tables keeps its rules."""
    objects = json.loads((LISTINGS / "engine_29.json").read_text())["nftables"]
    ours = {
        "chain": {"family": "ip6", "table": "filter", "name": "FORWARD", "hook": "forward", "type": "filter"}
    }
    chains, hooks = read_ruleset([*objects, ours])
    assert [(each.chain, each.hook, each.priority) for each in hooks] == [
        ("filter-FORWARD", Hook.FORWARD, 0),
        ("raw-PREROUTING", Hook.PREROUTING, -300),
    ]
    assert ("ip6 filter", "FORWARD") not in chains
