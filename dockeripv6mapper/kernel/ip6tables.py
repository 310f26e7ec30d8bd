"""Rules of ip6tables: read all of them as text, insert our accept rules, find ours for `cleanup`.

The engine's rules are rules of ip6tables, so ours must be too: one rule in each of two chains accepts packets
with our mark, which our nftables table sets (see `firewall`). The engine uses either backend, nft or legacy.
Rules of the engine and of other programs are never changed.
"""

import shlex
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.firewall_rules import (
    COMMENT,
    ENGINE_CHAIN,
    ENGINE_TABLE,
    FORWARD,
    Chain,
    Chains,
    Rule,
    is_ours,
)
from dockeripv6mapper.kernel.commands import IPTABLES, backends, nft_tables, run

RULE_PREFIX = "-A "
"""Begins a rule's line in the output of `ip6tables-save`."""

RAW = ("raw", "PREROUTING")
USER_CHAIN = ("filter", "DOCKER-USER")
"""Our rule for forwarded packets goes into DOCKER-USER, if FORWARD jumps there; else into FORWARD."""


@dataclass(frozen=True, slots=True)
class AcceptRule:
    """The place of an accept rule of ours: a chain that needs one."""

    command: str
    table: str
    chain: str

    def __str__(self) -> str:
        return f"{self.command} -t {self.table} {self.chain}"


@dataclass(frozen=True, slots=True)
class OurRule:
    """An accept rule of ours, as it was read."""

    command: str
    table: str
    chain: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"rule in {self.command} -t {self.table} {self.chain}"

    @property
    def removal(self) -> tuple[str, ...]:
        """The command that removes it."""
        return (self.command, "-w", "-t", self.table, "-D", self.chain, *self.words)

    def remove(self) -> None:
        """Remove it. A rule that is gone already counts as removed. Raises `KernelRefusedError`."""
        try:
            run(self.removal)
        except KernelRefusedError:
            if self in our_rules(self.command):
                raise


def observe_chains(backend: str) -> Chains | None:
    """All chains and rules of one backend; None where the backend is not installed.

    Raises `KernelRefusedError`.
    """
    command = f"{backend}-save"
    if not shutil.which(command):
        return None
    try:
        return read_chains(run([command]).stdout)
    except ValueError as error:
        raise KernelRefusedError(f"parsing the output of {command}: {error}") from error


def read_chains(saved: str) -> Chains:
    """Parse the output of `ip6tables-save`. Raises `ValueError` where that fails."""
    policies: dict[tuple[str, str], str | None] = {}
    rules: dict[tuple[str, str], list[Rule]] = {}
    table = ""
    for line in _join_rule_lines(saved.split("\n")):
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            chain, policy, *_ = line[1:].split()
            policies[table, chain] = None if policy == "-" else policy
        elif line.startswith(RULE_PREFIX):
            _, chain, *words = shlex.split(line)
            rules.setdefault((table, chain), []).append(Rule(line, tuple(words)))
    return {key: Chain(policy, tuple(rules.get(key, ()))) for key, policy in policies.items()}


def _join_rule_lines(lines: Iterable[str]) -> Iterator[str]:
    """The lines, with each rule on one line: a quoted comment may contain newlines.

    Raises `ValueError` where a quotation has no end.
    """
    joined = ""
    for line in lines:
        joined += line
        try:
            if joined.startswith(RULE_PREFIX):
                shlex.split(joined)
        except ValueError:
            joined += "\n"
            continue
        yield joined
        joined = ""
    if joined:
        raise ValueError(f"no end of {joined[:80]!r}")


def put_accept_rules(mark: int) -> list[AcceptRule]:
    """Insert each missing accept rule first in its chain; returns these. Then remove ours from other chains.

    Ours is in another chain after the engine's chains had gone for a while. Only backends with the engine's
    chains need rules. If no backend has them, the default one does; but where the engine filters with its
    own nftables table, only in chains that may drop a packet. Each backend is listed once: a listing takes
    the xtables lock and some milliseconds. Raises `KernelRefusedError`.
    """
    listed = {command: observe_chains(command) or {} for command in backends()}
    with_engine = [command for command, chains in listed.items() if ENGINE_CHAIN in chains]
    only_where_dropped = not with_engine and ENGINE_TABLE in nft_tables()
    missing, superfluous = list[AcceptRule](), list[OurRule]()
    for command in with_engine or [IPTABLES]:
        chains = listed[command] if command in listed else observe_chains(command) or {}
        places = accept_places(chains, only_where_dropped=only_where_dropped)
        missing += [AcceptRule(command, *each) for each in places if not _has_rule(chains, each, mark)]
        superfluous += [rule for rule in _ours(command, chains) if (rule.table, rule.chain) not in places]
    for place in missing:
        run([place.command, "-w", "-t", place.table, "-I", place.chain, "1", *_rule_words(mark)])
    for rule in superfluous:
        rule.remove()
    return missing


def accept_places(chains: Chains, *, only_where_dropped: bool = False) -> tuple[tuple[str, str], ...]:
    """The chains of one backend that need an accept rule of ours, by table and name.

    The engine creates DOCKER-USER and the jump to it. The jump is lost where another program flushes FORWARD.
    An engine that changes to nftables leaves both, and the policy of FORWARD, until the next boot.
    `only_where_dropped`: leave out chains in which no packet is dropped.
    """
    rules = chains[FORWARD].rules if FORWARD in chains else ()
    is_reached = USER_CHAIN in chains and any(("-j", USER_CHAIN[1]) in rule.options for rule in rules)
    forwarded = USER_CHAIN if is_reached else FORWARD
    met = {RAW: [RAW], forwarded: [FORWARD, USER_CHAIN] if is_reached else [FORWARD]}
    return tuple(
        place
        for place, keys in met.items()
        if not only_where_dropped or any(_may_drop(chains[key]) for key in keys if key in chains)
    )


def _may_drop(chain: Chain) -> bool:
    """Whether a packet may be dropped in a chain: by policy, or by a rule that is not known to spare it."""
    harmless = (("-j", USER_CHAIN[1]), ("-j", "RETURN"), ("-j", "ACCEPT"))
    return chain.policy == "DROP" or not all(
        any(target in rule.options for target in harmless) for rule in chain.rules
    )


def our_rules(command: str) -> Iterator[OurRule]:
    """Every rule of ours in one backend: in any chain, with any mark. Raises `KernelRefusedError`."""
    yield from _ours(command, observe_chains(command) or {})


def _ours(command: str, chains: Chains) -> Iterator[OurRule]:
    for (table, name), chain in chains.items():
        for rule in chain.rules:
            if is_ours(rule):
                yield OurRule(command, table, name, rule.words)


def _has_rule(chains: Chains, key: tuple[str, str], mark: int) -> bool:
    """Whether a chain, by table and name, has our accept rule with this mark."""
    words = _rule_words(mark)
    # `--mark` and `--comment` are compared; the `-m` that loads each is not.
    options = set(zip(words[::2], words[1::2], strict=True)) - {("-m", "mark"), ("-m", "comment")}
    rules = chains[key].rules if key in chains else ()
    return any(options <= rule.options for rule in rules)


def _rule_words(mark: int) -> tuple[str, ...]:
    bit = f"{mark:#x}/{mark:#x}"
    return ("-m", "mark", "--mark", bit, "-m", "comment", "--comment", COMMENT, "-j", "ACCEPT")
