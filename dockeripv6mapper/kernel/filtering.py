"""Filtering: what everybody's rules of ip6tables and nftables are, for who wants to know what they do.

Read as text, by pure functions, and never changed here. Our own rules are `firewall`'s. Of nftables only
policies are looked at: the rejecting rule at the end of firewalld's chain, say, is never met by what is for
the engine's bridges, since the engine puts them into a zone that accepts.
"""

import json
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.firewall_rules import BaseChain, Chain, Chains, Rule
from dockeripv6mapper.kernel.commands import run

BACKENDS = ("ip6tables", "ip6tables-legacy")
"""The machine's choice, and the older backend where that is another: packets pass both."""
IPTABLES_TABLES = ("raw", "mangle", "nat", "filter", "security")
"""Tables of the family ip6 that ip6tables keeps its rules in, if it is the nft one."""
RULE = "-A "
"""How a rule's line begins."""
ENGINE_TABLE = "docker-bridges"
"""Of an engine of version 29 or later with the nftables backend."""
MARK = {"meta": {"key": "mark"}}

Json = Mapping[str, Any]


def observe_chains(backend: str) -> Chains | None:
    """The chains of one backend of ip6tables; None where that is not installed.

    Raises `KernelRefusedError`.
    """
    command = f"{backend}-save"
    if not shutil.which(command):
        return None
    try:
        return read_chains(run([command]).stdout)
    except ValueError as error:
        raise KernelRefusedError(f"reading what {command} prints: {error}") from error


def observe_nftables() -> tuple[tuple[BaseChain, ...], frozenset[int]]:
    """Chains of nftables that drop what is forwarded, and the marks that an engine's tables accept.

    Raises `KernelRefusedError`.
    """
    if not shutil.which("nft"):
        return (), frozenset()
    try:
        objects = json.loads(run(["nft", "-j", "list", "ruleset"]).stdout)["nftables"]
        return tuple(dropping(objects)), engine_accepts(objects)
    except (ValueError, KeyError, TypeError) as error:
        raise KernelRefusedError(f"reading the rules of nftables: {error!r}") from error


def read_chains(saved: str) -> Chains:
    """The output of `ip6tables-save`. Raises `ValueError` where it cannot be read."""
    policies: dict[tuple[str, str], str | None] = {}
    rules: dict[tuple[str, str], list[Rule]] = {}
    table = ""
    for line in _whole(saved.split("\n")):
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            chain, policy, *_ = line[1:].split()
            policies[table, chain] = None if policy == "-" else policy
        elif line.startswith(RULE):
            _, chain, *words = shlex.split(line)
            rules.setdefault((table, chain), []).append(Rule(line, tuple(words)))
    return {key: Chain(policy, tuple(rules.get(key, ()))) for key, policy in policies.items()}


def _whole(lines: Iterable[str]) -> Iterator[str]:
    """Lines, each rule in one, though its comment may not be. Raises `ValueError` where that never ends."""
    begun = ""
    for line in lines:
        begun += line
        try:
            if begun.startswith(RULE):
                shlex.split(begun)
        except ValueError:
            begun += "\n"
            continue
        yield begun
        begun = ""
    if begun:
        raise ValueError(f"no end of {begun[:80]!r}")


def dropping(objects: Iterable[Json]) -> Iterator[BaseChain]:
    """Of `nft -j list ruleset`, the chains of others than ip6tables and the engine that drop by policy."""
    listed = list(objects)
    for each in listed:
        chain = each.get("chain", {})
        if chain.get("hook") != "forward" or chain.get("policy") != "drop":
            continue
        if chain["family"] not in ("ip6", "inet") or chain["table"] == ENGINE_TABLE:
            continue
        if chain["family"] == "ip6" and chain["table"] in IPTABLES_TABLES:
            continue
        place = (chain["family"], chain["table"], chain["name"])
        yield BaseChain(*place, marks=_accepted_marks(listed, place))


def engine_accepts(objects: Iterable[Json]) -> frozenset[int]:
    """Of `nft -j list ruleset`, the marks that an engine's own tables accept."""
    listed = list(objects)
    chains = [each["chain"] for each in listed if "chain" in each]
    places = [("ip6", ENGINE_TABLE, each["name"]) for each in chains if each["table"] == ENGINE_TABLE]
    return frozenset(mark for place in places for mark in _accepted_marks(listed, place))


def _accepted_marks(objects: Iterable[Json], place: tuple[str, str, str]) -> frozenset[int]:
    """The marks of the rules in one chain that accept on a mark alone."""
    marks = set[int]()
    for each in objects:
        rule = each.get("rule", {})
        if (rule.get("family"), rule.get("table"), rule.get("chain")) != place:
            continue
        match rule.get("expr"):
            case [{"match": {"op": "==", "left": left, "right": int(mark)}}, *rest]:
                tests = left in (MARK, {"&": [MARK, mark]})
            case [{"match": {"op": "!=", "left": {"&": [left, int(mark)]}, "right": 0}}, *rest]:
                tests = left == MARK
            case _:
                continue
        if tests and _just_accepts(rest):
            marks.add(mark)
    return frozenset(marks)


def _just_accepts(statements: Iterable[Json]) -> bool:
    """Whether they accept, and at most count and log besides."""
    return {name for each in statements for name in each} - {"counter", "log"} == {"accept"}
