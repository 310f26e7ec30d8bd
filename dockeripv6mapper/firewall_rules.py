"""Firewall rules: the rules that ip6tables and nftables hold, of any program.

`kernel.filtering` reads them. `doctor` judges them; the daemon looks at a few chains.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of ip6tables."""

    text: str
    """As `ip6tables-save` writes it: `-A FORWARD -o br-1234 -j DOCKER`."""
    words: tuple[str, ...]
    """What follows the chain's name."""

    @property
    def options(self) -> frozenset[tuple[str, str]]:
        """Each word with the one after it: among them every option with its value."""
        return frozenset(zip(self.words, self.words[1:], strict=False))


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of ip6tables."""

    policy: str | None
    """`ACCEPT` or `DROP` of a built-in chain; None: a user's, which returns at its end."""
    rules: tuple[Rule, ...] = ()


ENGINE_CHAINS = "DOCKER"
"""How the names of the engine's own chains begin."""


def leads_to_engine(chain: Chain) -> bool:
    """Whether a chain has a rule that jumps to one of the engine's."""
    return any(
        option == "-j" and target.startswith(ENGINE_CHAINS)
        for rule in chain.rules
        for option, target in rule.options
    )


Chains = Mapping[tuple[str, str], Chain]
"""The chains of one ip6tables backend, by table and name."""


@dataclass(frozen=True, slots=True)
class BaseChain:
    """A chain of nftables at the forward hook that drops what none of its rules accepts."""

    family: str
    table: str
    name: str
    marks: frozenset[int] = frozenset()
    """Packet marks that its rules accept."""

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.name}"
