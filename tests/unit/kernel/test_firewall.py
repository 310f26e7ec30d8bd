"""The rules of others as nft prints them."""

from typing import Any

import pytest

from dockeripv6mapper.kernel.firewall import dropping, engine_accepts
from dockeripv6mapper.surroundings import BaseChain

MARK: dict[str, Any] = {"meta": {"key": "mark"}}
ACCEPT: dict[str, Any] = {"accept": None}
COUNTER = {"counter": {"packets": 0, "bytes": 0}}
BIT = 0x01000000


def chain(policy: str = "drop", family: str = "inet", table: str = "mine") -> dict[str, Any]:
    """A base chain at the forward hook, as nft prints it."""
    head = {"family": family, "table": table, "name": "forward"}
    return {"chain": {**head, "type": "filter", "hook": "forward", "prio": 10, "policy": policy}}


def rule(*statements: Any, family: str = "inet", table: str = "mine") -> dict[str, Any]:  # noqa: ANN401 - nft's JSON
    """A rule of that chain."""
    return {"rule": {"family": family, "table": table, "chain": "forward", "expr": list(statements)}}


def match(left: object, right: object, op: str = "==") -> dict[str, Any]:
    """A match."""
    return {"match": {"op": op, "left": left, "right": right}}


@pytest.mark.parametrize(
    "other",
    [chain("accept"), chain(family="ip"), chain(family="ip6", table="filter")],
    ids=["accepts", "of IPv4", "of ip6tables"],
)
def test_only_chains_that_drop_ipv6_and_are_nobody_elses_business_count(other: dict[str, Any]) -> None:
    """What ip6tables prints itself is judged there."""
    assert list(dropping([{"metainfo": {}}, other])) == []
    assert list(dropping([{"metainfo": {}}, chain()])) == [BaseChain("inet", "mine", "forward")]


@pytest.mark.parametrize(
    "statements",
    [
        (match({"&": [MARK, BIT]}, BIT), ACCEPT),
        (match({"&": [MARK, BIT]}, 0, "!="), ACCEPT),
        (match(MARK, BIT), COUNTER, {"log": None}, ACCEPT),
    ],
    ids=["masked", "masked, not zero", "counted and logged"],
)
def test_a_rule_that_accepts_on_the_mark_alone_is_seen(statements: tuple[dict[str, Any], ...]) -> None:
    """In each of the ways to write it."""
    (found,) = dropping([chain(), rule(*statements)])
    assert found.marks == {BIT}


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
    ids=["not", "other", "one link", "limit", "drop", "set", "port", "vmap", "foreign", "empty"],
)
def test_a_rule_that_does_less_is_not_taken_for_one(statements: tuple[dict[str, Any], ...]) -> None:
    """What was not understood accepts nothing."""
    (found,) = dropping([chain(), rule(*statements)])
    assert found.marks == frozenset()


def test_a_rule_of_another_chain_accepts_nothing_here() -> None:
    """Each chain at a hook has the last word on what it drops."""
    accept = rule(match(MARK, BIT), ACCEPT, table="other")
    (found,) = dropping([chain(), accept])
    assert found.marks == frozenset()


def test_an_engine_with_nftables_accepts_the_mark_that_it_was_told() -> None:
    """As engine 29 writes `bridge-accept-fwmark`; without the option there is no such rule."""
    name = "filter-forward-in__br-5314cea3e4c9"
    place = {"family": "ip6", "table": "docker-bridges"}
    icc = match({"meta": {"key": "iifname"}}, "br-5314cea3e4c9")
    chains: list[dict[str, Any]] = [{"chain": {**place, "name": name}}]
    without = [*chains, {"rule": {**place, "chain": name, "expr": [icc, COUNTER, ACCEPT]}}]
    told = {**place, "chain": name, "expr": [match({"&": [MARK, BIT]}, BIT), COUNTER, ACCEPT]}
    assert engine_accepts(without) == frozenset()
    assert engine_accepts([*without, {"rule": told}]) == {BIT}
    assert list(dropping(without)) == []
