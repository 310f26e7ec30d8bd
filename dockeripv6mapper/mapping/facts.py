"""Facts: everything that was observed, as one record. Each decision is a function of it."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from dockeripv6mapper.mapping.networks import Networks
from dockeripv6mapper.model import Container, EngineRefusal, Host


@dataclass(frozen=True, slots=True)
class Facts:
    """Engine, host and running actions, as last observed."""

    containers: Mapping[str, Container]
    networks: Networks = field(default_factory=Networks)
    images: Mapping[str, Mapping[str, str] | None] = field(default_factory=dict)
    """The labels of images, by ID or name. None: it was removed, or its platform's are not known."""
    host: Host = field(default_factory=Host)
    in_flight: Mapping[str, IPv6Address] = field(default_factory=dict)
    """The address at which a container is being attached, by the container's ID."""
    acting: AbstractSet[str] = frozenset()
    """IDs of the containers on which an action waits or runs."""
    engine_refusals: Mapping[str, EngineRefusal] = field(default_factory=dict)
    """What the engine refuses until something changes, by the ID of the container or network."""
    routes_by_family: bool = False
    """Whether the engine chooses a container's IPv6 default route apart from the IPv4 one."""
    filters_with_nftables: bool = False
    """Whether the engine keeps its rules in nftables tables, where rules of ip6tables open nothing."""
    complete: bool = True
    """Whether `containers` has every container that there is."""
    sysctls: Mapping[str, str | None] = field(default_factory=dict)
    """Current values, by key below `net/ipv6`; None: there is no such key."""
    appeared: AbstractSet[int] = frozenset()
    """The indexes of the links that the daemon observes for the first time, and not at its start."""
