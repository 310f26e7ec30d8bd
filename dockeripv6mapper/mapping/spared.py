"""Spared addresses: nothing of ours is removed there, although no known container needs it.

A container of which too little is known may need it, or one that could not be read.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, IPv6Network

from dockeripv6mapper.mapping.facts import Facts


@dataclass(frozen=True, slots=True)
class Spared:
    """The addresses at which nothing of ours is removed. Supports `in` only."""

    undecided: frozenset[IPv6Address] = frozenset()
    """Addresses of running containers on which nothing can be decided yet."""
    accounted: frozenset[IPv6Address] | None = None
    """Where a container is unknown, the addresses of the known ones: it may have any other."""
    subnets: frozenset[IPv6Network] | None = None
    """Where a network is unknown, the subnets of the known ones: it may have any other address."""
    known: frozenset[IPv6Address] = frozenset()
    """Addresses of containers that became known since: not spared."""

    def __bool__(self) -> bool:
        return bool(self.undecided) or self.accounted is not None or self.subnets is not None

    def without(self, addresses: Iterable[IPv6Address]) -> "Spared":
        """The same, where these addresses are known now."""
        return replace(self, known=self.known | frozenset(addresses))

    def __contains__(self, address: object) -> bool:
        if not isinstance(address, IPv6Address) or address in self.known:
            return False
        if address in self.undecided:
            return True
        if self.accounted is not None and address not in self.accounted:
            return True
        return self.subnets is not None and not any(address in subnet for subnet in self.subnets)


NOTHING = Spared()


class Everything:
    """A collection of all addresses."""

    def __contains__(self, address: object) -> bool:
        return True


def spared(facts: Facts, undecided: Iterable[str]) -> Spared:
    """The addresses of the `undecided` containers, by their IDs, and those that unknown ones may have."""
    running = [each for each in facts.containers.values() if each.running]
    unclear = frozenset(undecided)
    networks = facts.networks
    return Spared(
        undecided=frozenset(
            endpoint.address
            for container in running
            if container.id in unclear
            for endpoint in container.endpoints
            if endpoint.address is not None
        ),
        accounted=None
        if facts.complete
        else frozenset(
            endpoint.address
            for container in running
            for endpoint in container.endpoints
            if endpoint.address is not None
        ),
        subnets=None
        if networks.complete
        else frozenset(subnet for network in networks for subnet in network.subnets),
    )
