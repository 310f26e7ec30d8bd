"""Progress: how far each labelled container's mapping has come, and how many have come how far."""

from collections import Counter
from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv6Address

from dockeripv6mapper.mapping import labels
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.model import Container, Decision, Mapping, Reason, Refusal, RefusedError


class State(Enum):
    """How far a container's mapping has come."""

    MAPPED = "mapped"
    PENDING = "pending"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Tally:
    """The labelled containers, counted."""

    mappings: MappingOf[tuple[State, str], int] = field(default_factory=dict)
    """By state and network; the network is empty where the label names none that there is."""
    refusals: MappingOf[Reason, int] = field(default_factory=dict)
    proxy_entries: int = 0
    """Those that carry our mark."""

    def __str__(self) -> str:
        states = Counter[State]()
        for (state, _), count in self.mappings.items():
            states[state] += count
        counts = ", ".join(f"{states[state]} {state.value}" for state in State)
        return f"{counts}; {self.proxy_entries} proxy entries"


def tally(facts: Facts, desired: Desired, proxy_entries: int) -> Tally:
    """Count the containers that name a network.

    A network is named only where the engine has it: what labels say is anybody's, and there is no end to it.
    """
    mappings = Counter[tuple[State, str]]()
    refusals = Counter[Reason]()
    for container in facts.containers.values():
        decision = desired.decision(container.id)
        if decision is None:
            continue
        mappings[state(container, decision), _network(container, decision, facts)] += 1
        if isinstance(decision, Refusal):
            refusals[decision.reason] += 1
    return Tally(mappings, refusals, proxy_entries)


def state(container: Container, decision: Decision) -> State:
    """How far the mapping of a container has come that names a network."""
    if isinstance(decision, Refusal):
        return State.REFUSED if decision.reason.is_fault else State.PENDING
    if not isinstance(decision, Mapping):
        return State.PENDING
    wanted = decision.address
    configured = any(each.requested == wanted for each in container.endpoints)
    there = actual_address(container, wanted) == wanted or (configured and not container.running)
    return State.MAPPED if there else State.PENDING


def actual_address(container: Container, wanted: IPv6Address | None) -> IPv6Address | None:
    """The wanted address if the container has it, else another global one of its own, if it has any."""
    return next(_addresses(container, wanted), None)


def _addresses(container: Container, wanted: IPv6Address | None) -> Iterator[IPv6Address]:
    addresses = [each.address for each in container.endpoints if each.address is not None]
    yield from sorted(addresses, key=lambda address: address != wanted)


def _network(container: Container, decision: Decision, facts: Facts) -> str:
    if isinstance(decision, Mapping):
        return decision.network
    try:
        return facts.networks.find(container.labels.get(labels.NETWORK, "")).name
    except RefusedError:
        return ""
