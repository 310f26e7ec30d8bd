"""State: whether each labelled container is mapped, pending or refused, and how many are."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv6Address

from dockeripv6mapper.mapping import labels
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.reachability import Access
from dockeripv6mapper.model import AddressMapping, Container, Decision, Reason, Refusal, RefusedError


class State(Enum):
    """The state of a labelled container, as `status` prints it."""

    MAPPED = "mapped"
    """It has the wanted address, or will have it at its start."""
    PENDING = "pending"
    """It waits for its connect, for more facts, or for another container of its identity."""
    REFUSED = "refused"
    """It cannot be mapped, for a reason that a user can remove."""


@dataclass(frozen=True, slots=True)
class Tally:
    """The labelled containers, counted."""

    mappings: Mapping[tuple[State, str], int] = field(default_factory=dict)
    """By state and network; the network is empty where the label names one that does not exist."""
    refusals: Mapping[Reason, int] = field(default_factory=dict)
    proxy_entries: int = 0
    """On the host, with our mark."""
    inbound: Mapping[Access, int] = field(default_factory=dict)
    """The containers that run at their mapped addresses, by what gets in; empty where that is not counted."""

    def __str__(self) -> str:
        totals = Counter[State]()
        for (state, _), count in self.mappings.items():
            totals[state] += count
        counts = ", ".join(f"{totals[state]} {state.value}" for state in State)
        return f"{counts}; {self.proxy_entries} proxy entries"


def tally(
    facts: Facts, desired: Desired, proxy_entries: int, inbound: Mapping[Access, int] | None = None
) -> Tally:
    """Count the containers whose labels name a network.

    By networks that exist: the names in labels are untrusted text, and could be any number of metric series.
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
    return Tally(mappings, refusals, proxy_entries, inbound or {})


def state(container: Container, decision: Decision) -> State:
    """The state of a container whose labels name a network."""
    if isinstance(decision, Refusal):
        return State.REFUSED if decision.reason.is_fault else State.PENDING
    if not isinstance(decision, AddressMapping):
        return State.PENDING
    wanted = decision.address
    is_configured = any(each.requested == wanted for each in container.endpoints)
    is_mapped = actual_address(container, wanted) == wanted or (is_configured and not container.running)
    return State.MAPPED if is_mapped else State.PENDING


def has_address(container: Container, mapping: AddressMapping) -> bool:
    """Whether a running container has its mapped address."""
    return container.running and any(each.address == mapping.address for each in container.endpoints)


def actual_address(container: Container, wanted: IPv6Address | None) -> IPv6Address | None:
    """The wanted address where the container has it; else its first global address; None: it has none."""
    addresses = [each.address for each in container.endpoints if each.address is not None]
    return wanted if wanted in addresses else next(iter(addresses), None)


def _network(container: Container, decision: Decision, facts: Facts) -> str:
    """The name of the network that the container's label names; "" where there is no such network."""
    if isinstance(decision, AddressMapping):
        return decision.network
    try:
        return facts.networks.find(container.labels.get(labels.NETWORK, "")).name
    except RefusedError:
        return ""
