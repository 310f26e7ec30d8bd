"""The rules of others as ip6tables-save and nft print them."""

from typing import Any

import pytest

from dockeripv6mapper.firewall_rules import BaseChain
from dockeripv6mapper.kernel.filtering import dropping, engine_accepts, read_chains
from tests.unit.rulesets import ENGINE_28_NAT, filter_table

MARK: dict[str, Any] = {"meta": {"key": "mark"}}
ACCEPT: dict[str, Any] = {"accept": None}
COUNTER = {"counter": {"packets": 0, "bytes": 0}}
BIT = 0x01000000


def test_policies_and_rules_are_read_by_table_and_chain() -> None:
    """A user's chain has no policy; a chain of one name in two tables is two chains."""
    chains = read_chains(ENGINE_28_NAT)
    assert chains["filter", "FORWARD"].policy == "DROP"
    assert chains["filter", "DOCKER"].policy is None
    (rule,) = chains["nat", "DOCKER"].rules
    assert rule.text == "-A DOCKER -i br-5314cea3e4c9 -j RETURN"
    assert rule.words == ("-i", "br-5314cea3e4c9", "-j", "RETURN")


def test_a_comment_may_hold_quotes_and_look_like_rules() -> None:
    """It is one word, whatever it says."""
    saved = filter_table(r'-A FORWARD -m comment --comment "he said \"no\" -j DROP" -j ACCEPT')
    (rule,) = read_chains(saved)["filter", "FORWARD"].rules
    assert rule.words == ("-m", "comment", "--comment", 'he said "no" -j DROP', "-j", "ACCEPT")


def test_a_comment_of_several_lines_is_one_rule_and_makes_no_chain() -> None:
    """ip6tables-save prints a newline as it is."""
    saved = filter_table('-A FORWARD -m comment --comment "two\n:INPUT DROP [0:0]\n*raw" -j DROP')
    chains = read_chains(saved)
    assert set(chains) == {("filter", "FORWARD")}
    assert chains["filter", "FORWARD"].rules[0].words[-2:] == ("-j", "DROP")


def test_a_quote_that_never_ends_is_refused() -> None:
    """It is said rather than guessed where the rule ends."""
    with pytest.raises(ValueError, match="no end of '-A FORWARD"):
        read_chains(filter_table('-A FORWARD -m comment --comment "open'))


def test_no_rules_are_no_chains() -> None:
    """As of a host where nobody has used ip6tables yet."""
    assert read_chains("") == {}


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
