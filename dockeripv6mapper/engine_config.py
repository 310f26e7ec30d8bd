"""Engine configuration: how the engine, its networks and its containers are set up. Facts for `doctor` only.

`engine.config` reads them from the engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

NEWEST_TESTED_API = (1, 51)
"""Of engine 28.5, the newest whose answers the mapper is tested with: it speaks no newer one."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
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
class NetworkConfig:
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
class EndpointConfig:
    """What was asked for where a container was attached to a network; "" and 0 for nothing."""

    ipv4: str = ""
    ipv6: str = ""
    aliases: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    """`container:alias`."""
    options: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """A container, as far as its networks may be made again while it is stopped."""

    auto_remove: bool = False
    """It is removed when it stops (`--rm`)."""
    endpoints: Mapping[str, EndpointConfig] = field(default_factory=dict)
    """By what the engine lists the network under."""
