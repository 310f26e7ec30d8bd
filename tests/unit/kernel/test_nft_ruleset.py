"""The ruleset as text; that nft takes it, and what it does to packets, is tested in the lab."""

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from dockeripv6mapper.kernel import nft_ruleset
from dockeripv6mapper.model import FirewallRules, Opening
from tests.unit.builders import MON_CONTAINER, NGINX

WEB = Opening(MON_CONTAINER, "tcp", 80, 80)
RANGE = Opening(MON_CONTAINER, "udp", 8000, 8100)
RULES = FirewallRules(0x01000000, frozenset({WEB, RANGE}))
CLOSING = replace(RULES, closed=frozenset({MON_CONTAINER, NGINX}), uplinks=("eth0",))


def listing(rules: FirewallRules, *, rule_count: int = 1, comment: str | None = None) -> str:
    """What `nft -j list table` prints of a table with these elements."""
    elements = [
        {"concat": [str(WEB.address), "tcp", 80]},
        {"concat": [str(RANGE.address), "udp", {"range": [8000, 8100]}]},
    ]
    marked = comment or f"{nft_ruleset.STRUCTURE} {nft_ruleset.structure(rules)} 1"
    rule = {"rule": {"chain": "prerouting", "comment": marked}}
    others = [{"rule": {"chain": "prerouting"}}] * (rule_count - 1)
    sets = [{"set": {"name": "open", "elem": elements}}, {"set": {"name": "mapped", "elem": [str(NGINX)]}}]
    return json.dumps({"nftables": [{"metainfo": {}}, *sets, rule, *others]})


def test_what_is_listed_is_read_back() -> None:
    """Single ports, ranges, closed addresses, and what identifies the rules."""
    structure, seen = nft_ruleset.read(listing(RULES))
    assert structure == nft_ruleset.structure(RULES)
    assert seen.openings == RULES.openings
    assert seen.closed == {NGINX}


@pytest.mark.parametrize(
    "tampered",
    [listing(RULES, rule_count=2), listing(RULES, comment="hello"), json.dumps({"nftables": []})],
    ids=["one rule more", "another comment", "no rule"],
)
def test_rules_that_somebody_changed_are_not_taken_for_ours(tampered: str) -> None:
    """They are built anew then."""
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
def test_an_element_that_is_not_ours_has_the_table_built_anew(element: object) -> None:
    """And does not keep the others from being known, which may have to stay open."""
    listed = json.loads(listing(RULES))
    next(each for each in listed["nftables"] if each.get("set", {}).get("name") == "open")["set"][
        "elem"
    ].append(element)
    structure, seen = nft_ruleset.read(json.dumps(listed))
    assert structure is None
    assert seen.openings == RULES.openings


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "{}", '{"nftables": 5}'])
def test_what_is_no_listing_is_an_error(text: str) -> None:
    """It is not taken for an empty table."""
    with pytest.raises(ValueError, match=r"."):
        nft_ruleset.read(text)


def test_a_listing_that_is_spoilt_anywhere_is_built_anew_or_an_error() -> None:
    """Whatever stands in place of whatever: a pass must not fail at it for ever."""
    whole = json.loads(listing(RULES))
    tried = 0
    junks: list[object] = [None, 5, "x", [], {}, {"elem": {}}, [[[]]]]
    for path in places(whole):
        for junk in junks:
            spoilt = deepcopy(whole)
            at = spoilt
            for step in path[:-1]:
                at = at[step]
            at[path[-1]] = junk
            tried += 1
            try:
                structure, _ = nft_ruleset.read(json.dumps(spoilt))
            except ValueError:
                continue
            assert structure in (None, nft_ruleset.structure(RULES))
    assert tried > 100


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - JSON
    """Where each part of a listing stands."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield (*path, key)
        yield from places(each, (*path, key))


def test_only_differences_are_sent_and_closing_comes_first() -> None:
    """An unrelated change touches nobody's connections."""
    other = Opening(NGINX, "tcp", 443, 443)
    text = nft_ruleset.change(replace(RULES, openings=frozenset({RANGE, other})), RULES)
    assert text.splitlines() == [
        f"delete element {nft_ruleset.TABLE} open {{ {MON_CONTAINER} . tcp . 80 }}",
        f"add element {nft_ruleset.TABLE} open {{ {NGINX} . tcp . 443 }}",
    ]
    assert not nft_ruleset.change(RULES, RULES)


def test_the_structure_depends_on_rules_and_not_on_elements() -> None:
    """Mark, closing and uplinks are rules; openings and closed addresses are elements."""
    same = replace(CLOSING, openings=frozenset(), closed=frozenset({NGINX}))
    assert nft_ruleset.structure(same) == nft_ruleset.structure(CLOSING)
    for other in (RULES, replace(CLOSING, mark=2), replace(CLOSING, uplinks=("eth1",))):
        assert nft_ruleset.structure(other) != nft_ruleset.structure(CLOSING)


def test_nothing_is_dropped_unless_it_is_to_be_closed() -> None:
    """With `--firewall engine` our table only marks."""
    assert "drop" not in nft_ruleset.rebuild(RULES)
    assert "drop" in nft_ruleset.rebuild(CLOSING)
