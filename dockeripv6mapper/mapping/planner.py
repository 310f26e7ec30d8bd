"""The planner: what is desired against what is, as the actions that lead from one to the other.

An action that is planned twice does no harm, and none is planned where all is well.
"""

from collections.abc import Iterable
from collections.abc import Mapping as MappingOf
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from ipaddress import IPv6Address

from dockeripv6mapper.actions import (
    Connect,
    EndpointAction,
    Reconnect,
    Release,
    Restore,
    SysctlChange,
    Vacate,
)
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.labels import PREFIX
from dockeripv6mapper.mapping.spared import NOTHING, Spared
from dockeripv6mapper.mapping.sysctls import plan_sysctls, sysctls_for
from dockeripv6mapper.model import (
    Container,
    Decision,
    Endpoint,
    Mapping,
    Network,
    Opening,
    ProxyEntry,
    Reason,
    Refusal,
    RefusedError,
)
from dockeripv6mapper.settings import FirewallMode, Settings


@dataclass(frozen=True, slots=True)
class ProxyPlan:
    """Entries to add, and entries of ours to remove."""

    add: tuple[ProxyEntry, ...] = ()
    remove: tuple[ProxyEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class FirewallPlan:
    """What is to change in our nft table."""

    opened: tuple[Opening, ...] = ()
    closed: tuple[Opening, ...] = ()
    """Ports to open, and ports to close."""
    shut: tuple[IPv6Address, ...] = ()
    unshut: tuple[IPv6Address, ...] = ()
    """With `--firewall closed`: addresses to close to all that no label opened, and to close no more."""

    def __bool__(self) -> bool:
        return bool(self.opened or self.closed or self.shut or self.unshut)


@dataclass(frozen=True, slots=True)
class Plan:
    """What one full pass does."""

    endpoints: tuple[EndpointAction, ...]
    proxies: ProxyPlan
    firewall: FirewallPlan
    sysctls: tuple[SysctlChange, ...]

    def __bool__(self) -> bool:
        proxies = self.proxies.add or self.proxies.remove
        return bool(self.endpoints or proxies or self.firewall or self.sysctls)


def plan_endpoint(
    container: Container, decision: Decision, facts: Facts, *, unfinished: bool = False
) -> EndpointAction | None:
    """What the engine is to be asked for one container; None: nothing.

    `unfinished`: something was begun on its endpoint and not ended, which comes first. An endpoint that was
    made for a moment is moved to the container's address with all that its user set, or else put back.
    """
    if container.in_transition:
        return None
    partial = [each for each in container.endpoints if each.for_a_moment]
    unmapped = [each for each in partial if each is not _mapped_endpoint(container, decision, facts)]
    waits = not container.running and any(each.refused for each in partial)
    if unfinished or (unmapped and not waits):
        return Restore(container.id, container.name)
    if waits or not (container.running or partial):
        release = _plan_release(container, decision, facts)
        if release or waits:
            return release
    match decision:
        case Mapping():
            return _plan_mapping(container, decision, facts)
        case Refusal():
            return _plan_vacate(container, decision, facts)
    return None


def _mapped_endpoint(container: Container, decision: Decision, facts: Facts) -> Endpoint | None:
    """The endpoint that a decision is about, if the container has it."""
    if not isinstance(decision, Mapping):
        return None
    return facts.networks.endpoint(container, decision.network_id, decision.network)


def _plan_mapping(container: Container, mapping: Mapping, facts: Facts) -> Connect | Reconnect | None:
    """Bring a container to the address that it is to have."""
    endpoint = _mapped_endpoint(container, mapping, facts)
    kind = Connect if endpoint is None else Reconnect
    if endpoint is not None:
        # A running container whose endpoint has no address yet is being started: what it was configured
        # with is what it will have.
        has = endpoint.address if container.running and endpoint.address else endpoint.requested
        stale = facts.networks.of(endpoint) is None
        if stale and not facts.networks.complete:
            return None
        if has == mapping.address and not stale and not endpoint.for_a_moment:
            return None
    return kind(container.id, container.name, mapping.network_id, mapping.network, mapping.address)


def _plan_release(container: Container, decision: Decision, facts: Facts) -> Release | None:
    """Take back an address of ours that a stopped container may not keep, or cannot be started with."""
    if not any(label.startswith(PREFIX) for label in container.labels):
        return None
    for endpoint in container.endpoints:
        if endpoint.requested is None or endpoint.ours is False:
            continue
        network = facts.networks.of(endpoint)
        if network is None and (_waits_for_network(endpoint, decision) or not facts.networks.complete):
            continue
        fits = network is not None and any(endpoint.requested in subnet for subnet in network.subnets)
        if not fits or _is_lost(endpoint, decision, network):
            network_id = network.id if network else endpoint.network
            return Release(container.id, container.name, network_id, endpoint.network, endpoint.requested)
    return None


def _waits_for_network(endpoint: Endpoint, decision: Decision) -> bool:
    """Whether an endpoint of the user's waits for its network to be made again, as without the mapper.

    Not where another container has the address that this one is to have, and may wait for this one's.
    """
    held = isinstance(decision, Refusal) and decision.reason is Reason.ADDRESS_HELD
    return endpoint.moved and not held


def _plan_vacate(container: Container, refusal: Refusal, facts: Facts) -> Vacate | None:
    """Have a running container make way, where `Desired` chose it."""
    for endpoint in container.endpoints:
        network = facts.networks.of(endpoint)
        if network is not None and endpoint.address is not None and endpoint.address == refusal.gives_up:
            return Vacate(container.id, container.name, network.id, network.name, endpoint.address)
    return None


def _is_lost(endpoint: Endpoint, decision: Decision, network: Network | None) -> bool:
    """Whether an endpoint's address is no longer its container's: of an earlier name, or held by another."""
    match decision:
        case Mapping():
            return network is not None and network.id != decision.network_id
        case Refusal(address=address) if address is not None:
            held = decision.by_running or decision.reason is Reason.ADDRESS_HELD
            return held or endpoint.requested != address
    return False


def plan_proxies(wanted: AbstractSet[ProxyEntry], present: MappingOf[ProxyEntry, bool]) -> ProxyPlan:
    """The way from the entries that are `present` (True: ours) to those that are `wanted`.

    Somebody else's entry does the work of a wanted one, and is never removed.
    """
    return ProxyPlan(
        add=tuple(sorted(wanted - present.keys())),
        remove=tuple(sorted(entry for entry, ours in present.items() if ours and entry not in wanted)),
    )


def plan_firewall(desired: Desired, facts: Facts, settings: Settings, spared: Spared) -> FirewallPlan:
    """The way from what our table holds to what is wanted; nothing where it may not be touched."""
    if settings.firewall is FirewallMode.OFF:
        return FirewallPlan()
    openings = wanted_openings(desired, facts)
    shut = {address for each in facts.containers if (address := desired.closed(facts, each))}
    return FirewallPlan(
        opened=tuple(sorted(openings - facts.host.openings)),
        closed=tuple(sorted(each for each in facts.host.openings - openings if each.address not in spared)),
        shut=tuple(sorted(shut - facts.host.closed)),
        unshut=tuple(sorted(each for each in facts.host.closed - shut if each not in spared)),
    )


def wanted_openings(desired: Desired, facts: Facts) -> AbstractSet[Opening]:
    """All ports that labels ask for, where they can be understood."""
    openings: set[Opening] = set()
    for container_id in facts.containers:
        try:
            openings.update(desired.openings(facts, container_id))
        except RefusedError as no:
            if no.refusal.reason is Reason.IMAGE_GONE:
                openings.update(_opened_before(desired.decision(container_id), facts))
    return openings


def _opened_before(decision: Decision, facts: Facts) -> Iterable[Opening]:
    """What is open at the address of a container whose label cannot be judged any more."""
    address = decision.address if isinstance(decision, Mapping) else None
    return (opening for opening in facts.host.openings if opening.address == address)


def plan_all(
    desired: Desired,
    facts: Facts,
    sysctls: MappingOf[str, str | None],
    settings: Settings,
    *,
    unfinished: AbstractSet[str] = frozenset(),
    spared: Spared = NOTHING,
) -> Plan:
    """What a full pass does about all of `facts`, of which `desired` has been told."""
    actions = (
        plan_endpoint(container, desired.decision(container_id), facts, unfinished=container_id in unfinished)
        for container_id, container in facts.containers.items()
    )
    wanted: set[ProxyEntry] = set()
    for container_id in facts.containers:
        wanted |= desired.entries(facts, container_id)
    present = {entry: ours for entry, ours in facts.host.entries.items() if entry.address not in spared}
    return Plan(
        endpoints=tuple(action for action in actions if action),
        proxies=plan_proxies({entry for entry in wanted if entry.address not in spared}, present),
        firewall=plan_firewall(desired, facts, settings, spared),
        sysctls=plan_sysctls(sysctls_for(desired, facts, settings), sysctls),
    )
