"""The firewall: our own nftables table, and one rule in each of the engine's hooks that accepts its mark.

The engine's rules are iptables rules, so the accepting ones are too; the engine may use either of its
backends, nft or legacy. Nothing of anybody else's is changed. What the table says is `nft_ruleset`'s.
"""

import json
import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.kernel import nft_ruleset
from dockeripv6mapper.kernel.commands import backends, run
from dockeripv6mapper.kernel.ip6tables import observe_chains
from dockeripv6mapper.kernel.netlink import PERMISSION_HINT
from dockeripv6mapper.model import FirewallRules, Forwarded
from dockeripv6mapper.surroundings import BaseChain, leads_to_engine

log = logging.getLogger(__name__)

NO_SUCH_TABLE = "No such file or directory"

FORWARD = ("filter", "FORWARD")
IPTABLES_TABLES = ("raw", "mangle", "nat", "filter", "security")
"""Tables of the family ip6 that ip6tables keeps its rules in, if it is the nft one."""
ENGINE_TABLE = "docker-bridges"
"""Of an engine of version 29 or later with the nftables backend."""
MARK = {"meta": {"key": "mark"}}

Json = Mapping[str, Any]


class Firewall:
    """Our table, in the network namespace that this process is in."""

    def __init__(self) -> None:
        self._structure: str | None = None
        """The structure of the table as last seen or written; None: it has to be built."""
        self._rules = FirewallRules()
        self._foreign = False
        """Whether there is a table that was not made here, or that cannot be listed."""
        self._warned = ""

    def observe(self) -> FirewallRules | None:
        """Look at the table; returns what it holds, which is nothing where there is none.

        None: there is a table, and it cannot be listed.

        A table that is not as it was written here is built anew by the next `apply`, and so is one that
        cannot be listed: a transaction needs no listing. Raises `KernelRefusedError` where nft cannot run.
        """
        self._structure, self._rules = None, FirewallRules()
        try:
            found = read_table()
        except UnreadableTableError as error:
            self._warn(f"{error}: building it anew, with what is known now")
            self._foreign = True
            return None
        self._foreign = found is not None and found[0] is None
        if found is not None:
            self._structure, self._rules = found
            if self._foreign:
                self._warn(f"table {nft_ruleset.TABLE} is not as it was made: building it anew")
        if not self._foreign:
            self._warned = ""
        return self._rules

    def _warn(self, text: str) -> None:
        """Log once what is wrong with the table, until it is right again."""
        if text != self._warned:
            log.warning("%s", text)
        self._warned = text

    def apply(self, rules: FirewallRules) -> None:
        """Make the table as `rules` say, or remove it where they are empty. Raises `KernelRefusedError`.

        It is taken to be as it was last seen or written: `observe` first, where that may not be so.
        """
        structure = nft_ruleset.structure(rules)
        if not rules:
            text = nft_ruleset.remove() if self._rules or self._structure or self._foreign else ""
        elif structure == self._structure:
            text = nft_ruleset.change(rules, self._rules)
        else:
            text = nft_ruleset.rebuild(rules)
        self._structure = None
        if text:
            run(["nft", "-f", "-"], stdin=text)
        self._structure, self._rules = structure if rules else None, rules
        self._foreign = False


class UnreadableTableError(KernelRefusedError):
    """Our table is there, and nft does not list it, or lists what cannot be read."""


def read_table() -> tuple[str | None, FirewallRules] | None:
    """The table's structure and elements; None where there is no table.

    Raises `UnreadableTableError`, and `KernelRefusedError` where nft cannot be run at all.
    """
    argv = ["nft", "-j", "list", "table", *nft_ruleset.TABLE.split()]
    listed = run(argv, check=False)
    if listed.returncode < 0:
        # Some versions of nft die of a ruleset that a newer one wrote (1.0.6, Debian 12).
        raise UnreadableTableError(f"running {' '.join(argv)}: nft died of signal {-listed.returncode}")
    if listed.returncode:
        if NO_SUCH_TABLE in listed.stderr:
            return None
        raise KernelRefusedError(f"running {' '.join(argv)}: {listed.stderr.strip()}", hint=PERMISSION_HINT)
    try:
        return nft_ruleset.read(listed.stdout)
    except ValueError as error:
        raise UnreadableTableError(f"reading table {nft_ruleset.TABLE}: {error}") from error


def has_table() -> bool:
    """Whether our table is there. Raises `KernelRefusedError`."""
    if not shutil.which("nft"):
        return False
    return f"table {nft_ruleset.TABLE}" in run(["nft", "list", "tables", "ip6"]).stdout.splitlines()


def remove_table() -> None:
    """Remove our table, whatever it holds. Raises `KernelRefusedError`."""
    run(["nft", "-f", "-"], stdin=nft_ruleset.remove())


def close_forwarding() -> Forwarded:
    """Set FORWARD's policy to DROP where the engine's rules stand there; returns what is forwarded now.

    Only there: without rules of the engine's, its containers could not be reached any more.
    Raises `KernelRefusedError`.
    """
    filtered = False
    for command in backends():
        chain = (observe_chains(command) or {}).get(FORWARD)
        if chain is None:
            continue
        if chain.policy == "DROP":
            filtered = True
        elif leads_to_engine(chain):
            run([command, "-w", "-P", "FORWARD", "DROP"])
            log.info("%s: policy of FORWARD %s → DROP, as the engine sets it", command, chain.policy)
            filtered = True
    return Forwarded.BY_RULES if filtered or _nftables_drop() else Forwarded.ANYTHING


def _nftables_drop() -> bool:
    """Whether a chain of nftables drops what is forwarded; not where that cannot be seen.

    It decides about a warning alone, and some versions of nft die of a newer one's ruleset: the containers
    are to be reached all the same.
    """
    try:
        return bool(observe_nftables()[0])
    except KernelRefusedError as error:
        log.warning("%s; taking nothing to be dropped", error)
        return False


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
