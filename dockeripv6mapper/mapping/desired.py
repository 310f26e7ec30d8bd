"""Desired: which container gets which address, and what it needs of the host.

Pure. `resolution` looks at one container alone; here conflicts between containers are decided. `proxying`
says which proxy entries follow from a decision, and `planner` what is to be done.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from ipaddress import IPv6Address

from dockeripv6mapper.mapping import labels
from dockeripv6mapper.mapping.claims import Claim, Claims, Held, cycle, gives_up_at
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.image_labels import counting_labels
from dockeripv6mapper.mapping.needs import HostNeeds, Needs
from dockeripv6mapper.mapping.ports import parse_ports
from dockeripv6mapper.mapping.proxying import needs_proxy, proxy_entries
from dockeripv6mapper.mapping.resolution import resolve
from dockeripv6mapper.model import (
    AddressMapping,
    Decision,
    Opening,
    ProxyEntry,
    Reason,
    Refusal,
    RefusedError,
    Undecided,
)
from dockeripv6mapper.settings import FirewallMode, Settings


@dataclass(frozen=True, slots=True)
class Affected:
    """What an update may have changed."""

    containers: AbstractSet[str]
    """IDs of the containers whose decision may differ now."""
    by_others: AbstractSet[str]
    """Those affected by another container's change; their refused actions may be retried."""
    entries: AbstractSet[ProxyEntry]
    """Proxy entries that one of the containers needed or needs."""


class Desired:
    """The decision on every container and what it needs of the host, updated container by container."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._resolved: dict[str, Decision] = {}
        """The decision on each container by its own labels alone (see `resolution`)."""
        self._claim_of: dict[str, Claim] = {}
        self._claims = Claims()
        self._decisions: dict[str, AddressMapping | Refusal] = {}
        """Cached decisions, the claims of others considered. A change that may alter one removes it."""
        self.needs = HostNeeds()
        self.on_hold: set[str] = set()
        """IDs of the running containers whose needs stay as they are: an action is being carried out on them,
        or nothing can be decided yet. While the engine attaches a container, its interface may be down: for a
        proxied packet the host would solicit the container, fail, and back off for up to a second."""

    def update(self, facts: Facts, container_ids: Iterable[str]) -> Affected:
        """Update the decisions and needs of some containers, and of those that compete with them.

        A container that is not in `facts` is forgotten; its ID is among the affected ones.
        """
        changed = set(container_ids)
        touched = {each: self._update_claim(facts, each) for each in changed}
        by_others = {
            each
            for container_id, addresses in touched.items()
            for each in self._claims.claimants(addresses) - {container_id}
        }
        self._forget_decisions(changed | by_others)
        refused = [each for each in changed | by_others if isinstance(self.decision(each), Refusal)]
        in_cycles = {held.by.container.id for each in refused for held in cycle(each, self._held_by)}
        self._forget_decisions(in_cycles)
        affected = changed | by_others | in_cycles
        entries: set[ProxyEntry] = set()
        for container_id in affected:
            entries |= self._update_needs(facts, container_id)
        return Affected(affected, by_others, entries)

    def _update_needs(self, facts: Facts, container_id: str) -> frozenset[ProxyEntry]:
        """Update what a container needs, unless it is on hold. Returns the entries it needed or needs."""
        container = facts.containers.get(container_id)
        undecided = container_id in facts.acting or isinstance(self.decision(container_id), Undecided)
        if container is not None and container.running and undecided:
            self.on_hold.add(container_id)
            return frozenset()
        self.on_hold.discard(container_id)
        return self.needs.put(container_id, self._needs(facts, container_id))

    def _needs(self, facts: Facts, container_id: str) -> Needs:
        decision = self.decision(container_id)
        mapping = decision if isinstance(decision, AddressMapping) else None
        container = facts.containers.get(container_id)
        entries = proxy_entries(container, decision, facts, self._settings) if container else frozenset()
        openings: tuple[Opening, ...] = ()
        refused = unjudged = None
        try:
            openings = self.openings(facts, container_id)
        except RefusedError as error:
            refused = error.refusal
            if refused.reason is Reason.IMAGE_GONE and mapping is not None:
                unjudged = mapping.address
        network = facts.networks.get(mapping.network_id) if mapping else None
        return Needs(
            entries=entries,
            openings=openings,
            closed=self.closed(facts, container_id),
            unjudged=unjudged,
            ports_refused=refused,
            routed=bool(entries) or (network is not None and needs_proxy(network)),
        )

    def forgotten(self, facts: Facts) -> set[str]:
        """IDs of known containers that are not in `facts` any more. Pass them to `update`."""
        return self._claim_of.keys() - facts.containers.keys()

    def _update_claim(self, facts: Facts, container_id: str) -> AbstractSet[IPv6Address]:
        """Update one container's claim. Returns the addresses for which decisions on others may change."""
        container = facts.containers.get(container_id)
        if container is None:
            self._resolved.pop(container_id, None)
            self._claim_of.pop(container_id, None)
            return self._claims.drop(container_id)
        resolved = resolve(container, facts, self._settings)
        in_flight = facts.in_flight.get(container_id)
        identity = resolved.identity if isinstance(resolved, AddressMapping) else container_id
        claim = Claim(container, identity, in_flight)
        if (resolved, claim) == (self._resolved.get(container_id), self._claim_of.get(container_id)):
            return frozenset()
        self._resolved[container_id], self._claim_of[container_id] = resolved, claim
        addresses = {address for each in container.endpoints for address in (each.address, each.requested)}
        addresses.add(in_flight)
        if isinstance(resolved, AddressMapping):
            addresses.add(resolved.address)
        return self._claims.put(claim, (each for each in addresses if each is not None))

    def decision(self, container_id: str) -> Decision:
        """The decision on a container, with the claims of the others considered."""
        resolved = self._resolved.get(container_id)
        if not isinstance(resolved, AddressMapping):
            return resolved
        if (decision := self._decisions.get(container_id)) is None:
            self._decisions[container_id] = decision = self._decide(self._claim_of[container_id], resolved)
        return decision

    def _forget_decisions(self, container_ids: Iterable[str]) -> None:
        for container_id in container_ids:
            self._decisions.pop(container_id, None)

    def _decide(self, claim: Claim, resolved: AddressMapping) -> AddressMapping | Refusal:
        holder = self._claims.holder(claim, resolved.address)
        if holder is None:
            return resolved
        if holder.identity != claim.identity:
            reason, whose = Reason.ADDRESS_HELD, "container"
        elif holder.age() < claim.age():
            reason, whose = Reason.PREDECESSOR_HOLDS, "its predecessor"
        else:
            reason, whose = Reason.SUPERSEDED, "its successor"
        detail = f"{resolved.address} is held by {whose} {holder.container.name}"
        return Refusal(
            reason,
            detail,
            resolved.address,
            by_running=holder.container.running,
            gives_up=gives_up_at(claim.container.id, self._held_by),
        )

    def _held_by(self, container_id: str) -> Held | None:
        """The claim of the container that has, or is configured with, the address of this one's mapping."""
        resolved = self._resolved.get(container_id)
        if not isinstance(resolved, AddressMapping):
            return None
        holder = self._claims.holder(self._claim_of[container_id], resolved.address)
        if holder is None or not holder.endpoints_at(resolved.address):
            return None
        return Held(holder, resolved.address)

    def openings(self, facts: Facts, container_id: str) -> tuple[Opening, ...]:
        """The ports that a label opens at the address of a mapped, running container.

        Raises `RefusedError` where the label is invalid: then no port is opened, and the mapping stands.
        """
        container = facts.containers.get(container_id)
        decision = self.decision(container_id)
        if container is None or not container.running or not isinstance(decision, AddressMapping):
            return ()
        if labels.PORTS not in container.labels or self._settings.firewall is FirewallMode.OFF:
            return ()
        text = counting_labels(container, facts, self._settings).get(labels.PORTS)
        if text is None or all(each.address != decision.address for each in container.endpoints):
            return ()
        return parse_ports(text, decision.address)

    def closed(self, facts: Facts, container_id: str) -> IPv6Address | None:
        """With `--firewall closed`: a mapped container's address, closed but for the ports of its label."""
        decision = self.decision(container_id)
        if self._settings.firewall is not FirewallMode.CLOSED or container_id not in facts.containers:
            return None
        return decision.address if isinstance(decision, AddressMapping) else None
