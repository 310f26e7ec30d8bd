"""Deadlock: containers that wait for each other, found out by other means than the program's own."""

from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.model import Container, Endpoint, Refusal


def is_deadlocked(container: Container, facts: Facts, desired: Desired) -> bool:
    """Whether the way from holder to holder comes back, and one of them has its address from the mapper."""
    each, seen, from_us = container, set[str](), False
    while each.id not in seen and (held := holder(each, facts, desired)) is not None:
        seen.add(each.id)
        each, endpoint = held
        from_us |= bool(endpoint.ours)
        if each is container:
            return from_us
    return False


def holder(container: Container, facts: Facts, desired: Desired) -> tuple[Container, Endpoint] | None:
    """Who has the address that a container is refused, and where."""
    decision = desired.decision(container.id)
    if not isinstance(decision, Refusal) or decision.address is None:
        return None
    endpoints = ((each, endpoint) for each in facts.containers.values() for endpoint in each.endpoints)
    at_it = [held for held in endpoints if decision.address in (held[1].address, held[1].requested)]
    others = [held for held in at_it if held[0] is not container]
    return max(others, key=lambda held: held[1].address == decision.address, default=None)
