"""Deadlock: containers that wait for each other's addresses. Independent of the program's own search."""

from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.model import Container, Endpoint, Refusal


def is_deadlocked(container: Container, facts: Facts, desired: Desired) -> bool:
    """Whether the chain of holders comes back to `container`, and the mapper gave one of them its address."""
    each, visited, is_ours = container, set[str](), False
    while each.id not in visited and (held := holder(each, facts, desired)) is not None:
        visited.add(each.id)
        each, endpoint = held
        is_ours |= bool(endpoint.ours)
        if each is container:
            return is_ours
    return False


def holder(container: Container, facts: Facts, desired: Desired) -> tuple[Container, Endpoint] | None:
    """The container that holds the address which `container` is refused, and the endpoint that has it."""
    decision = desired.decision(container.id)
    if not isinstance(decision, Refusal) or decision.address is None:
        return None
    endpoints = ((each, endpoint) for each in facts.containers.values() for endpoint in each.endpoints)
    with_address = [held for held in endpoints if decision.address in (held[1].address, held[1].requested)]
    others = [held for held in with_address if held[0] is not container]
    return max(others, key=lambda held: held[1].address == decision.address, default=None)
