"""Networks: checks each network that a container's label names or that carries a label of the mapper."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from ipaddress import IPv6Network

from dockeripv6mapper.doctor import fixes, inbound_checks
from dockeripv6mapper.doctor.facts import DoctorFacts
from dockeripv6mapper.doctor.finding import Finding, fail, ok, warn
from dockeripv6mapper.engine_config import NetworkConfig
from dockeripv6mapper.mapping import labels
from dockeripv6mapper.mapping.default_routes import (
    IPV6_ONLY_PRIORITY,
    gateway_priority,
    keeps_ipv4_route,
    other_ipv6_endpoints,
)
from dockeripv6mapper.mapping.links import find_link
from dockeripv6mapper.mapping.networks import has_default_bridge_name, mapped_subnet
from dockeripv6mapper.mapping.proxying import needs_proxy
from dockeripv6mapper.mapping.resolution import check_accepts_addresses
from dockeripv6mapper.mapping.uplinks import network_uplinks
from dockeripv6mapper.model import AddressMapping, Container, Network, Reason, Refusal, RefusedError
from dockeripv6mapper.settings import ProxyMode

DRIVERS = ("bridge", "macvlan", "ipvlan")
"""Drivers that the mapper supports."""
DEFAULT_NAME = "he_ipv6"
"""The name of a proposed network, as in the README."""


def check(facts: DoctorFacts) -> Iterator[Finding]:
    """Findings on each relevant network, and on each label whose value names no network."""
    for reference in facts.labelled_containers():
        try:
            facts.system.networks.find(reference)
        except RefusedError as error:
            if error.refusal.reason is Reason.NETWORK_AMBIGUOUS or facts.system.networks.complete:
                yield _not_found(facts, reference, error.refusal)
    for network in facts.relevant_networks():
        yield from _check_one(facts, network)


def _not_found(facts: DoctorFacts, reference: str, refusal: Refusal) -> Finding:
    named_by = ", ".join(container.name for container in facts.labelled_containers()[reference])
    if refusal.reason is Reason.NETWORK_AMBIGUOUS:
        fix = _resolve_ambiguity(facts, reference)
    else:
        fix = fixes.create(facts, reference)
    return fail(
        "network",
        f"network {labels.shown(reference)}",
        f"{refusal.detail}, which is named by a label of {named_by}",
        why="these containers are not mapped",
        fix=fix,
    )


def _resolve_ambiguity(facts: DoctorFacts, name: str) -> str:
    """The fix for several networks of one name.

    Removes all but one if the others have no containers; else the label has to name a network by its ID.
    """
    candidates = [network for network in facts.system.networks if network.name == name]
    candidates.sort(key=lambda network: (len(facts.attached_to(network)), network.ipv6), reverse=True)
    best, *others = candidates
    if any(facts.attached_to(network) for network in others):
        containers = facts.labelled_containers()[name]
        return fixes.run_again(facts, containers, f"with --label {labels.NETWORK}={best.id}")
    return f"docker network rm {fixes.operands(network.id for network in others)}"


def _check_one(facts: DoctorFacts, network: Network) -> Iterator[Finding]:
    subject = f"network {network.name}"
    for sentence in labels.ineffective_labels(network.labels, labels.NETWORK_LABELS):
        yield warn(
            "label",
            subject,
            sentence,
            why="the label does nothing",
            fix=fixes.recreate(facts, network, partial(_with_labels, known=labels.NETWORK_LABELS)),
        )
    if network.driver not in DRIVERS:
        state = (
            f"has the driver {network.driver}" if network.driver else "has no driver: it could not be created"
        )
        yield fail(
            "driver",
            subject,
            f"the network {state}",
            why="its addresses cannot be reached through this host's uplinks",
            fix=fixes.create_other(facts, DEFAULT_NAME, facts.containers_naming(network)),
        )
        return
    try:
        labels.scheme(network.labels, facts.settings.scheme)
        subnet = mapped_subnet(network)
        check_accepts_addresses(network, facts.system)
    except RefusedError as error:
        yield _unusable(facts, network, error.refusal)
        return
    yield ok("network", subject, f"{network.driver} network with the IPv6 subnet {subnet}")
    yield from _uplink_label(facts, network)
    yield from _location(facts, network, subnet)
    yield from _overlap(facts, network, subnet)
    yield from _dual_stack(facts, network)
    yield from inbound_checks.check(facts, network)


def _with_labels(config: NetworkConfig, known: tuple[str, ...]) -> NetworkConfig:
    """The same network with no labels of the mapper except `known`."""
    remaining = {
        key: value
        for key, value in config.labels.items()
        if key in known or not key.startswith(labels.PREFIX)
    }
    return replace(config, labels=remaining)


def _unusable(facts: DoctorFacts, network: Network, refusal: Refusal) -> Finding:
    """The finding on a network into which no container can be mapped."""

    def with_ipv6(config: NetworkConfig) -> NetworkConfig:
        return fixes.with_advice(fixes.with_ipv6(config, facts), facts, network)

    def with_own_subnet(config: NetworkConfig) -> NetworkConfig:
        return fixes.with_advice(fixes.with_another_subnet(config, facts), facts, network)

    match refusal.reason:
        case Reason.NETWORK_WITHOUT_IPV6:
            fix = fixes.recreate(facts, network, with_ipv6)
        case Reason.NETWORK_ACCEPTS_NO_ADDRESS:
            fix = fixes.recreate(facts, network, with_own_subnet)
        case Reason.INVALID_LABEL:
            fix = fixes.recreate(facts, network, partial(_with_labels, known=(labels.UPLINK,)))
        case _:
            fix = fixes.create_other(facts, DEFAULT_NAME, facts.containers_naming(network))
    return fail(
        "network",
        f"network {network.name}",
        refusal.detail,
        why="no container can be mapped there",
        fix=fix,
    )


def _uplink_label(facts: DoctorFacts, network: Network) -> Iterator[Finding]:
    name = network.labels.get(labels.UPLINK)
    if name is None or find_link(facts.system.host, name) is not None:
        return
    yield fail(
        "uplink",
        f"network {network.name}",
        f"label {labels.UPLINK}={labels.shown(name)}: there is no such link",
        why="nothing answers for the network's addresses",
        fix=fixes.recreate(facts, network, partial(_with_labels, known=(labels.SCHEME,))),
    )


def _location(facts: DoctorFacts, network: Network, subnet: IPv6Network) -> Iterator[Finding]:
    """Whether routers solicit the subnet's addresses on an uplink, or have to route them to this host."""
    subject = f"network {network.name}"
    names = {link.name for link in network_uplinks(network, facts.system, facts.settings)}
    holding = sorted(
        (prefix, link)
        for prefix, link in facts.system.host.on_link
        if link in names and subnet.subnet_of(prefix)
    )
    if not holding:
        yield ok(
            "subnet",
            subject,
            f"{subnet} is inside no uplink's prefix: a router has to route it to this host (not checked)",
        )
        return
    prefix, link = holding[0]
    where = f"{subnet} is inside {prefix}, the prefix of {link}"
    if not needs_proxy(network):
        yield ok("subnet", subject, f"{where}, and its containers answer there themselves")
    elif facts.settings.proxy is ProxyMode.OFF:
        yield warn(
            "subnet",
            subject,
            f"{where}, and with --proxy off nothing answers for its addresses there",
            why="routers solicit these addresses on the link",
            fix=fixes.with_options("--proxy mapped"),
        )
    else:
        yield ok("subnet", subject, f"{where}, where its addresses are proxied")


def _overlap(facts: DoctorFacts, network: Network, subnet: IPv6Network) -> Iterator[Finding]:
    """Other links' on-link prefixes that compete with the subnet's route: equally long or longer ones."""
    uplinks = {link.name for link in network_uplinks(network, facts.system, facts.settings)}
    known = {each.bridge for each in facts.system.networks}
    for prefix, link in sorted(facts.system.host.on_link):
        shorter = prefix.prefixlen < subnet.prefixlen
        if link == network.bridge or not prefix.overlaps(subnet) or shorter or not needs_proxy(network):
            continue
        found = f"{prefix} is on {link}, too"
        if has_default_bridge_name(link) and link not in known and link not in uplinks:
            found += ", which is named like an engine's bridge but belongs to no network of this engine"
            # It may be another engine's: it is deleted only if nothing is attached to it.
            fix = f'[ "$(ip link show master {link})" ] || ip link delete {link}'
        else:
            fix = fixes.recreate(facts, network, lambda config: fixes.with_another_subnet(config, facts))
        yield fail(
            "overlap",
            f"network {network.name}",
            found,
            why=f"packets to the network's addresses may go to {link}",
            fix=fix,
        )


def _dual_stack(facts: DoctorFacts, network: Network) -> Iterator[Finding]:
    """Containers whose IPv4 default route moves to the network.

    The engine moves it when it connects a container to a network with IPv4; since 29.4.2 not where the
    endpoint's gateway priority is below that of another network with IPv4.
    """
    if not network.ipv4 or network.internal:
        return
    relying = facts.relying_on_ipv4(network)
    others = [container for container, _ in facts.mapped_containers(network) if container not in relying]
    moved = [each for each in others if not keeps_ipv4_route(each, network, facts.system)]
    if not moved:
        return
    names = ", ".join(container.name for container in moved)
    found = f"the network has IPv4 too, and the engine moves the IPv4 default route of {names} to it"
    if not fixes.knows_gateway_modes(facts):
        yield ok(
            "dual-stack",
            f"network {network.name}",
            f"{found}; engine 28 and later can create a network without IPv4",
        )
        return
    if ipv6_elsewhere := _with_other_ipv6(facts, moved):
        yield ok(
            "dual-stack",
            f"network {network.name}",
            f"{found}; without IPv4 there, the IPv6 default route of {fixes.names_of(ipv6_elsewhere)} would "
            "go over another network (until engine 29.4.2)",
        )
        return
    if all(_may_have_low_priority(facts, container) for container in moved):
        fix = "\n".join(
            fixes.prioritise(facts, network, container, IPV6_ONLY_PRIORITY) for container in moved
        )
    elif relying:
        fix = fixes.create_other(facts, network.name, moved)
    else:
        fix = fixes.recreate(facts, network, fixes.without_ipv4)
    yield warn(
        "dual-stack",
        f"network {network.name}",
        found,
        why="their IPv4 packets take another route than without the mapper",
        fix=fix,
    )


def _may_have_low_priority(facts: DoctorFacts, container: Container) -> bool:
    """Whether a gateway priority leaves the IPv4 default route where it was, and IPv6 on the network."""
    mapping = facts.desired.decision(container.id)
    if not isinstance(mapping, AddressMapping):
        return False
    return gateway_priority(container, mapping, facts.system) == IPV6_ONLY_PRIORITY


def _with_other_ipv6(facts: DoctorFacts, containers: Iterable[Container]) -> list[Container]:
    """The mapped ones whose IPv6 default route a network without IPv4 would not get, by the engine's rule."""
    if facts.engine is not None and facts.engine.routes_by_family:
        return []
    decided = ((each, facts.desired.decision(each.id)) for each in containers)
    return [
        container
        for container, decision in decided
        if isinstance(decision, AddressMapping) and other_ipv6_endpoints(container, decision, facts.system)
    ]
