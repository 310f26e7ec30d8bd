"""Facts: everything that was seen, and what the mapper makes of it, as the checks are handed it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from dockeripv6mapper.engine_config import ContainerConfig, EngineInfo, NetworkConfig
from dockeripv6mapper.errors import MapperError
from dockeripv6mapper.firewall_rules import BaseChain, Chains
from dockeripv6mapper.mapping import labels
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.image_labels import ImageUnknownError, counting_labels
from dockeripv6mapper.model import Container, Network, RefusedError
from dockeripv6mapper.model import Mapping as Wanted
from dockeripv6mapper.settings import Settings


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an examination saw. What it could not see stands in `unseen`, and is None or empty."""

    engine: EngineInfo | None = None
    recipes: Mapping[str, NetworkConfig] = field(default_factory=dict)
    """By the network's ID."""
    tenants: Mapping[str, ContainerConfig] = field(default_factory=dict)
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


@dataclass(frozen=True, slots=True)
class Examined:
    """All that was seen."""

    settings: Settings
    surroundings: Surroundings
    facts: Facts
    desired: Desired
    sysctls: Mapping[str, str | None]
    unreadable: tuple[str, ...] = ()
    """What the engine has and the mapper cannot read: a sentence for each."""

    def labelled(self) -> dict[str, list[Container]]:
        """The containers that name a network, by the network's name or ID as they give it."""
        named: dict[str, list[Container]] = {}
        for container in sorted(self.facts.containers.values(), key=lambda each: each.name):
            if reference := self.given(container).get(labels.NETWORK, "").strip():
                named.setdefault(reference, []).append(container)
        return named

    def given(self, container: Container) -> labels.Labels:
        """A container's labels as far as they count; none where nobody can say."""
        try:
            return counting_labels(container, self.facts, self.settings)
        except (RefusedError, ImageUnknownError):
            return {}

    def networks(self) -> list[Network]:
        """The networks that labels name, or that carry one, by name."""
        found = {network.id: network for network in self.facts.networks if _has_label(network)}
        found |= {network.id: network for network in map(self._named, self.labelled()) if network}
        return sorted(found.values(), key=lambda network: network.name)

    def naming(self, network: Network) -> list[Container]:
        """The containers whose label names a network."""
        return [
            container
            for reference, containers in self.labelled().items()
            for container in containers
            if self._named(reference) == network
        ]

    def _named(self, reference: str) -> Network | None:
        try:
            return self.facts.networks.find(reference)
        except RefusedError:
            return None

    def mapped(self, network: Network) -> Iterator[tuple[Container, IPv6Address]]:
        """The containers that run on a network at the address that their labels come to, by name."""
        for container in sorted(self.facts.containers.values(), key=lambda each: each.name):
            decision = self.desired.decision(container.id)
            if not isinstance(decision, Wanted) or decision.network_id != network.id:
                continue
            if container.running and any(each.address == decision.address for each in container.endpoints):
                yield container, decision.address

    def running_on(self, network: Network) -> list[Container]:
        """The containers that run on a network, for whatever reason, or are about to, by name."""
        return [each for each in self.attached_to(network) if each.running or each.in_transition]

    def attached_to(self, network: Network) -> list[Container]:
        """The containers that are on a network when they run, by name."""
        on_it = (
            container
            for container in self.facts.containers.values()
            if self.facts.networks.endpoint(container, network.id, network.name)
        )
        return sorted(on_it, key=lambda each: each.name)

    def is_transient(self, container: Container) -> bool:
        """Whether a container is removed when it stops."""
        return self.surroundings.tenants.get(container.id, ContainerConfig()).transient

    def relying_on_ipv4(self, network: Network) -> list[Container]:
        """The containers to which a network gives the only IPv4 that they have."""
        return [
            container for container in self.attached_to(network) if not self._ipv4_beside(container, network)
        ]

    def _ipv4_beside(self, container: Container, network: Network) -> bool:
        networks = filter(None, map(self.facts.networks.of, container.endpoints))
        return any(each.ipv4 and not each.internal and each.id != network.id for each in networks)


def _has_label(network: Network) -> bool:
    return any(label.startswith(labels.PREFIX) for label in network.labels)
