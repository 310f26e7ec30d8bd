"""Reachability: a warning, once for each network that containers are mapped into and that lets nothing in.

By what the engine's list says of the network alone. What the rules on this host do is `doctor`'s to examine.
"""

from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.mapping import labels
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.networks import NAT
from dockeripv6mapper.model import Container, Mapping, Network, RefusedError

PROGRAM = "DockerIPV6Mapper.py doctor"
"""What shows how a network is to be made instead."""


class Reachability:
    """Looks at the network of each container that is mapped."""

    def __init__(self, log_changes: LogChanges) -> None:
        self._log_changes = log_changes

    def check(self, container: Container, mapping: Mapping, facts: Facts, desired: Desired) -> None:
        """Warn where nothing from outside reaches a running container at its mapped address."""
        network = facts.networks.get(mapping.network_id)
        if network is None or all(each.address != mapping.address for each in container.endpoints):
            return
        if why := _closed_by(network, opens=_opens_ports(container, facts, desired)):
            name = labels.plain(network.name)
            self._log_changes.once(
                network.id, f"network {name}: nothing from outside gets in: {why} (see {PROGRAM})"
            )


def _closed_by(network: Network, *, opens: bool) -> str | None:
    """What keeps packets from outside out of a network; None: nothing that is known."""
    if network.internal:
        return "it is internal"
    if network.gateway_mode == NAT and not opens:
        return "its gateway mode is nat, and no label opens a port"
    return None


def _opens_ports(container: Container, facts: Facts, desired: Desired) -> bool:
    try:
        return bool(desired.openings(facts, container.id))
    except RefusedError:
        return False
