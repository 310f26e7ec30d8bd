"""Desired: who gets which address, and what is proxied where, for all containers together.

`resolve` looks at one container alone, `Desired` settles what several want. Both are told the facts and
fetch nothing; what follows from a decision is `planner`'s.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from ipaddress import IPv6Address

from dockeripv6mapper.mapping import addressing, labels
from dockeripv6mapper.mapping.circles import Held, circle, makes_way_at
from dockeripv6mapper.mapping.claims import Affected, Claims, Stake
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.image_labels import (
    ImageUnknownError,
    counting_labels,
    effective_mode,
    image_is_gone,
    marked_endpoint,
)
from dockeripv6mapper.mapping.networks import check_connectable, mapped_subnet, needs_proxy
from dockeripv6mapper.mapping.ports import parse_ports
from dockeripv6mapper.model import (
    Container,
    Decision,
    Host,
    ImageWanted,
    Link,
    Mapping,
    MarkWanted,
    Network,
    NetworkUnreadable,
    Opening,
    ProxyEntry,
    Reason,
    Refusal,
    RefusedError,
)
from dockeripv6mapper.settings import FirewallMode, ProxyMode, Scheme, Settings


def resolve(container: Container, facts: Facts, settings: Settings) -> Decision:
    """What the labels of one container come to, other containers left aside."""
    if not any(label.startswith(labels.PREFIX) for label in container.labels):
        return None
    try:
        if image_is_gone(container, facts, settings) and (kept := _mapped_before(container, facts, settings)):
            return kept
        given = counting_labels(container, facts, settings)
        asked = labels.request(given)
        return None if asked is None else _mapping_asked(container, asked, given, facts, settings)
    except RefusedError as no:
        if no.refusal.reason is Reason.NETWORK_NOT_FOUND and not facts.networks.complete:
            return NetworkUnreadable()
        return no.refusal
    except ImageUnknownError:
        return ImageWanted(container.image)


def _mapping_asked(
    container: Container, asked: labels.Request, given: labels.Labels, facts: Facts, settings: Settings
) -> Mapping:
    """The mapping that labels ask for. Raises `RefusedError`."""
    network = facts.networks.find(asked.network)
    _check_allowed(network, settings)
    check_connectable(container)
    identity = labels.identity(container.name, given)
    address = address_of(identity, network, asked.suffix, settings.scheme)
    addressing.check_host(address, facts.host)
    return Mapping(network.id, network.name, address, identity)


def _mapped_before(container: Container, facts: Facts, settings: Settings) -> Mapping | MarkWanted | None:
    """The mapping that was made while the image was there; None where there is none.

    It stays at its address, whatever the labels come to now: which of them count is not known any more.
    Raises `RefusedError`.
    """
    if not (named := container.labels.get(labels.NETWORK, "").strip()):
        return None
    network = facts.networks.find(named)
    endpoint = marked_endpoint(container, network, facts)
    if endpoint is None or endpoint.requested is None:
        return None
    if endpoint.ours is None:
        return MarkWanted()
    _check_allowed(network, settings)
    addressing.check_host(endpoint.requested, facts.host)
    identity = labels.identity(container.name, container.labels)
    return Mapping(network.id, network.name, endpoint.requested, identity)


def address_of(identity: str, network: Network, suffix: int | None, default: Scheme) -> IPv6Address:
    """The address of an identity on a network, whose label may name a scheme. Raises `RefusedError`."""
    subnet = mapped_subnet(network)
    if suffix is None:
        scheme = labels.scheme(network.labels, default)
        suffix = addressing.hashed_suffix(identity, subnet, scheme)
    address = addressing.place(suffix, subnet)
    addressing.check_network(address, subnet, network)
    return address


def uplinks(facts: Facts, settings: Settings) -> tuple[Link, ...]:
    """The host's uplinks that exist: those that were named, else those with a default route.

    While no link has a default route, the uplinks are those that carry entries of ours: a route that is away
    for a moment takes no entry away, nor does a restart meanwhile.
    """
    names = settings.uplinks or facts.host.default_route_links or _links_with_entries(facts.host)
    return tuple(facts.host.links[name] for name in names if name in facts.host.links)


def _links_with_entries(host: Host) -> tuple[str, ...]:
    return tuple(sorted({entry.uplink for entry, ours in host.entries.items() if ours}))


def network_uplinks(network: Network, facts: Facts, settings: Settings) -> tuple[Link, ...]:
    """Where a network's addresses are to be proxied: its label's uplink, else every one."""
    if (name := network.labels.get(labels.UPLINK)) is None:
        return uplinks(facts, settings)
    link = facts.host.links.get(name)
    return () if link is None else (link,)


def all_uplinks(facts: Facts, settings: Settings) -> tuple[Link, ...]:
    """The uplinks, and those that only a network's label makes one."""
    found = dict.fromkeys(uplinks(facts, settings))
    for network in facts.networks:
        found |= dict.fromkeys(network_uplinks(network, facts, settings))
    return tuple(found)


class Desired:
    """The decision on every container, brought up to date container by container."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._resolved: dict[str, Decision] = {}
        self._stakes: dict[str, Stake] = {}
        self._claims = Claims()
        self._settled: dict[str, Mapping | Refusal] = {}
        """What was settled since anything about it changed: a pass asks five times for each."""

    def update(self, facts: Facts, container_ids: Iterable[str]) -> Affected:
        """Take in what changed about some containers; returns whom that affects.

        An ID that `facts` no longer has is forgotten (and returned, as the others).
        """
        changed = set(container_ids)
        touched = {each: self._take_in(facts, each) for each in changed}
        by_others = {
            each
            for container_id, addresses in touched.items()
            for each in self._claims.staked(addresses) - {container_id}
        }
        self._unsettle(changed | by_others)
        refused = [each for each in changed | by_others if isinstance(self.decision(each), Refusal)]
        circles = {held.by.container.id for each in refused for held in circle(each, self._holder)}
        self._unsettle(circles)
        return Affected(changed | by_others | circles, by_others)

    def forgotten(self, facts: Facts) -> set[str]:
        """IDs that are known here and gone from `facts`: `update` wants to be told of them."""
        return self._stakes.keys() - facts.containers.keys()

    def _take_in(self, facts: Facts, container_id: str) -> AbstractSet[IPv6Address]:
        container = facts.containers.get(container_id)
        if container is None:
            self._resolved.pop(container_id, None)
            self._stakes.pop(container_id, None)
            return self._claims.drop(container_id)
        decision = resolve(container, facts, self._settings)
        in_flight = facts.in_flight.get(container_id)
        identity = decision.identity if isinstance(decision, Mapping) else container_id
        stake = Stake(container, identity, in_flight)
        if (decision, stake) == (self._resolved.get(container_id), self._stakes.get(container_id)):
            return frozenset()
        self._resolved[container_id], self._stakes[container_id] = decision, stake
        addresses = {address for each in container.endpoints for address in (each.address, each.requested)}
        addresses.add(in_flight)
        if isinstance(decision, Mapping):
            addresses.add(decision.address)
        return self._claims.put(stake, (each for each in addresses if each is not None))

    def decision(self, container_id: str) -> Decision:
        """What is wanted of a container, the others considered."""
        resolved = self._resolved.get(container_id)
        if not isinstance(resolved, Mapping):
            return resolved
        if (decision := self._settled.get(container_id)) is None:
            self._settled[container_id] = decision = self._settle(self._stakes[container_id], resolved)
        return decision

    def _unsettle(self, container_ids: Iterable[str]) -> None:
        for container_id in container_ids:
            self._settled.pop(container_id, None)

    def _settle(self, stake: Stake, resolved: Mapping) -> Mapping | Refusal:
        rival = self._claims.rival(stake, resolved.address)
        if rival is None:
            return resolved
        if rival.identity != stake.identity:
            reason, whose = Reason.ADDRESS_HELD, "container"
        elif rival.age() < stake.age():
            reason, whose = Reason.PREDECESSOR_HOLDS, "its predecessor"
        else:
            reason, whose = Reason.SUPERSEDED, "its successor"
        detail = f"{resolved.address} is held by {whose} {rival.container.name}"
        return Refusal(
            reason,
            detail,
            resolved.address,
            by_running=rival.container.running,
            gives_up=makes_way_at(stake.container.id, self._holder),
        )

    def _holder(self, container_id: str) -> Held | None:
        """Who has the address that a container is to have, or is configured with it."""
        resolved = self._resolved.get(container_id)
        if not isinstance(resolved, Mapping):
            return None
        rival = self._claims.rival(self._stakes[container_id], resolved.address)
        return Held(rival, resolved.address) if rival and rival.at(resolved.address) else None

    def entries(self, facts: Facts, container_id: str) -> frozenset[ProxyEntry]:
        """The proxy entries that a container needs now."""
        container = facts.containers.get(container_id)
        if container is None or not container.running:
            return frozenset()
        entries = frozenset(
            ProxyEntry(address, link.name)
            for network, address in self._proxied(facts, container)
            for link in network_uplinks(network, facts, self._settings)
            if link.neighbour_discovery
        )
        if effective_mode(container, facts, self._settings) is None:
            return frozenset(entry for entry in entries if facts.host.entries.get(entry))
        return entries

    def is_routed(self, facts: Facts, container_id: str) -> bool:
        """Whether a mapped or proxied container is reached through this host, which has to forward then."""
        decision = self.decision(container_id)
        if isinstance(decision, Mapping):
            network = facts.networks.get(decision.network_id)
            if network is not None and needs_proxy(network):
                return True
        return bool(self.entries(facts, container_id))

    def openings(self, facts: Facts, container_id: str) -> tuple[Opening, ...]:
        """The ports that are to be open at the address of a mapped, running container.

        Raises `RefusedError` where its label cannot be understood: then none is, and the mapping stands.
        """
        container = facts.containers.get(container_id)
        decision = self.decision(container_id)
        if container is None or not container.running or not isinstance(decision, Mapping):
            return ()
        if labels.PORTS not in container.labels or self._settings.firewall is FirewallMode.OFF:
            return ()
        text = counting_labels(container, facts, self._settings).get(labels.PORTS)
        if text is None or all(each.address != decision.address for each in container.endpoints):
            return ()
        return parse_ports(text, decision.address)

    def closed(self, facts: Facts, container_id: str) -> IPv6Address | None:
        """The address of a container that is closed to what no label opened."""
        decision = self.decision(container_id)
        if self._settings.firewall is not FirewallMode.CLOSED or container_id not in facts.containers:
            return None
        return decision.address if isinstance(decision, Mapping) else None

    def _proxied(self, facts: Facts, container: Container) -> Iterable[tuple[Network, IPv6Address]]:
        """A running container's addresses that are to be answered for on the uplinks."""
        mode = effective_mode(container, facts, self._settings)
        decision = self.decision(container.id)
        mapped = decision.address if isinstance(decision, Mapping) else None
        for endpoint in container.endpoints:
            network, address = facts.networks.of(endpoint), endpoint.address
            if network is None or address is None or not needs_proxy(network):
                continue
            chosen = mode in (ProxyMode.ALL, None) or (mode is ProxyMode.MAPPED and address == mapped)
            if chosen and _may_be_proxied(address, facts.host):
                yield network, address


def _may_be_proxied(address: IPv6Address, host: Host) -> bool:
    """Never answer for the host's own addresses or its routers', whoever was given them."""
    return not (address.is_link_local or address in host.addresses or address in host.next_hops)


def _check_allowed(network: Network, settings: Settings) -> None:
    if settings.allow_networks and not {network.id, network.name} & settings.allow_networks:
        raise RefusedError(
            Reason.NETWORK_NOT_ALLOWED,
            f"network {network.name} is not among those of --allow-network",
        )
