"""Parsing the output of ip6tables-save."""

import pytest

from dockeripv6mapper.firewall_rules import FORWARD
from dockeripv6mapper.kernel.ip6tables import RAW, USER_CHAIN, accept_places, read_chains
from tests.unit.rulesets import ENGINE_20_10_IP6TABLES, ENGINE_28_NAT, filter_table


def test_policies_and_rules_are_read_by_table_and_chain() -> None:
    """A user-defined chain has no policy. Chains of the same name in two tables are two chains."""
    chains = read_chains(ENGINE_28_NAT)
    assert chains["filter", "FORWARD"].policy == "DROP"
    assert chains["filter", "DOCKER"].policy is None
    (rule,) = chains["nat", "DOCKER"].rules
    assert rule.text == "-A DOCKER -i br-5314cea3e4c9 -j RETURN"
    assert rule.words == ("-i", "br-5314cea3e4c9", "-j", "RETURN")


def test_a_comment_may_contain_quotes_and_options() -> None:
    """A comment is one word, whatever its text."""
    saved = filter_table(r'-A FORWARD -m comment --comment "he said \"no\" -j DROP" -j ACCEPT')
    (rule,) = read_chains(saved)["filter", "FORWARD"].rules
    assert rule.words == ("-m", "comment", "--comment", 'he said "no" -j DROP', "-j", "ACCEPT")


def test_a_comment_with_newlines_stays_in_its_rule() -> None:
    """ip6tables-save prints a newline unescaped; the next line must not be parsed as a chain or a table."""
    saved = filter_table('-A FORWARD -m comment --comment "two\n:INPUT DROP [0:0]\n*raw" -j DROP')
    chains = read_chains(saved)
    assert set(chains) == {("filter", "FORWARD")}
    assert chains["filter", "FORWARD"].rules[0].words[-2:] == ("-j", "DROP")


def test_an_unterminated_quote_is_an_error() -> None:
    """The parser does not guess where the rule ends."""
    with pytest.raises(ValueError, match="no end of '-A FORWARD"):
        read_chains(filter_table('-A FORWARD -m comment --comment "open'))


def test_empty_output_has_no_chains() -> None:
    """On a host where ip6tables was never used."""
    assert read_chains("") == {}


@pytest.mark.parametrize(
    ("saved", "place"),
    [
        (ENGINE_28_NAT, USER_CHAIN),
        (ENGINE_20_10_IP6TABLES, FORWARD),
        (filter_table(chains="DOCKER-USER"), FORWARD),
        (filter_table("-A FORWARD -j DOCKER-FORWARD", chains="DOCKER-USER"), FORWARD),
        (filter_table("-A FORWARD -j DOCKER-USER"), FORWARD),
        ("", FORWARD),
    ],
    ids=["engine 28", "engine 20.10", "FORWARD flushed", "jump gone", "chain gone", "all gone"],
)
def test_the_accept_rule_belongs_where_forwarded_packets_pass(saved: str, place: tuple[str, str]) -> None:
    """In DOCKER-USER only while FORWARD jumps there."""
    assert accept_places(read_chains(saved)) == (RAW, place)


OURS = "-m mark --mark 0x1000000/0x1000000 -m comment --comment DockerIPV6Mapper -j ACCEPT"
LEFT_BY_AN_ENGINE, LEFT_WITH_POLICY = (
    filter_table("-A FORWARD -j DOCKER-USER", policy=policy, chains="DOCKER-USER")
    for policy in ("ACCEPT", "DROP")
)
"""What an engine leaves of its rules when it changes to nftables (moby `iptabler/cleaner.go`)."""


@pytest.mark.parametrize(
    ("saved", "places"),
    [
        ("", ()),
        (filter_table(f"-A FORWARD {OURS}"), ()),
        (LEFT_BY_AN_ENGINE, ()),
        (LEFT_WITH_POLICY, (USER_CHAIN,)),
        (filter_table("-A FORWARD -j ufw6-before-forward"), (FORWARD,)),
        (f"*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING {OURS}\n-A PREROUTING -j other\n", (RAW,)),
    ],
    ids=["no rules", "only ours", "no longer used", "policy DROP", "another program's", "in raw"],
)
def test_an_engine_with_nftables_needs_accept_rules_only_where_ip6tables_may_drop(
    saved: str, places: tuple[tuple[str, str], ...]
) -> None:
    """What ip6tables drops is lost, whatever the engine's table accepts."""
    assert accept_places(read_chains(saved), only_where_dropped=True) == places
