"""Engine configuration: facts about the engine, its networks and its containers that only `doctor` needs.

They are what it takes to print a `docker network create` or `docker network connect` command for something
that exists. `engine.config` reads them from the engine.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

NEWEST_TESTED_API = (1, 51)
"""The API of engine 28.5, the newest tested engine. The client uses a newer API only if this one is gone."""


BY_FAMILY = (29, 4, 2)
"""The first engine that chooses the IPv6 default route apart from the IPv4 one. Before, a network with both
families always wins over one with IPv6 alone, whatever their priorities (moby #51999; seen on 28.5)."""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """The engine's version, API, firewall backend and process."""

    version: str
    api: tuple[int, int]
    """The API version that the client uses."""
    firewall_backend: str | None = None
    """`iptables`, `nftables` or `nftables+firewalld`; None on engines before 28, which have only iptables."""
    pid: int | None = None
    """The process that listens on the engine's socket; None if it is remote or in a hidden PID namespace."""
    ip6tables: bool = False
    """Whether it filters IPv6 with rules of its own, as far as its options and its version tell."""

    @property
    def release(self) -> tuple[int, ...]:
        """The numbers of its version: (28, 5, 2); empty where it is no version."""
        match = re.match(r"\d+(?:\.\d+)*", self.version)
        return tuple(map(int, match[0].split("."))) if match else ()

    @property
    def routes_by_family(self) -> bool:
        """Whether the engine chooses a container's IPv6 default route apart from the IPv4 one."""
        return self.release >= BY_FAMILY

    @property
    def filters_with_nftables(self) -> bool:
        """Whether the engine keeps its rules in nftables tables instead of ip6tables chains."""
        return (self.firewall_backend or "").startswith("nftables")


@dataclass(frozen=True, slots=True)
class Pool:
    """One subnet of a network (the API's `IPAM.Config`), as text; "" where the user set nothing."""

    subnet: str
    gateway: str = ""
    ip_range: str = ""
    auxiliary: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_ipv6(self) -> bool:
        """Whether it is an IPv6 subnet."""
        return ":" in self.subnet

    def __contains__(self, address: str) -> bool:
        return ip_address(address) in ip_network(self.subnet)


DEFAULT_IPAM = "default"
"""The engine's built-in IPAM driver. A command need not name it."""


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """How a network was created: all options of its `docker network create`."""

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
    """What the user set when attaching a container to a network; "" and 0 where nothing was set.

    Addresses that the engine chose are not here.
    """

    ipv4: str = ""
    ipv6: str = ""
    aliases: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    """Each as `container:alias`."""
    options: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    """`GwPriority`, since engine 28: the network with the highest one gives the default route."""


@dataclass(frozen=True, slots=True)
class ContainerConfig:
    """What it takes to attach a container to a network again."""

    auto_remove: bool = False
    """The engine removes the container when it stops (`--rm`)."""
    endpoints: Mapping[str, EndpointConfig] = field(default_factory=dict)
    """By the key under which the engine lists the network: its name, or its ID if the user gave that."""
