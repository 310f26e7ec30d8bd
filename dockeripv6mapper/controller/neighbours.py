"""Neighbours: removes the host's neighbour entry for a container, once after each start and attachment.

The host's entry on the network's bridge may still have the MAC address of the container that had the address
before. This is done for the addresses of mapped containers and for all that are proxied: before the proxy
entry is added, and whether or not one is needed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from dockeripv6mapper.controller.interfaces import HostKernel
from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.errors import MapperError
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.model import AddressMapping, BridgeAddress

FORGETTING = "forgetting neighbours"
"""The key of failures in the log."""


@dataclass(slots=True)
class ResolvedNeighbours:
    """The addresses whose neighbour entry was removed since their container was started or attached."""

    kernel: HostKernel
    log_changes: LogChanges
    _done: dict[str, frozenset[BridgeAddress]] = field(default_factory=dict)
    """By container ID."""

    def update(self, container_ids: Iterable[str], facts: Facts, desired: Desired) -> None:
        """Forget the neighbour entries for the new addresses of some containers.

        An address is new again after its container was stopped, or while an action is carried out on it.
        """
        now = {each: bridge_addresses(each, facts, desired) for each in container_ids}
        new = [
            address
            for container_id, addresses in now.items()
            for address in addresses - self._done.get(container_id, frozenset())
        ]
        if new:
            try:
                self.kernel.forget_neighbours(new)
            except MapperError as error:
                # Not fatal: the next pass tries again, and the kernel finds out by itself within a minute.
                self.log_changes.failed(FORGETTING, error)
                return
            self.log_changes.succeeded(FORGETTING)
        for container_id, addresses in now.items():
            if addresses:
                self._done[container_id] = addresses
            else:
                self._done.pop(container_id, None)

    def changed(self, container_id: str) -> None:
        """A container was started or attached: its MAC may be another, though its address is the same."""
        self._done.pop(container_id, None)

    def all_changed(self) -> None:
        """Events were missed, so any container may have been started again."""
        self._done.clear()


def bridge_addresses(container_id: str, facts: Facts, desired: Desired) -> frozenset[BridgeAddress]:
    """A running container's mapped and proxied addresses on bridges of this host."""
    container = facts.containers.get(container_id)
    if container is None or not container.running or container_id in facts.acting:
        return frozenset()
    decision = desired.decision(container_id)
    ours = {entry.address for entry in desired.needs.of(container_id).entries}
    if isinstance(decision, AddressMapping):
        ours.add(decision.address)
    return frozenset(
        BridgeAddress(endpoint.address, network.bridge)
        for endpoint in container.endpoints
        if endpoint.address is not None and endpoint.address in ours
        if (network := facts.networks.of(endpoint)) is not None and network.bridge is not None
    )
