"""The frozen types of what no pass needs and a check does: the engine itself, how networks were made, rules.

`doctor.collect` fills them in, the other modules of `doctor` judge them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from dockeripv6mapper.errors import MapperError

NEWEST_TESTED_API = (1, 51)
"""Of engine 28.5, the newest whose answers the mapper is tested with: it speaks no newer one."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What the engine says of itself."""

    version: str
    api: tuple[int, int]
    """The version of the API that is spoken with it."""
    firewall_backend: str | None = None
    """`iptables` or `nftables`, with firewalld `nftables+firewalld`; None from engines that know but one."""
    pid: int | None = None
    """The process that listens on the engine's socket; None where it is not on this machine, or hidden."""

    @property
    def filters_with_nftables(self) -> bool:
        """Whether the engine's rules are tables of nftables rather than chains of ip6tables."""
        return (self.firewall_backend or "").startswith("nftables")


@dataclass(frozen=True, slots=True)
class Pool:
    """One subnet of a network with what its maker said of it, as the engine writes it; "" for nothing."""

    subnet: str
    gateway: str = ""
    ip_range: str = ""
    auxiliary: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ipv6(self) -> bool:
        """Whether it is of IPv6."""
        return ":" in self.subnet

    def __contains__(self, address: str) -> bool:
        return ip_address(address) in ip_network(self.subnet)


DEFAULT_IPAM = "default"
"""The engine's own driver of addresses, which nobody has to name."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that it takes to make a network again."""

    name: str
    driver: str
    pools: tuple[Pool, ...] = ()
    ipv4: bool = True
    ipv6: bool = True
    internal: bool = False
    attachable: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    ipam_driver: str = DEFAULT_IPAM
    ipam_options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attachment:
    """What was asked for where a container was attached to a network; "" and 0 for nothing."""

    ipv4: str = ""
    ipv6: str = ""
    aliases: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    """`container:alias`."""
    options: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Tenant:
    """A container, as far as its networks may be made again while it is stopped."""

    transient: bool = False
    """It is removed when it stops (`--rm`)."""
    attachments: Mapping[str, Attachment] = field(default_factory=dict)
    """By what the engine lists the network under."""


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


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an examination saw. What it could not see stands in `unseen`, and is None or empty."""

    engine: Engine | None = None
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    """By the network's ID."""
    tenants: Mapping[str, Tenant] = field(default_factory=dict)
    """By the container's ID."""
    chains: Mapping[str, Chains] = field(default_factory=dict)
    """Of each backend of ip6tables that could be looked at, by the command that changes it."""
    dropping: tuple[BaseChain, ...] = ()
    engine_accepts: frozenset[int] = frozenset()
    """Packet marks that the tables of an engine's nftables backend accept."""
    tools: frozenset[str] = frozenset()
    """Of the commands that ports by label need, those that are there."""
    capabilities: frozenset[str] = frozenset()
    """Of the capabilities that the mapper needs, those that this process has."""
    unseen: tuple[MapperError, ...] = ()
