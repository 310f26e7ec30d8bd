"""Firewall rules: the ip6tables and nftables rules of this host, whichever program made them.

`kernel.ip6tables` and `kernel.firewall` read them, `doctor` judges them. The mapper's own table is in
`kernel.nft_ruleset`.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """An ip6tables rule."""

    text: str
    """As `ip6tables-save` writes it: `-A FORWARD -o br-1234 -j DOCKER`."""
    words: tuple[str, ...]
    """The words after the chain's name."""

    @property
    def options(self) -> frozenset[tuple[str, str]]:
        """Each word paired with the next one. The pairs include every option with its value."""
        return frozenset(zip(self.words, self.words[1:], strict=False))


@dataclass(frozen=True, slots=True)
class Chain:
    """An ip6tables chain."""

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
"""The chains of one ip6tables backend, by (table, chain name)."""

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
