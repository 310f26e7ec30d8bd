"""Circles: containers that hold each other's addresses, as when names were swapped unseen.

None of them could ever be moved. One makes way, the others follow, and then it can be moved itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address

from dockeripv6mapper.mapping.claims import Stake


@dataclass(frozen=True, slots=True)
class Held:
    """An address that a container is to have, and who has it instead."""

    by: Stake
    address: IPv6Address


Holder = Callable[[str], Held | None]
"""From a container's ID to what keeps it from its address; None: nothing does."""


def circle(container_id: str, holder: Holder) -> tuple[Held, ...]:
    """The circle that a container is in: its holder, that one's holder, and so on, itself the last.

    Empty where the way from holder to holder ends, or comes back to another than the container.
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


def makes_way_at(container_id: str, holder: Holder) -> IPv6Address | None:
    """The address that a container has to give up, since it is who makes way in its circle.

    That is the newest of those whose address may be ours to take: its user's stays where it is. One that
    is stopped loses ours anyway, and so opens the circle.
    """
    able = [held for held in circle(container_id, holder) if held.by.may_give_up(held.address)]
    chosen = max(able, key=lambda held: held.by.age(), default=None)
    if chosen is None or chosen.by.container.id != container_id:
        return None
    return chosen.address if all(held.by.container.running for held in able) else None
