"""Firewall rules: the ip6tables and nftables rules of this host, whichever program made them.

`kernel.ip6tables` and `kernel.nft_chains` read them, `mapping.netfilter` traces packets through them, and
`doctor` checks them. The mapper's own table is not here: it is `model.FirewallRules`, and its text is in
`kernel.nft_ruleset`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of ip6tables, or one of nftables in the words of ip6tables."""

    text: str
    """As `ip6tables-save` writes it: `-A FORWARD -o br-1234 -j DOCKER`. Of nftables, its comment."""
    words: tuple[str, ...]
    """The words after the chain's name."""

    @property
    def options(self) -> frozenset[tuple[str, str]]:
        """Each word paired with the next one. The pairs include every option with its value."""
        return frozenset(zip(self.words, self.words[1:], strict=False))


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of ip6tables or nftables."""

    policy: str | None
    """`ACCEPT` or `DROP`; None for a user-defined chain, which returns at its end."""
    rules: tuple[Rule, ...] = ()


COMMENT = "DockerIPV6Mapper"
"""The comment of our rules, by which `cleanup` finds them."""
OUR_OPTIONS = {("--comment", COMMENT), ("-j", "ACCEPT")}
"""Only our rules have both options."""


def is_ours(rule: Rule) -> bool:
    """Whether it is an accept rule of ours, with any mark."""
    return rule.options >= OUR_OPTIONS


ENGINE_CHAIN = ("filter", "DOCKER")
"""A chain that every engine creates, in the backend that it uses."""
FORWARD = ("filter", "FORWARD")
ENGINE_TABLE = "docker-bridges"
"""The table of an engine 29 or later with `firewall-backend: nftables`."""
ENGINE_CHAINS = "DOCKER"
"""The prefix of the names of the engine's chains."""


def leads_to_engine(chain: Chain) -> bool:
    """Whether a rule of the chain jumps to one of the engine's chains."""
    return any(
        option == "-j" and target.startswith(ENGINE_CHAINS)
        for rule in chain.rules
        for option, target in rule.options
    )


Chains = Mapping[tuple[str, str], Chain]
"""The chains of one backend, by (table, chain name). Of nftables, the table is `FAMILY NAME`."""


class Hook(Enum):
    """Where a packet meets a chain."""

    PREROUTING = 1
    """Before it is routed."""
    FORWARD = 2
    """On its way from one link to another."""


@dataclass(frozen=True, slots=True)
class BaseHook:
    """A built-in chain of one backend (`command`), and when a packet meets it."""

    command: str
    table: str
    chain: str
    hook: Hook
    priority: int
    """Chains of one hook are met in this order."""


IPTABLES_HOOKS = (
    ("raw", "PREROUTING", Hook.PREROUTING, -300),
    ("mangle", "PREROUTING", Hook.PREROUTING, -150),
    ("mangle", "FORWARD", Hook.FORWARD, -150),
    ("filter", "FORWARD", Hook.FORWARD, 0),
    ("security", "FORWARD", Hook.FORWARD, 50),
)
"""The built-in chains of ip6tables that may drop a forwarded packet (`linux/netfilter_ipv6.h`)."""
NFT_COMMAND = "nft"


@dataclass(frozen=True, slots=True)
class Ruleset:
    """All rules that a forwarded packet meets on this host."""

    chains: Mapping[str, Chains] = field(default_factory=dict)
    """The chains of each backend, by its command: `ip6tables`, `ip6tables-legacy`, `nft`."""
    nft_hooks: tuple[BaseHook, ...] = ()
    """The base chains of nftables, but for those in which ip6tables keeps its rules."""
    unreadable: str = ""
    """Why the rules could not be read; empty if they were."""

    def hooks(self) -> list[BaseHook]:
        """The built-in chains that there are, in the order in which a packet meets them."""
        hooks = [
            BaseHook(command, *each)
            for command, chains in self.chains.items()
            for each in IPTABLES_HOOKS
            if command != NFT_COMMAND and each[:2] in chains
        ]
        return sorted([*hooks, *self.nft_hooks], key=lambda each: (each.hook.value, each.priority))

    def with_rules(self, keep: Callable[[Rule], bool]) -> "Ruleset":
        """The same chains with some of their rules only."""

        def some(chains: Chains) -> Chains:
            return {
                key: replace(chain, rules=tuple(filter(keep, chain.rules))) for key, chain in chains.items()
            }

        return replace(self, chains={command: some(each) for command, each in self.chains.items()})

    def rules(self) -> Iterable[Rule]:
        """All rules of all chains."""
        return (rule for each in self.chains.values() for chain in each.values() for rule in chain.rules)


ALL_BITS = 0xFFFFFFFF
"""Of the packet mark."""


@dataclass(frozen=True, slots=True)
class BaseChain:
    """An nftables base chain at the forward hook whose policy is drop."""

    family: str
    table: str
    name: str
    marks: frozenset[int] = frozenset()
    """Packet marks that its rules accept."""
    priority: int = 0

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.name}"


@dataclass(frozen=True, slots=True)
class MarkRule:
    """An nftables rule, not of ip6tables, that changes the packet mark."""

    chain: str
    """Family, table and name of its chain."""
    hook: str | None
    """None where the chain is no base chain."""
    priority: int
    sets: int
    """The bits that it sets; 0 where they are not known."""
    overwrites: int
    """The bits that it sets or clears."""
