"""Facts: everything that the checks judge, as one record, and the queries that several checks share."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from dockeripv6mapper.engine_config import ContainerConfig, EngineInfo, NetworkConfig
from dockeripv6mapper.errors import MapperError
from dockeripv6mapper.firewall_rules import BaseChain, Chains, MarkRule, Ruleset
from dockeripv6mapper.mapping import labels
from dockeripv6mapper.mapping.default_routes import Outgoing
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.image_labels import ImageUnknownError, counting_labels
from dockeripv6mapper.model import AddressMapping, Container, Network, RefusedError
from dockeripv6mapper.settings import Settings


@dataclass(frozen=True, slots=True)
class DoctorFacts:
    """Everything that the checks judge. A value that could not be read is None or empty."""

    settings: Settings
    system: Facts
    """Containers, networks, images, host and sysctls, as the daemon sees them."""
    desired: Desired
    """What the daemon would decide on each container."""
    unreadable: tuple[str, ...] = ()
    """One sentence for each container or network that the mapper cannot read from the engine's answers."""
    outgoing: Outgoing = field(default_factory=dict)
    """From which address each mapped, running container sends packets to the outside."""
    engine: EngineInfo | None = None
    network_configs: Mapping[str, NetworkConfig] = field(default_factory=dict)
    """By the network's ID."""
    container_configs: Mapping[str, ContainerConfig] = field(default_factory=dict)
    """By the container's ID."""
    chains: Mapping[str, Chains] = field(default_factory=dict)
    """The chains of each ip6tables backend, by the backend's command: `ip6tables`, `ip6tables-legacy`."""
    ruleset: Ruleset = field(default_factory=Ruleset)
    """All rules that a forwarded packet meets, through which packets are traced."""
    dropping_chains: tuple[BaseChain, ...] = ()
    """Chains of nftables whose policy drops forwarded packets."""
    engine_accepted_marks: frozenset[int] = frozenset()
    """Packet marks that the engine's own nftables rules accept."""
    mark_rules: tuple[MarkRule, ...] = ()
    """Rules of nftables that change the packet mark."""
    engine_rules: bool | None = None
    """Whether packets pass the engine's own ip6tables rules; None where it has none, or that is unknown."""
    boot_sysctls: Mapping[str, str] = field(default_factory=dict)
    """The values that files of sysctl.d set at each boot, by key below `net/ipv6`."""
    tools: frozenset[str] = frozenset()
    """The installed ones of `firewall_checks.NEEDED_TOOLS`."""
    capabilities: frozenset[str] = frozenset()
    """Those of the mapper's needed capabilities that this process has."""
    errors: tuple[MapperError, ...] = ()
    """Why something could not be read."""

    def labelled_containers(self) -> dict[str, list[Container]]:
        """The containers whose label names a network, by the label's value: a network's name or ID."""
        by_reference: dict[str, list[Container]] = {}
        for container in sorted(self.system.containers.values(), key=lambda each: each.name):
            if reference := self.effective_labels(container).get(labels.NETWORK, "").strip():
                by_reference.setdefault(reference, []).append(container)
        return by_reference

    def effective_labels(self, container: Container) -> labels.Labels:
        """The labels that count: not the image's own. Empty if the image's labels are unknown."""
        try:
            return counting_labels(container, self.system, self.settings)
        except (RefusedError, ImageUnknownError):
            return {}

    def relevant_networks(self) -> list[Network]:
        """The networks that a container's label names or that carry a label of the mapper, sorted by name."""
        relevant = {network.id: network for network in self.system.networks if _has_label(network)}
        named = map(self._network_named, self.labelled_containers())
        relevant |= {network.id: network for network in named if network}
        return sorted(relevant.values(), key=lambda network: network.name)

    def containers_naming(self, network: Network) -> list[Container]:
        """The containers whose label names a network."""
        return [
            container
            for reference, containers in self.labelled_containers().items()
            for container in containers
            if self._network_named(reference) == network
        ]

    def _network_named(self, reference: str) -> Network | None:
        try:
            return self.system.networks.find(reference)
        except RefusedError:
            return None

    def mapped_containers(self, network: Network) -> Iterator[tuple[Container, IPv6Address]]:
        """The containers that run on a network at the address that their labels ask for, sorted by name."""
        for container in sorted(self.system.containers.values(), key=lambda each: each.name):
            decision = self.desired.decision(container.id)
            if not isinstance(decision, AddressMapping) or decision.network_id != network.id:
                continue
            if container.running and any(each.address == decision.address for each in container.endpoints):
                yield container, decision.address

    def running_on(self, network: Network) -> list[Container]:
        """The containers, labelled or not, that run on a network or are restarting, sorted by name."""
        return [each for each in self.attached_to(network) if each.running or each.in_transition]

    def attached_to(self, network: Network) -> list[Container]:
        """The containers that are attached to a network, running or stopped, sorted by name."""
        attached = (
            container
            for container in self.system.containers.values()
            if self.system.networks.endpoint(container, network.id, network.name)
        )
        return sorted(attached, key=lambda each: each.name)

    def is_auto_removed(self, container: Container) -> bool:
        """Whether the engine removes a container when it stops (`--rm`)."""
        return self.container_configs.get(container.id, ContainerConfig()).auto_remove

    def relying_on_ipv4(self, network: Network) -> list[Container]:
        """The containers that have no other network with IPv4 to the outside."""
        return [each for each in self.attached_to(network) if not self._has_other_ipv4(each, network)]

    def _has_other_ipv4(self, container: Container, network: Network) -> bool:
        networks = filter(None, map(self.system.networks.of, container.endpoints))
        return any(each.ipv4 and not each.internal and each.id != network.id for each in networks)


def _has_label(network: Network) -> bool:
    return any(label.startswith(labels.PREFIX) for label in network.labels)
