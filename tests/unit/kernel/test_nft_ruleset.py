"""Our nftables table as text. The lab tests that nft accepts it, and how it treats packets."""

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dockeripv6mapper.kernel import nft_ruleset
from dockeripv6mapper.model import FirewallRules, Opening
from tests.unit.builders import MON_CONTAINER, NGINX

LISTINGS = Path(__file__).parent.parent / "nft"
WEB = Opening(MON_CONTAINER, "tcp", 80, 80)
RANGE = Opening(MON_CONTAINER, "udp", 8000, 8100)
RULES = FirewallRules(0x01000000, frozenset({WEB, RANGE}))
CLOSING = replace(RULES, closed=frozenset({MON_CONTAINER, NGINX}), uplinks=("eth0",))


def listing(rules: FirewallRules, *, rule_count: int = 1, comment: str | None = None) -> str:
    """The output of `nft -j list table` for a table with these elements."""
    elements = [
        {"concat": [str(WEB.address), "tcp", 80]},
        {"concat": [str(RANGE.address), "udp", {"range": [8000, 8100]}]},
    ]
    marked = comment or f"{nft_ruleset.STRUCTURE} {nft_ruleset.structure(rules)} 1"
    rule = {"rule": {"chain": "prerouting", "comment": marked}}
    others = [{"rule": {"chain": "prerouting"}}] * (rule_count - 1)
    sets = [
        {"set": {"name": "open", "elem": elements}},
        {"set": {"name": "addresses", "elem": [str(MON_CONTAINER)]}},
        {"set": {"name": "mapped", "elem": [str(NGINX)]}},
    ]
    return json.dumps({"nftables": [{"metainfo": {}}, *sets, rule, *others]})


def test_a_listing_is_parsed() -> None:
    """Single ports, port ranges, closed addresses, and the structure's digest."""
    structure, rules = nft_ruleset.read(listing(RULES))
    assert structure == nft_ruleset.structure(RULES)
    assert rules.openings == RULES.openings
    assert rules.closed == {NGINX}


@pytest.mark.parametrize(("name", "rules"), [("our_table", RULES), ("our_table_closed", CLOSING)])
def test_the_recorded_listings_are_of_the_current_table(name: str, rules: FirewallRules) -> None:
    """To record them again: in a new network namespace, `nft -f` of `rebuild`, then `nft -j list table`."""
    structure, recorded = nft_ruleset.read((LISTINGS / f"{name}.json").read_text())
    assert structure == nft_ruleset.structure(rules)
    assert {opening.ports for opening in recorded.openings} == {WEB.ports, RANGE.ports}


@pytest.mark.parametrize(
    "tampered",
    [listing(RULES, rule_count=2), listing(RULES, comment="hello"), json.dumps({"nftables": []})],
    ids=["one rule more", "another comment", "no rule"],
)
def test_rules_that_another_program_changed_are_detected(tampered: str) -> None:
    """The structure is None, so the table is rebuilt."""
    assert nft_ruleset.read(tampered)[0] is None


@pytest.mark.parametrize(
    "element",
    [
        {"elem": {"val": {"concat": [str(NGINX), "tcp", 443]}, "timeout": 3600, "expires": 3599}},
        {"elem": {"val": {"concat": [str(NGINX), "tcp", 443]}, "comment": "mine"}},
        {"concat": [{"prefix": {"addr": "2001:db8::", "len": 64}}, "tcp", 443]},
        {"concat": [str(NGINX), 6, 443]},
        {"concat": [str(NGINX), "tcp", "https"]},
        {"concat": [str(NGINX), "tcp", 0]},
        {"concat": [str(NGINX)]},
        {"range": ["::1", "::2"]},
        "text",
        None,
    ],
    ids=str,
)
def test_a_foreign_element_makes_the_table_be_rebuilt(element: object) -> None:
    """The other elements are still parsed: their ports may have to stay open."""
    listed = json.loads(listing(RULES))
    next(each for each in listed["nftables"] if each.get("set", {}).get("name") == "open")["set"][
        "elem"
    ].append(element)
    structure, rules = nft_ruleset.read(json.dumps(listed))
    assert structure is None
    assert rules.openings == RULES.openings


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "{}", '{"nftables": 5}'])
def test_other_output_is_an_error(text: str) -> None:
    """Output that is not a listing must not read as an empty table."""
    with pytest.raises(ValueError, match=r"."):
        nft_ruleset.read(text)


def test_a_corrupt_listing_is_rebuilt_or_an_error() -> None:
    """Any value in place of any other raises at most `ValueError`: the daemon can then rebuild the table."""
    whole = json.loads(listing(RULES))
    tried = 0
    junks: list[object] = [None, 5, "x", [], {}, {"elem": {}}, [[[]]]]
    for path in paths(whole):
        for junk in junks:
            corrupt = deepcopy(whole)
            parent = corrupt
            for step in path[:-1]:
                parent = parent[step]
            parent[path[-1]] = junk
            tried += 1
            try:
                structure, _ = nft_ruleset.read(json.dumps(corrupt))
            except ValueError:
                continue
            assert structure in (None, nft_ruleset.structure(RULES))
    assert tried > 100


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - JSON
    """The path of each value in a listing: keys and indexes."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield (*path, key)
        yield from paths(each, (*path, key))


def test_a_change_sends_only_differences_and_closes_first() -> None:
    """Connections to unchanged openings are not touched."""
    other = Opening(NGINX, "tcp", 443, 443)
    text = nft_ruleset.change(replace(RULES, openings=frozenset({RANGE, other})), RULES)
    assert text.splitlines() == [
        f"delete element {nft_ruleset.TABLE} open {{ {MON_CONTAINER} . tcp . 80 }}",
        f"add element {nft_ruleset.TABLE} addresses {{ {NGINX} }}",
        f"add element {nft_ruleset.TABLE} open {{ {NGINX} . tcp . 443 }}",
    ]
    assert not nft_ruleset.change(RULES, RULES)


def test_icmpv6_is_let_through_to_an_address_as_long_as_it_has_an_open_port() -> None:
    """The set of addresses follows the openings, and one that does not agree makes the table be rebuilt."""
    closed = nft_ruleset.change(replace(RULES, openings=frozenset()), RULES)
    assert f"delete element {nft_ruleset.TABLE} addresses {{ {MON_CONTAINER} }}" in closed
    assert "addresses" not in nft_ruleset.change(replace(RULES, openings=frozenset({WEB})), RULES)
    for elements in ([], [str(MON_CONTAINER), str(NGINX)], [str(NGINX)]):
        listed = json.loads(listing(RULES))
        listed["nftables"][2]["set"]["elem"] = elements
        structure, rules = nft_ruleset.read(json.dumps(listed))
        assert structure is None
        assert rules.openings == RULES.openings


def test_the_table_of_an_earlier_version_has_another_structure_and_was_not_changed() -> None:
    """It has no set of addresses. It is rebuilt without a warning, and its ports are known to be open."""
    listed = json.loads(listing(RULES, comment=f"{nft_ruleset.STRUCTURE} 0123456789abcdef 1"))
    del listed["nftables"][2]
    structure, rules = nft_ruleset.read(json.dumps(listed))
    assert structure == "0123456789abcdef"
    assert rules.openings == RULES.openings


@pytest.mark.parametrize(
    "changed",
    [
        {"table": {"family": "ip6", "name": "dockeripv6mapper", "flags": ["dormant"]}},
        {"chain": {"name": "before_raw", "hook": "prerouting", "policy": "drop"}},
    ],
    ids=["dormant", "policy"],
)
def test_a_table_that_another_program_made_dormant_or_dropping_is_rebuilt(changed: dict[str, Any]) -> None:
    """No rule of it has changed."""
    listed = json.loads(listing(RULES))
    listed["nftables"].insert(1, changed)
    assert nft_ruleset.read(json.dumps(listed))[0] is None


def test_the_structure_depends_on_rules_and_not_on_elements() -> None:
    """Mark, closing and uplinks are rules; openings and closed addresses are elements."""
    same = replace(CLOSING, openings=frozenset(), closed=frozenset({NGINX}))
    assert nft_ruleset.structure(same) == nft_ruleset.structure(CLOSING)
    for other in (RULES, replace(CLOSING, mark=2), replace(CLOSING, uplinks=("eth1",))):
        assert nft_ruleset.structure(other) != nft_ruleset.structure(CLOSING)


def test_nothing_is_dropped_unless_addresses_are_closed() -> None:
    """With `--firewall engine` our table only marks packets."""
    assert "drop" not in nft_ruleset.rebuild(RULES)
    assert "drop" in nft_ruleset.rebuild(CLOSING)
