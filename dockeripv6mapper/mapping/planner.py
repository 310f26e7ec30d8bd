"""The planner: compares what is desired with what was observed, and makes one plan of all that is to be done.

Pure. Each action is idempotent, and none is planned where nothing has to change. The daemon carries the plan
out, `plan` and dry runs print it, `status` and `doctor` read it.
"""

from collections.abc import Mapping
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
from dockeripv6mapper.mapping.default_routes import gateway_priority
from dockeripv6mapper.mapping.desired import Affected, Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.labels import PREFIX
from dockeripv6mapper.mapping.spared import NOTHING, Spared
from dockeripv6mapper.mapping.uplinks import all_uplinks
from dockeripv6mapper.mapping.wanted_sysctls import plan_sysctls, sysctls_for
from dockeripv6mapper.model import (
    AddressMapping,
    Container,
    Decision,
    Endpoint,
    FirewallRules,
    Network,
    Opening,
    ProxyEntry,
    Reason,
    Refusal,
)
from dockeripv6mapper.settings import FirewallMode, Settings


@dataclass(frozen=True, slots=True)
class ProxyPlan:
    """Entries to add, and entries of ours to remove."""

    add: tuple[ProxyEntry, ...] = ()
    remove: tuple[ProxyEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class FirewallPlan:
    """What our nft table contains, and what it should contain."""

    before: FirewallRules
    after: FirewallRules

    @property
    def opened(self) -> list[Opening]:
        """Ports to open."""
        return sorted(self.after.openings - self.before.openings)

    @property
    def closed(self) -> list[Opening]:
        """Ports to close."""
        return sorted(self.before.openings - self.after.openings)

    @property
    def closed_addresses(self) -> list[IPv6Address]:
        """With `--firewall closed`: addresses at which all other ports are to be closed."""
        return sorted(self.after.closed - self.before.closed)

    @property
    def reopened_addresses(self) -> list[IPv6Address]:
        """Addresses at which the other ports are no longer to be closed."""
        return sorted(self.before.closed - self.after.closed)

    def __bool__(self) -> bool:
        return bool(self.opened or self.closed or self.closed_addresses or self.reopened_addresses)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is to be done about some containers, or about all."""

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
    """The action for one container's endpoint; None: it needs none.

    `unfinished`: a change of its endpoint was interrupted, which is finished first. A temporary endpoint,
    which an interrupted move left, is moved to the container's address with all its user's settings, or else
    restored.
    """
    if container.in_transition or container.id in facts.acting:
        return None
    partial = [each for each in container.endpoints if each.temporary]
    unmapped = [each for each in partial if each is not _mapped_endpoint(container, decision, facts)]
    waits = not container.running and any(each.refused for each in partial)
    if unfinished or (unmapped and not waits):
        return Restore(container.id, container.name)
    if waits or not (container.running or partial):
        release = _plan_release(container, decision, facts)
        if release or waits:
            return release
    match decision:
        case AddressMapping():
            return _plan_mapping(container, decision, facts)
        case Refusal():
            return _plan_vacate(container, decision, facts)
    return None


def _mapped_endpoint(container: Container, decision: Decision, facts: Facts) -> Endpoint | None:
    """The container's endpoint on the network that it is mapped to, if it has one."""
    if not isinstance(decision, AddressMapping):
        return None
    return facts.networks.endpoint(container, decision.network_id, decision.network)


def _plan_mapping(container: Container, mapping: AddressMapping, facts: Facts) -> Connect | Reconnect | None:
    """Attach a container at its address, or move it there."""
    endpoint = _mapped_endpoint(container, mapping, facts)
    if endpoint is not None:
        # A running container without an address is being started: it will have the configured one.
        has = endpoint.address if container.running and endpoint.address else endpoint.requested
        stale = facts.networks.of(endpoint) is None
        if stale and not facts.networks.complete:
            return None
        if has == mapping.address and not stale and not endpoint.temporary:
            return None
    where = mapping.network_id, mapping.network, mapping.address
    if endpoint is None:
        return Connect(
            container.id, container.name, *where, priority=gateway_priority(container, mapping, facts)
        )
    return Reconnect(container.id, container.name, *where)


def _plan_release(container: Container, decision: Decision, facts: Facts) -> Release | None:
    """Release the mapper's address of a stopped container that may not keep it, or cannot start with it."""
    if not any(label.startswith(PREFIX) for label in container.labels):
        return None
    for endpoint in container.endpoints:
        if endpoint.requested is None or endpoint.ours is False:
            continue
        network = facts.networks.of(endpoint)
        if network is None and (_waits_for_network(endpoint, decision) or not facts.networks.complete):
            continue
        fits = network is not None and any(endpoint.requested in subnet for subnet in network.subnets)
        if not fits or _is_obsolete(endpoint, decision, network):
            network_id = network.id if network else endpoint.network
            return Release(container.id, container.name, network_id, endpoint.network, endpoint.requested)
    return None


def _waits_for_network(endpoint: Endpoint, decision: Decision) -> bool:
    """Whether a user's endpoint stays until its removed network is created again, as without the mapper.

    Not where another container has this one's new address, and may wait for this one's old one.
    """
    held = isinstance(decision, Refusal) and decision.reason is Reason.ADDRESS_HELD
    return endpoint.moved and not held


def _plan_vacate(container: Container, refusal: Refusal, facts: Facts) -> Vacate | None:
    """Have a running container give up its address, where `Desired` chose it to break a cycle."""
    for endpoint in container.endpoints:
        network = facts.networks.of(endpoint)
        if network is not None and endpoint.address is not None and endpoint.address == refusal.gives_up:
            return Vacate(container.id, container.name, network.id, network.name, endpoint.address)
    return None


def _is_obsolete(endpoint: Endpoint, decision: Decision, network: Network | None) -> bool:
    """Whether an endpoint's address does not belong to its container any more.

    It is that of an earlier name, or another container has it.
    """
    match decision:
        case AddressMapping():
            return network is not None and network.id != decision.network_id
        case Refusal(address=address) if address is not None:
            held = decision.by_running or decision.reason is Reason.ADDRESS_HELD
            return held or endpoint.requested != address
    return False


def plan_proxies(wanted: AbstractSet[ProxyEntry], present: Mapping[ProxyEntry, bool]) -> ProxyPlan:
    """The changes from the entries that are `present` (True: ours) to those that are `wanted`.

    Another program's entry serves as a wanted one, and is never removed.
    """
    return ProxyPlan(
        add=tuple(sorted(wanted - present.keys())),
        remove=tuple(sorted(entry for entry, ours in present.items() if ours and entry not in wanted)),
    )


def plan_firewall(desired: Desired, facts: Facts, settings: Settings, spared: Spared) -> FirewallPlan:
    """The change from our table's contents to what all containers need; none with `--firewall off`."""
    if settings.firewall is FirewallMode.OFF:
        return FirewallPlan(FirewallRules(), FirewallRules())
    needs, host = desired.needs, facts.host
    openings, closed, unjudged = needs.openings, needs.closed, needs.unjudged
    if spared or unjudged:

        def stays(address: IPv6Address) -> bool:
            return address in spared or address in unjudged

        openings |= {each for each in host.openings if stays(each.address)}
        closed |= {each for each in host.closed if stays(each)}
    before = FirewallRules(openings=host.openings, closed=host.closed)
    after = FirewallRules(
        mark=settings.fwmark,
        openings=openings,
        closed=closed,
        uplinks=tuple(link.name for link in all_uplinks(facts, settings)) if closed else (),
    )
    return FirewallPlan(before, after)


def plan(
    desired: Desired,
    facts: Facts,
    settings: Settings,
    scope: Affected,
    *,
    whole: bool = False,
    unfinished: AbstractSet[str] = frozenset(),
    spared: Spared = NOTHING,
) -> Plan:
    """What is to be done about the containers in `scope`.

    `desired` must be up to date with `facts`. `whole`: all proxy entries of ours that no container needs are
    removed. `unfinished`: IDs of containers on which a change was begun and not ended. `spared`: addresses
    of which too little is known, so nothing of ours is removed there. Firewall and sysctls are always planned
    for all containers.
    """
    containers = (facts.containers[each] for each in scope.containers if each in facts.containers)
    actions = (
        plan_endpoint(each, desired.decision(each.id), facts, unfinished=each.id in unfinished)
        for each in containers
    )
    return Plan(
        endpoints=tuple(action for action in actions if action),
        proxies=_plan_proxies_in(scope, desired, facts, spared if whole else None),
        firewall=plan_firewall(desired, facts, settings, spared),
        sysctls=plan_sysctls(sysctls_for(desired, facts, settings), facts.sysctls),
    )


def _plan_proxies_in(scope: Affected, desired: Desired, facts: Facts, spared: Spared | None) -> ProxyPlan:
    """The proxy entries of a scope; where `spared` is given, also all others but those of its addresses."""
    wanted, present = desired.needs.entries, facts.host.entries
    if spared is None:
        # Another program's entry may be gone since it was seen: adding looks again.
        ours = {entry: True for entry in scope.entries if present.get(entry)}
        return plan_proxies(scope.entries & wanted, ours)

    def may_change(entry: ProxyEntry) -> bool:
        return entry in scope.entries or entry.address not in spared

    changeable = {entry: ours for entry, ours in present.items() if may_change(entry)}
    return plan_proxies({entry for entry in wanted if may_change(entry)}, changeable)
