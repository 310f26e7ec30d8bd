"""The ledger: what the user gave each container, and what is somebody else's: the mapper must leave it so."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from tests.lab.chaos.steps import Asks


@dataclass(slots=True)
class Given:
    """One container as its user made it."""

    asks: Asks
    networks: dict[str, str]
    """Those that the user attached it to, by name, with the ID that the network had then."""
    address: IPv6Address | None = None
    """The IPv6 address that the user asked for."""


@dataclass(slots=True)
class Ledger:
    """All that is not the mapper's."""

    containers: dict[str, Given] = field(default_factory=dict)
    """By ID."""
    entries: set[tuple[IPv6Address, str]] = field(default_factory=set)
    """Proxy entries that were made by hand."""

    def missing(self, container_id: str, attached: set[str], networks: Mapping[str, str]) -> set[str]:
        """The networks that the user gave a container, that are still there, and that it is not on."""
        if (given := self.containers.get(container_id)) is None:
            return set()
        there = {name for name, network_id in given.networks.items() if networks.get(name) == network_id}
        return there - attached
