"""Chains of nftables: the output of `nft -j list ruleset` as chains of rules in the words of ip6tables. Pure.

So one tracer (`mapping.netfilter`) follows both. A match that has no such words becomes `UNKNOWN`, which is
never evaluated. Sets of addresses, links and ports become lists of values; concatenations and verdict maps
become one rule for each element.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any

from dockeripv6mapper.firewall_rules import NFT_COMMAND, BaseHook, Chain, Chains, Hook, Rule
from dockeripv6mapper.kernel.firewall import IPTABLES_TABLES, MARK
from dockeripv6mapper.kernel.nft_matches import (
    ALWAYS,
    CONNECTION_MARK,
    NEVER,
    UNKNOWN,
    Json,
    Words,
    mark_change,
    match_words,
    of_unknown_set,
)

FAMILIES = ("ip6", "inet")
HOOKS = {"prerouting": Hook.PREROUTING, "forward": Hook.FORWARD}

ANY_VERDICT: Words = ("-j", "NFQUEUE")
"""The end of a rule that may accept or drop."""

MAX_ELEMENTS = 5000
"""Elements of one concatenation or map that become rules; a larger one is unknown."""

FORM_ERRORS = (LookupError, TypeError, ValueError, AttributeError)
"""Raised by reading a statement that has another form than expected."""

STATEMENTS = ("counter", "log", "notrack", "ct helper", "ct timeout", "flow", "meter", "set", "map")
"""Statements after which the next one follows, whatever they do."""


def read_ruleset(objects: Iterable[Json]) -> tuple[Chains, tuple[BaseHook, ...]]:
    """The chains, and the base chains that a forwarded packet meets.

    Raises `LookupError`, `TypeError`, `ValueError` or `AttributeError` for output of another form.
    """
    objects = [each for each in objects if isinstance(each, Mapping)]
    dormant = {
        (table["family"], table["name"])
        for item in objects
        for table in _either(item, "table")
        if _is_dormant(table)
    }
    sets = {_key(each, "name"): each for item in objects for each in _either(item, "set", "map")}
    policies: dict[tuple[str, str], str | None] = {}
    rules: dict[tuple[str, str], list[Rule]] = {}
    hooks = []
    for item in objects:
        if (chain := item.get("chain")) and _is_foreign_to_ip6tables(chain):
            key = (f"{chain['family']} {chain['table']}", chain["name"])
            policy = chain.get("policy")
            policies[key] = policy.upper() if policy else None
            is_filter = chain.get("type") == "filter" and chain.get("hook") in HOOKS
            if is_filter and (chain["family"], chain["table"]) not in dormant:
                hooks.append(BaseHook(NFT_COMMAND, *key, HOOKS[chain["hook"]], chain["prio"]))
        elif (rule := item.get("rule")) and _is_foreign_to_ip6tables(rule):
            key = (f"{rule['family']} {rule['table']}", rule["chain"])
            rules.setdefault(key, []).extend(_Translation(rule, sets).rules())
    chains = {key: Chain(policy, tuple(rules.get(key, ()))) for key, policy in policies.items()}
    return chains, tuple(hooks)


def _is_foreign_to_ip6tables(item: Json) -> bool:
    if item["family"] == "ip6" and item["table"] in IPTABLES_TABLES:
        return False
    return item["family"] in FAMILIES


def _is_dormant(table: Json) -> bool:
    """Whether no packet meets the chains of a table. nft 1.0.6 prints random text: then they count."""
    return "dormant" in (table.get("flags") or ())


def _either(item: Json, *kinds: str) -> Iterator[Json]:
    yield from (item[kind] for kind in kinds if kind in item)


def _key(item: Json, name: str) -> tuple[str, str, str]:
    return item["family"], item["table"], item[name]


class _Translation:
    """The translation of one rule."""

    def __init__(self, rule: Json, sets: Mapping[tuple[str, str, str], Json]) -> None:
        self._rule = rule
        self._sets = sets

    def rules(self) -> Iterator[Rule]:
        """Rules of ip6tables that do the same, in order. A statement of an unexpected form is unknown."""
        # Each variant is the words of the matches so far: a concatenation makes several.
        variants: list[Words] = [ALWAYS]
        for statement in self._rule["expr"]:
            try:
                matches, endings = self._statement(statement)
            except FORM_ERRORS:
                matches, endings = [UNKNOWN], _unknown_endings(statement)
            variants = _join(variants, matches)
            yield from self._emit(variants, endings)

    def _statement(self, statement: Json) -> tuple[list[Words], list[Words]]:
        """The alternatives of a match and the ends of rules, either of which may be none."""
        (kind, value), *_ = statement.items()
        matches, endings = [ALWAYS], list[Words]()
        if kind == "match":
            matches = self._match(value)
        elif kind == "vmap":
            endings = list(self._verdict_map(value))
        elif kind == "mangle":
            endings = [mark_change(value)]
        elif kind == "queue":
            endings = [ANY_VERDICT]
        elif kind in ("accept", "drop", "reject", "return", "jump", "goto"):
            endings = [_verdict(statement)]
        elif kind in ("limit", "ct count") and isinstance(value, Mapping):
            # A single packet is within a limit, and not over it. Of a limit with a name, nft prints the name.
            matches = [NEVER if value.get("inv") else ALWAYS]
        elif kind not in STATEMENTS:
            matches = [UNKNOWN]
        return matches, endings

    def _emit(self, variants: Iterable[Words], endings: Iterable[Words]) -> Iterator[Rule]:
        text = str(self._rule.get("comment") or "")
        for variant, ending in product(variants, list(endings)):
            if ending:
                yield Rule(text, variant + ending)

    def _verdict_map(self, value: Json) -> Iterator[Words]:
        elements = self._elements(value["data"])
        if elements is None:
            yield ANY_VERDICT
            return
        for key, verdict in elements:
            for words in self._single(value["key"], _element(key), negated=False):
                yield words + _verdict(verdict)

    def _match(self, match: Json) -> list[Words]:
        """The words of a match: one tuple for each alternative."""
        operator, left, right = match["op"], match["left"], match["right"]
        if operator not in ("==", "!=", "in"):
            return [UNKNOWN]
        negated = operator == "!="
        if "concat" in left:
            elements = self._elements(right) if not negated else None
            if elements is None:
                return [UNKNOWN]
            words = (each for one in elements for each in self._single(left, _element(one), negated=False))
            return _with_ports_joined(words)
        values = self._elements(right)
        if values is None:
            unlisted = of_unknown_set(left)
            return [ALWAYS if negated and unlisted == NEVER else unlisted]
        return list(self._single(left, [_element(each) for each in values], negated=negated))

    def _single(self, left: Json, right: Any, *, negated: bool) -> Iterator[Words]:  # noqa: ANN401 - JSON
        if "concat" in left:
            pairs = zip(left["concat"], right["concat"], strict=True)
            yield tuple(word for part, value in pairs for word in match_words(part, [value], negated=False))
            return
        yield match_words(left, right if isinstance(right, list) else [right], negated=negated)

    def _elements(self, right: Any) -> list[Any] | None:  # noqa: ANN401 - JSON
        """The values on the right of a match; None for a set that is not listed or too large."""
        if isinstance(right, str) and right.startswith("@"):
            named = self._sets.get((self._rule["family"], self._rule["table"], right[1:]))
            elements = None if named is None else named.get("elem", [])
        elif isinstance(right, Mapping) and "set" in right:
            elements = right["set"]
        else:
            elements = right if isinstance(right, list) else [right]
        if isinstance(elements, str) and elements.startswith("@"):
            return self._elements(elements)
        return elements if elements is not None and len(elements) <= MAX_ELEMENTS else None


def _join(variants: list[Words], alternatives: list[Words]) -> list[Words]:
    if len(variants) * len(alternatives) > MAX_ELEMENTS:
        return [each + UNKNOWN for each in variants]
    return [first + second for first, second in product(variants, alternatives)]


def _with_ports_joined(variants: Iterable[Words]) -> list[Words]:
    """Variants that differ in their last port only become one that lists the ports: less to trace."""
    ports: dict[Words, list[str]] = {}
    for words in variants:
        if len(words) > 1 and words[-2] in ("--dport", "--sport") and words[-3:-2] != ("!",):
            ports.setdefault(words[:-1], []).append(words[-1])
        else:
            ports.setdefault(words, [])
    return [(*words, ",".join(values)) if values else words for words, values in ports.items()]


def _element(element: Any) -> Any:  # noqa: ANN401 - JSON
    """An element without its comment, counter or timeout."""
    if isinstance(element, Mapping) and "elem" in element:
        return element["elem"]["val"]
    return element


def _unknown_endings(statement: object) -> list[Words]:
    """The ends of a rule for a statement of an unexpected form."""
    match statement:
        case {"vmap": _}:
            return [ANY_VERDICT]
        case {"mangle": {"key": key}} if key in (MARK, CONNECTION_MARK):
            return [("-j", "MARK", "--set-xmark", "0x0/0x0")]
    return []


def _verdict(statement: Json) -> Words:
    """The words of a verdict, which is the last or only key of a statement."""
    match statement:
        case {"jump": {"target": str(target)}}:
            return ("-j", target)
        case {"goto": {"target": str(target)}}:
            return ("-g", target)
    (kind, _), *_ = statement.items()
    return ("-j", str(kind).upper())
