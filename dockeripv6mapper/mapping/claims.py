"""Claims: which containers want, asked for or hold each address, and which of them has it.

An index, kept container by container, so that one container's event looks only at its own addresses.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from ipaddress import IPv6Address

from dockeripv6mapper.model import Container, Endpoint


@dataclass(frozen=True, slots=True)
class Stake:
    """One container's interest in its addresses."""

    container: Container
    identity: str
    """Containers of one identity share a reservation; a container that is not mapped has its ID here."""
    in_flight: IPv6Address | None = None
    """The address at which the engine is attaching the container now."""

    def holds(self, address: IPv6Address) -> bool:
        """Whether the container has the address now: nothing but its death takes it away."""
        return any(each.address == address for each in self.container.endpoints)

    def at(self, address: IPv6Address) -> tuple[Endpoint, ...]:
        """The container's endpoints that have the address, or are to have it when it starts."""
        return tuple(each for each in self.container.endpoints if address in (each.address, each.requested))

    def may_give_up(self, address: IPv6Address) -> bool:
        """Whether the container may have the address from us, rather than from its user or the engine."""
        return any(each.ours is not False for each in self.at(address))

    def claim(self, address: IPv6Address) -> tuple[object, ...]:
        """All that others' decisions on the address depend upon."""
        container, arriving = self.container, self.in_flight == address
        return self.identity, container.name, container.running, self.age(), self.at(address), arriving

    def age(self) -> tuple[int, str]:
        """Greater for a newer container; the ID makes the order total."""
        return self.container.created, self.container.id


@dataclass(frozen=True, slots=True)
class Affected:
    """IDs of containers about which something changed."""

    containers: AbstractSet[str]
    """All whose decision may now differ."""
    by_others: AbstractSet[str]
    """Those in one of whose addresses another's stake changed: what was in vain for them need not be now."""


class Claims:
    """All stakes by address."""

    def __init__(self) -> None:
        self._stakes: dict[IPv6Address, dict[str, Stake]] = {}
        self._addresses: dict[str, frozenset[IPv6Address]] = {}

    def put(self, stake: Stake, addresses: Iterable[IPv6Address]) -> AbstractSet[IPv6Address]:
        """Replace a container's stakes; returns the addresses that others may be decided otherwise on."""
        container_id = stake.container.id
        before, now = self._addresses.get(container_id, frozenset()), frozenset(addresses)
        earlier = {address: self._stakes[address][container_id].claim(address) for address in before}
        if before != now:
            self.drop(container_id)
            self._addresses[container_id] = now
        for address in now:
            self._stakes.setdefault(address, {})[container_id] = stake
        return {each for each in before | now if each not in now or earlier.get(each) != stake.claim(each)}

    def drop(self, container_id: str) -> AbstractSet[IPv6Address]:
        """Forget a container; returns the addresses that it had a stake in."""
        before = self._addresses.pop(container_id, frozenset())
        for address in before:
            stakes = self._stakes[address]
            del stakes[container_id]
            if not stakes:
                del self._stakes[address]
        return before

    def staked(self, addresses: Iterable[IPv6Address]) -> set[str]:
        """IDs of the containers with a stake in any of `addresses`."""
        return {container for address in addresses for container in self._stakes.get(address, ())}

    def rival(self, stake: Stake, address: IPv6Address) -> Stake | None:
        """Whoever keeps `stake` from having `address` now; None: the way is free.

        A running holder has it. Else it is the identity of whoever takes precedence. Of that identity's
        containers only one can have it at a time: a running one, since it runs; else the newest, since it
        was made to replace the others.
        """
        staked = self._stakes.get(address, {})
        if staked.keys() == {stake.container.id}:
            return None
        stakes = staked.values()
        holders = [each for each in stakes if each.holds(address)]
        first = min(holders or stakes, key=lambda each: self._precedence(each, address), default=stake)
        if not holders and first.identity == stake.identity:
            kin = [each for each in stakes if each.identity == stake.identity]
            runners = [each for each in kin if each.container.running]
            if runners:
                first = min(runners, key=lambda each: self._precedence(each, address))
            else:
                first = max(kin, key=Stake.age, default=stake)
        return None if first.container.id == stake.container.id else first

    def _precedence(self, stake: Stake, address: IPv6Address) -> tuple[bool, int, str]:
        """Sorts those that contend for an address nobody runs with: the first one's identity has it.

        Who is configured with it already keeps it (it would be unstartable otherwise, and its address may
        be published), and so does who will be in a moment; then the oldest; the ID makes the order total.
        """
        configured = any(each.requested == address for each in stake.container.endpoints)
        return not (configured or stake.in_flight == address), *stake.age()
