"""Claims: which containers want, have or are configured with each address, and which of them gets it.

Pure. An index, updated container by container, so that one container's event looks only at its own addresses.
"""

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import TypeAlias

from dockeripv6mapper.model import Container, Endpoint


@dataclass(frozen=True, slots=True)
class Claim:
    """One container's claim to its addresses."""

    container: Container
    identity: str
    """Containers of one identity get its address one at a time. Of an unmapped container, its ID."""
    in_flight: IPv6Address | None = None
    """The address at which the engine is attaching the container now."""

    def holds(self, address: IPv6Address) -> bool:
        """Whether the container runs with the address: only its end takes it away."""
        return any(each.address == address for each in self.container.endpoints)

    def endpoints_at(self, address: IPv6Address) -> tuple[Endpoint, ...]:
        """The container's endpoints that have the address, or will have it when it starts."""
        return tuple(each for each in self.container.endpoints if address in (each.address, each.requested))

    def may_give_up(self, address: IPv6Address) -> bool:
        """Whether the mapper may have given the container the address, and not its user or the engine."""
        return any(each.ours is not False for each in self.endpoints_at(address))

    def relevant_to_others(self, address: IPv6Address) -> tuple[object, ...]:
        """Everything that decisions on other containers about the address depend upon."""
        container, arriving = self.container, self.in_flight == address
        return (
            self.identity,
            container.name,
            container.running,
            self.age(),
            self.endpoints_at(address),
            arriving,
        )

    def age(self) -> tuple[int, str]:
        """Greater for a newer container. The ID makes the order total."""
        return self.container.created, self.container.id


class Claims:
    """All claims, by address."""

    def __init__(self) -> None:
        self._claims: dict[IPv6Address, dict[str, Claim]] = {}
        self._addresses: dict[str, frozenset[IPv6Address]] = {}

    def put(self, claim: Claim, addresses: Iterable[IPv6Address]) -> AbstractSet[IPv6Address]:
        """Replace a container's claim. Returns the addresses for which decisions on others may change."""
        container_id = claim.container.id
        before, now = self._addresses.get(container_id, frozenset()), frozenset(addresses)
        earlier = {each: self._claims[each][container_id].relevant_to_others(each) for each in before}
        if before != now:
            self.drop(container_id)
            self._addresses[container_id] = now
        for address in now:
            self._claims.setdefault(address, {})[container_id] = claim
        return {
            each
            for each in before | now
            if each not in now or earlier.get(each) != claim.relevant_to_others(each)
        }

    def drop(self, container_id: str) -> AbstractSet[IPv6Address]:
        """Remove a container's claim. Returns its addresses."""
        before = self._addresses.pop(container_id, frozenset())
        for address in before:
            claims = self._claims[address]
            del claims[container_id]
            if not claims:
                del self._claims[address]
        return before

    def claimants(self, addresses: Iterable[IPv6Address]) -> set[str]:
        """IDs of the containers that claim any of `addresses`."""
        return {container_id for address in addresses for container_id in self._claims.get(address, ())}

    def holder(self, claim: Claim, address: IPv6Address) -> Claim | None:
        """The claim that keeps `claim` from having `address` now; None: it may have it.

        A running container that has the address keeps it. Else the identity of the claim with precedence gets
        it. Of that identity's containers one can have it at a time: a running one, since it runs; else the
        newest, since it was created to replace the others.
        """
        by_container = self._claims.get(address, {})
        if by_container.keys() == {claim.container.id}:
            return None
        claims = by_container.values()
        holding = [each for each in claims if each.holds(address)]
        first = min(holding or claims, key=lambda each: _precedence(each, address), default=claim)
        if not holding and first.identity == claim.identity:
            same_identity = [each for each in claims if each.identity == claim.identity]
            running = [each for each in same_identity if each.container.running]
            if running:
                first = min(running, key=lambda each: _precedence(each, address))
            else:
                first = max(same_identity, key=Claim.age, default=claim)
        return None if first.container.id == claim.container.id else first


def _precedence(claim: Claim, address: IPv6Address) -> tuple[bool, int, str]:
    """Sorts the claims to an address that no running container has; the first one's identity gets it.

    A container that is configured with it keeps it: it could not be started otherwise, and the address may be
    published. So does one that is being attached at it. Then the oldest.
    """
    configured = any(each.requested == address for each in claim.container.endpoints)
    return not (configured or claim.in_flight == address), *claim.age()


# --- cycles of containers that have each other's addresses, as after names were swapped unseen --------------
#
# None of them could ever be moved. One gives its address up, the others follow, and then it is moved itself.


@dataclass(frozen=True, slots=True)
class Held:
    """An address that a container is to have, and the claim of the container that has it."""

    by: Claim
    address: IPv6Address


Holder: TypeAlias = Callable[[str], Held | None]
"""From a container's ID to what keeps it from its address; None: nothing does."""


def cycle(container_id: str, holder: Holder) -> tuple[Held, ...]:
    """The cycle of a container: its holder, that one's holder, and so on, the container itself last.

    Empty where the chain of holders ends, or does not come back to the container.
    """
    members: dict[str, Held] = {}
    each = container_id
    while (held := holder(each)) is not None:
        each = held.by.container.id
        if each in members:
            break
        members[each] = held
        if each == container_id:
            return tuple(members.values())
    return ()


def gives_up_at(container_id: str, holder: Holder) -> IPv6Address | None:
    """The address that a container has to give up to break its cycle; None: it has to give up none.

    The newest container gives up, of those whose address the mapper may have given: the user's choice stays.
    A stopped one is released in any case, which breaks the cycle.
    """
    able = [held for held in cycle(container_id, holder) if held.by.may_give_up(held.address)]
    chosen = max(able, key=lambda held: held.by.age(), default=None)
    if chosen is None or chosen.by.container.id != container_id:
        return None
    return chosen.address if all(held.by.container.running for held in able) else None
