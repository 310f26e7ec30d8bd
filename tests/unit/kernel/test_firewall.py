"""Other programs' nftables chains in the output of `nft -j list ruleset`."""

from typing import Any

import pytest

from dockeripv6mapper.firewall_rules import ALL_BITS, BaseChain, MarkRule
from dockeripv6mapper.kernel.firewall import dropping_chains, mark_rules, marks_engine_accepts

MARK: dict[str, Any] = {"meta": {"key": "mark"}}
ACCEPT: dict[str, Any] = {"accept": None}
COUNTER = {"counter": {"packets": 0, "bytes": 0}}
BIT = 0x01000000


def chain(policy: str = "drop", family: str = "inet", table: str = "mine") -> dict[str, Any]:
    """A base chain at the forward hook."""
    head = {"family": family, "table": table, "name": "forward"}
    return {"chain": {**head, "type": "filter", "hook": "forward", "prio": 10, "policy": policy}}


def rule(*statements: Any, family: str = "inet", table: str = "mine") -> dict[str, Any]:  # noqa: ANN401 - nft's JSON
    """A rule in that chain."""
    return {"rule": {"family": family, "table": table, "chain": "forward", "expr": list(statements)}}


def match(left: object, right: object, op: str = "==") -> dict[str, Any]:
    """A match statement."""
    return {"match": {"op": op, "left": left, "right": right}}


@pytest.mark.parametrize(
    "other",
    [chain("accept"), chain(family="ip"), chain(family="ip6", table="filter")],
    ids=["accepts", "of IPv4", "of ip6tables"],
)
def test_only_chains_of_other_programs_that_drop_ipv6_are_listed(other: dict[str, Any]) -> None:
    """A chain that accepts, drops IPv4, or belongs to ip6tables is skipped."""
    assert list(dropping_chains([{"metainfo": {}}, other])) == []
    (listed,) = dropping_chains([{"metainfo": {}}, chain()])
    assert listed == BaseChain("inet", "mine", "forward", priority=10)


@pytest.mark.parametrize(
    "statements",
    [
        (match({"&": [MARK, BIT]}, BIT), ACCEPT),
        (match({"&": [MARK, BIT]}, 0, "!="), ACCEPT),
        (match(MARK, BIT), COUNTER, {"log": None}, ACCEPT),
    ],
    ids=["masked", "masked, not zero", "counted and logged"],
)
def test_the_mark_of_an_accepting_rule_is_read(statements: tuple[dict[str, Any], ...]) -> None:
    """In each notation of nft, with a counter and a log statement or without."""
    (dropping,) = dropping_chains([chain(), rule(*statements)])
    assert dropping.marks == {BIT}


@pytest.mark.parametrize(
    "statements",
    [
        (match({"&": [MARK, BIT]}, BIT, "!="), ACCEPT),
        (match(MARK, BIT, "!="), ACCEPT),
        (match(MARK, BIT), match({"meta": {"key": "iifname"}}, "eth0"), ACCEPT),
        (match(MARK, BIT), {"limit": {"rate": 1, "burst": 5, "per": "second"}}, ACCEPT),
        (match(MARK, BIT), {"drop": None}),
        (match(MARK, {"set": [BIT, 2]}), ACCEPT),
        (match({"payload": {"protocol": "tcp", "field": "dport"}}, BIT), ACCEPT),
        ({"vmap": {"key": MARK, "data": {"set": [[BIT, ACCEPT]]}}},),
        ({"xt": None}, ACCEPT),
        (),
    ],
    ids=["not masked", "not equal", "one link", "limit", "drop", "set", "port", "vmap", "xt", "empty"],
)
def test_a_rule_that_does_not_accept_the_mark_unconditionally_is_ignored(
    statements: tuple[dict[str, Any], ...],
) -> None:
    """It may have a further condition, or a statement that the parser does not know."""
    (dropping,) = dropping_chains([chain(), rule(*statements)])
    assert dropping.marks == frozenset()


def test_a_rule_of_another_chain_does_not_count() -> None:
    """A packet passes every chain at the hook, so an accept elsewhere does not prevent the drop here."""
    accept = rule(match(MARK, BIT), ACCEPT, table="other")
    (dropping,) = dropping_chains([chain(), accept])
    assert dropping.marks == frozenset()


def test_the_marks_of_bridge_accept_fwmark_are_read() -> None:
    """Engine 29 writes such a rule for its option `bridge-accept-fwmark`, and none without it."""
    name = "filter-forward-in__br-5314cea3e4c9"
    place = {"family": "ip6", "table": "docker-bridges"}
    icc = match({"meta": {"key": "iifname"}}, "br-5314cea3e4c9")
    chains: list[dict[str, Any]] = [{"chain": {**place, "name": name}}]
    without = [*chains, {"rule": {**place, "chain": name, "expr": [icc, COUNTER, ACCEPT]}}]
    accepting = {**place, "chain": name, "expr": [match({"&": [MARK, BIT]}, BIT), COUNTER, ACCEPT]}
    assert marks_engine_accepts(without) == frozenset()
    assert marks_engine_accepts([*without, {"rule": accepting}]) == {BIT}
    assert list(dropping_chains(without)) == []


@pytest.mark.parametrize(
    ("value", "sets", "overwrites"),
    [
        (5, 5, ALL_BITS),
        ({"|": [MARK, 4]}, 4, 4),
        ({"&": [MARK, 0xFF]}, 0, ALL_BITS ^ 0xFF),
        ({"|": [{"&": [MARK, ALL_BITS ^ 0xFF]}, 4]}, 4, 0xFF),
        ({"^": [MARK, 4]}, 4, 4),
        ({"ct": {"key": "mark"}}, 0, ALL_BITS),
        ({"&": [{"ct": {"key": "mark"}}, 0x00FF0000]}, 0, ALL_BITS),
        ({"map": {"key": MARK, "data": {"set": []}}}, 0, ALL_BITS),
        (None, 0, ALL_BITS),
    ],
    ids=str,
)
def test_what_a_rule_does_to_the_mark_is_read(value: object, sets: int, overwrites: int) -> None:
    """Bits whose value is not known count as overwritten, not as set."""
    statement = {"mangle": {"key": MARK, "value": value}}
    (found,) = mark_rules([chain(), rule(match(MARK, 1), statement)])
    assert found == MarkRule("inet mine forward", "forward", 10, sets, overwrites)


def test_only_mark_rules_of_other_programs_are_read() -> None:
    """ip6tables' are read from ip6tables-save; the connection's mark is another one."""
    statement = {"mangle": {"key": MARK, "value": 1}}
    for family, table in (("ip6", "filter"), ("ip6", "dockeripv6mapper"), ("ip", "mine")):
        assert not list(mark_rules([rule(statement, family=family, table=table)]))
    assert not list(mark_rules([rule({"mangle": {"key": {"ct": {"key": "mark"}}, "value": 1}})]))
    (without_chain,) = mark_rules([rule(statement)])
    assert without_chain.hook is None
