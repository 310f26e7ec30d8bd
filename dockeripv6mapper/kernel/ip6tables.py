"""Filtering: what everybody's rules of ip6tables and nftables are, for who wants to know what they do.

Read as text, by pure functions, and never changed here. Our own rules are `firewall`'s.
"""

import shlex
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.kernel.commands import IPTABLES, backends, run
from dockeripv6mapper.surroundings import Chain, Chains, Rule

RULE = "-A "
"""How a rule's line begins."""
RAW = ("raw", "PREROUTING")
ENGINE_CHAIN = ("filter", "DOCKER")
"""A chain that every engine makes in the backend that it uses."""
ENGINE_HOOKS = (("filter", "DOCKER-USER"), ("filter", "FORWARD"))
"""Where forwarded packets are accepted: the first of these chains that there is."""

COMMENT = "DockerIPV6Mapper"
"""By which our rules among the engine's are known."""
OURS = {("--comment", COMMENT), ("-j", "ACCEPT")}
"""What a rule of ours says, and nobody else's."""


@dataclass(frozen=True, slots=True)
class Hook:
    """A place for an accepting rule."""

    command: str
    table: str
    chain: str

    def __str__(self) -> str:
        return f"{self.command} -t {self.table} {self.chain}"


@dataclass(frozen=True, slots=True)
class LeftRule:
    """An accepting rule of ours."""

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
        """Remove it; one that is gone already is as good as removed. Raises `KernelRefusedError`."""
        try:
            run(self.removal)
        except KernelRefusedError:
            if self in our_rules(self.command):
                raise


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


def missing_hooks(mark: int) -> list[Hook]:
    """Where an accepting rule has to stand and does not. Raises `KernelRefusedError`.

    In the backend that the engine uses: the one with its chains, else the machine's choice. Each is listed
    once, since every command takes the lock of xtables and some milliseconds.
    """
    seen = {command: observe_chains(command) or {} for command in backends()}
    engines = [command for command, chains in seen.items() if ENGINE_CHAIN in chains]
    missing = []
    for command in engines or [IPTABLES]:
        chains = seen[command] if command in seen else observe_chains(command) or {}
        accepting = next((place for place in ENGINE_HOOKS if place in chains), ENGINE_HOOKS[-1])
        missing += [Hook(command, *each) for each in (RAW, accepting) if not _has_rule(chains, each, mark)]
    return missing


def put_hooks(mark: int) -> list[Hook]:
    """Put an accepting rule first wherever one is missing; returns where. Raises `KernelRefusedError`."""
    missing = missing_hooks(mark)
    for hook in missing:
        run([hook.command, "-w", "-t", hook.table, "-I", hook.chain, "1", *_rule(mark)])
    return missing


def our_rules(command: str) -> Iterator[LeftRule]:
    """Our rules in one backend of ip6tables. Raises `KernelRefusedError`."""
    for (table, chain), found in (observe_chains(command) or {}).items():
        for rule in found.rules:
            if rule.options >= OURS:
                yield LeftRule(command, table, chain, rule.words)


def _has_rule(chains: Chains, place: tuple[str, str], mark: int) -> bool:
    """Whether a chain has the accepting rule of this mark."""
    words = _rule(mark)
    wanted = set(zip(words[::2], words[1::2], strict=True)) - {("-m", "mark"), ("-m", "comment")}
    rules = chains[place].rules if place in chains else ()
    return any(wanted <= rule.options for rule in rules)


def _rule(mark: int) -> tuple[str, ...]:
    bit = f"{mark:#x}/{mark:#x}"
    return ("-m", "mark", "--mark", bit, "-m", "comment", "--comment", COMMENT, "-j", "ACCEPT")
