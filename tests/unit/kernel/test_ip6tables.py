"""The rules of others as ip6tables-save prints them."""

import pytest

from dockeripv6mapper.kernel.ip6tables import read_chains
from tests.unit.rulesets import ENGINE_28_NAT, filter_table


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
