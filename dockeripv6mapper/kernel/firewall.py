"""The firewall: our own nftables table, and one rule in each of the engine's hooks that accepts its mark.

The engine's rules are iptables rules, so the accepting ones are too; the engine may use either of its
backends, nft or legacy. Nothing of anybody else's is changed. What the table says is `nft_ruleset`'s.
"""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.firewall_rules import Chains
from dockeripv6mapper.kernel import nft_ruleset
from dockeripv6mapper.kernel.commands import run
from dockeripv6mapper.kernel.filtering import observe_chains
from dockeripv6mapper.kernel.netlink import PERMISSION_HINT
from dockeripv6mapper.model import FirewallRules

log = logging.getLogger(__name__)

IPTABLES = "ip6tables"
"""The command of whichever backend is the machine's choice."""
NFT, LEGACY = "ip6tables-nft", "ip6tables-legacy"
"""Each backend's own command: an engine that was started before the choice changed uses the other."""
LEGACY_TABLES = Path("/proc/net/ip6_tables_names")
"""The legacy backend's tables. Its command makes the table that it is asked about, so look here first."""
RAW = ("raw", "PREROUTING")
ENGINE_CHAIN = ("filter", "DOCKER")
"""A chain that every engine makes in the backend that it uses."""
ENGINE_HOOKS = (("filter", "DOCKER-USER"), ("filter", "FORWARD"))
"""Where forwarded packets are accepted: the first of these chains that there is."""

COMMENT = "DockerIPV6Mapper"
"""By which our rules among the engine's are known."""

NO_SUCH_TABLE = "No such file or directory"


@dataclass(frozen=True, slots=True)
class Hook:
    """A place for an accepting rule."""

    command: str
    table: str
    chain: str

    def __str__(self) -> str:
        return f"{self.command} -t {self.table} {self.chain}"


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


def backends() -> list[str]:
    """The commands of the backends that may hold a rule; before iptables 1.8 one command was all."""
    named = [command for command in (NFT, LEGACY) if shutil.which(command)]
    if LEGACY in named and not _legacy_is_used():
        named.remove(LEGACY)
    if not named and shutil.which(IPTABLES):
        return [IPTABLES]
    return named


def _legacy_is_used() -> bool:
    try:
        return bool(LEGACY_TABLES.read_text())
    except (FileNotFoundError, PermissionError):
        # The kernel does not have it; or this process may not look, and then may not change it either.
        return False


def _has_rule(chains: Chains, place: tuple[str, str], mark: int) -> bool:
    """Whether a chain has the accepting rule of this mark."""
    words = _rule(mark)
    wanted = set(zip(words[::2], words[1::2], strict=True)) - {("-m", "mark"), ("-m", "comment")}
    rules = chains[place].rules if place in chains else ()
    return any(wanted <= rule.options for rule in rules)


def _rule(mark: int) -> tuple[str, ...]:
    bit = f"{mark:#x}/{mark:#x}"
    return ("-m", "mark", "--mark", bit, "-m", "comment", "--comment", COMMENT, "-j", "ACCEPT")
