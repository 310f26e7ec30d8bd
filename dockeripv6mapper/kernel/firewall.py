"""The firewall: our own nftables table, the policy of FORWARD, and other programs' nftables chains.

`nft_ruleset` builds and reads the text of our table; here `nft` runs. The rules of ip6tables that accept our
mark are in `ip6tables`. Tables of other programs are read and never changed. Of their chains only those with
policy drop count. The chain of firewalld, for example, ends in a rejecting rule, but the engine puts its
bridges into a zone that accepts.
"""

import json
import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dockeripv6mapper.errors import CommandCrashedError, KernelRefusedError
from dockeripv6mapper.firewall_rules import (
    ALL_BITS,
    ENGINE_TABLE,
    FORWARD,
    BaseChain,
    MarkRule,
    leads_to_engine,
)
from dockeripv6mapper.kernel import nft_ruleset, nft_table
from dockeripv6mapper.kernel.commands import backends, run
from dockeripv6mapper.kernel.ip6tables import observe_chains
from dockeripv6mapper.kernel.netlink import PERMISSION_HINT
from dockeripv6mapper.model import FirewallRules, Forwarded

log = logging.getLogger(__name__)

NO_SUCH_TABLE = "No such file or directory"
"""In the error output of `nft list table`."""

IPTABLES_TABLES = ("raw", "mangle", "nat", "filter", "security")
"""Tables of the family ip6 in which the nft backend of ip6tables keeps its rules."""
MARK = {"meta": {"key": "mark"}}
"""The packet mark in an expression of `nft -j`."""

Json = Mapping[str, Any]


class Firewall:
    """Our nftables table, in this process's network namespace."""

    def __init__(self) -> None:
        self._structure: str | None = None
        """The structure of the table as last read or written; None: the table must be rebuilt."""
        self._rules = FirewallRules()
        """The contents of the table as last read or written."""
        self._foreign = False
        """Whether the table exists, but was changed by another program or cannot be listed."""
        self._warned = ""

    def observe(self) -> FirewallRules | None:
        """Read the table. Empty rules where it does not exist; None where it exists and cannot be listed.

        The next `apply` rebuilds a table that another program changed or that cannot be listed. Raises
        `KernelRefusedError` where nft cannot run.
        """
        self._structure, self._rules = None, FirewallRules()
        try:
            table = read_table()
        except UnreadableTableError as error:
            self._warn_once(f"{error}: rebuilding it")
            self._foreign = True
            return None
        self._foreign = table is not None and table[0] is None
        if table is not None:
            self._structure, self._rules = table
            if self._foreign:
                self._warn_once(f"table {nft_ruleset.TABLE} was changed by another program: rebuilding it")
        if not self._foreign:
            self._warned = ""
        return self._rules

    def _warn_once(self, text: str) -> None:
        """Log a fault of the table. Not again, until the table was right in between."""
        if text != self._warned:
            log.warning("%s", text)
        self._warned = text

    def apply(self, rules: FirewallRules) -> None:
        """Change the table to `rules`; remove it where they are empty. Raises `KernelRefusedError`.

        Works from the state last read or written. If another program may have changed it, `observe` first.
        """
        structure = nft_ruleset.structure(rules)
        # If nft fails, the state is unknown and the next `apply` rebuilds.
        now, self._structure = self._structure, None
        if rules:
            same = structure == now
            if text := nft_ruleset.change(rules, self._rules) if same else nft_ruleset.rebuild(rules):
                run(["nft", "-f", "-"], stdin=text)
        elif self._rules or now or self._foreign:
            nft_table.remove()
        self._structure, self._rules = structure if rules else None, rules
        self._foreign = False


class UnreadableTableError(KernelRefusedError):
    """Our table exists, and nft does not list it, or its listing cannot be parsed."""


def read_table() -> tuple[str | None, FirewallRules] | None:
    """The structure and contents of our table (see `nft_ruleset.read`); None where it does not exist.

    Raises `UnreadableTableError`, and `KernelRefusedError` where nft cannot run.
    """
    argv = ["nft", "-j", "list", "table", *nft_ruleset.TABLE.split()]
    try:
        listed = run(argv, check=False)
    except CommandCrashedError as error:
        # By our own table: of other programs' tables this command reads nothing.
        raise UnreadableTableError(str(error), hint=error.hint) from error
    if listed.returncode:
        if NO_SUCH_TABLE in listed.stderr:
            return None
        raise KernelRefusedError(f"running {' '.join(argv)}: {listed.stderr.strip()}", hint=PERMISSION_HINT)
    try:
        return nft_ruleset.read(listed.stdout)
    except ValueError as error:
        raise UnreadableTableError(f"reading table {nft_ruleset.TABLE}: {error}") from error


def close_forwarding() -> Forwarded:
    """Set the policy of FORWARD to DROP, as an engine would; returns what the host forwards now.

    Call it before switching forwarding on. Engines from 27 on set this policy when they switch forwarding on
    themselves, and leave it alone where forwarding is on already. It is set only where the chain has rules of
    the engine: without them, DROP would cut off the engine's containers. Raises `KernelRefusedError`.
    """
    drops = False
    for command in backends():
        chain = (observe_chains(command) or {}).get(FORWARD)
        if chain is None:
            continue
        if chain.policy == "DROP":
            drops = True
        elif leads_to_engine(chain):
            run([command, "-w", "-P", "FORWARD", "DROP"])
            log.info("%s: policy of FORWARD %s → DROP, as the engine sets it", command, chain.policy)
            drops = True
    return Forwarded.BY_RULES if drops or _nftables_drops() else Forwarded.ANYTHING


def _nftables_drops() -> bool:
    """Whether an nftables chain drops forwarded packets by policy; False where that cannot be read.

    The answer only decides about a warning, so a failure here must not stop the daemon: some versions of nft
    crash on a ruleset that a newer one wrote.
    """
    try:
        return bool(observe_nftables().dropping_chains)
    except KernelRefusedError as error:
        log.warning("%s; assuming that nftables drops nothing", error)
        return False


@dataclass(frozen=True, slots=True)
class OtherRules:
    """What matters of the nftables rules of other programs."""

    dropping_chains: tuple[BaseChain, ...] = ()
    """Chains that drop forwarded packets by policy."""
    engine_accepted_marks: frozenset[int] = frozenset()
    """Packet marks that the engine's own table accepts."""
    mark_rules: tuple[MarkRule, ...] = ()


def observe_nftables() -> OtherRules:
    """What matters of the nftables rules of other programs. Raises `KernelRefusedError`."""
    if not shutil.which("nft"):
        return OtherRules()
    try:
        objects = json.loads(run(["nft", "-j", "list", "ruleset"]).stdout)["nftables"]
        return OtherRules(
            tuple(dropping_chains(objects)), marks_engine_accepts(objects), tuple(mark_rules(objects))
        )
    except (ValueError, KeyError, TypeError) as error:
        raise KernelRefusedError(f"parsing the rules of nftables: {error!r}") from error


def dropping_chains(objects: Iterable[Json]) -> Iterator[BaseChain]:
    """The forward chains with policy drop in `nft -j list ruleset`.

    Without the engine's, and without those of ip6tables, which doctor reads from `ip6tables-save`.
    """
    objects = list(objects)
    for each in objects:
        chain = each.get("chain", {})
        if chain.get("hook") != "forward" or chain.get("policy") != "drop":
            continue
        if chain["family"] not in ("ip6", "inet") or chain["table"] == ENGINE_TABLE:
            continue
        if chain["family"] == "ip6" and chain["table"] in IPTABLES_TABLES:
            continue
        key = (chain["family"], chain["table"], chain["name"])
        yield BaseChain(*key, marks=_accepted_marks(objects, key), priority=int(chain.get("prio", 0)))


def marks_engine_accepts(objects: Iterable[Json]) -> frozenset[int]:
    """The packet marks that the engine's own table accepts, in `nft -j list ruleset`."""
    objects = list(objects)
    chains = [each["chain"] for each in objects if "chain" in each]
    keys = [("ip6", ENGINE_TABLE, chain["name"]) for chain in chains if chain["table"] == ENGINE_TABLE]
    return frozenset(mark for key in keys for mark in _accepted_marks(objects, key))


def _accepted_marks(objects: Iterable[Json], key: tuple[str, str, str]) -> frozenset[int]:
    """The marks of the rules in one chain (family, table, name) that match the mark alone and accept."""
    marks = set[int]()
    for each in objects:
        rule = each.get("rule", {})
        if (rule.get("family"), rule.get("table"), rule.get("chain")) != key:
            continue
        match rule.get("expr"):
            case [{"match": {"op": "==", "left": left, "right": int(mark)}}, *rest]:
                matches_mark = left in (MARK, {"&": [MARK, mark]})
            case [{"match": {"op": "!=", "left": {"&": [left, int(mark)]}, "right": 0}}, *rest]:
                matches_mark = left == MARK
            case _:
                continue
        if matches_mark and _only_accepts(rest):
            marks.add(mark)
    return frozenset(marks)


def _only_accepts(statements: Iterable[Json]) -> bool:
    """Whether the statements accept, and do nothing else except counting and logging."""
    return {name for each in statements for name in each} - {"counter", "log"} == {"accept"}


def mark_rules(objects: Iterable[Json]) -> Iterator[MarkRule]:
    """The rules that change the mark of IPv6 packets, in `nft -j list ruleset`; not ours and ip6tables'."""
    objects = list(objects)
    chains = {_chain_key(each["chain"], "name"): each["chain"] for each in objects if "chain" in each}
    for each in objects:
        rule = each.get("rule", {})
        family, table = rule.get("family"), rule.get("table")
        ip6tables = family == "ip6" and table in IPTABLES_TABLES
        if family not in ("ip6", "inet") or ip6tables or f"{family} {table}" == nft_ruleset.TABLE:
            continue
        key = _chain_key(rule, "chain")
        chain = chains.get(key, {})
        for statement in rule.get("expr", ()):
            match statement:
                case {"mangle": {"key": key_changed, "value": value}} if key_changed == MARK:
                    sets, overwrites = _mark_written(value)
                    hook, priority = chain.get("hook"), int(chain.get("prio", 0))
                    yield MarkRule(" ".join(key), hook, priority, sets, overwrites)


def _chain_key(each: Json, name: str) -> tuple[str, str, str]:
    return (str(each.get("family")), str(each.get("table")), str(each.get(name)))


def _mark_written(value: object) -> tuple[int, int]:
    """The bits that the new value of the mark sets, and those that it sets or clears."""
    match value:
        case int(number):
            return number, ALL_BITS
        case {"|": [kept, int(number)]}:
            return number, number | _mark_written(kept)[1]
        case {"^": [kept, int(number)]}:
            return number, number | _mark_written(kept)[1]
        case {"&": [kept, int(mask)]}:
            sets, overwrites = _mark_written(kept)
            return sets & mask, overwrites | ALL_BITS ^ mask
    return (0, 0) if value == MARK else (0, ALL_BITS)
