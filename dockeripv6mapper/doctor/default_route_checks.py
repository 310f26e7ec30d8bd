"""Default routes: checks from which address each mapped container sends packets to the outside.

A container on several networks with IPv6 sends over one of them, which the engine chooses (see
`mapping.default_routes`). The address was read from the container's own routes.
"""

from collections.abc import Iterator

from dockeripv6mapper.doctor import fixes
from dockeripv6mapper.doctor.facts import DoctorFacts
from dockeripv6mapper.doctor.finding import Finding, ok, warn
from dockeripv6mapper.mapping.default_routes import is_chosen_by_user, other_ipv6_endpoints
from dockeripv6mapper.model import AddressMapping, Container, Network


def check(facts: DoctorFacts) -> Iterator[Finding]:
    """A finding for each running, mapped container that is also on another network with IPv6."""
    for container in sorted(facts.system.containers.values(), key=lambda each: each.name):
        decision = facts.desired.decision(container.id)
        if container.id not in facts.outgoing or not isinstance(decision, AddressMapping):
            continue
        if other_ipv6_endpoints(container, decision, facts.system):
            yield _check_one(facts, container, decision)


def _check_one(facts: DoctorFacts, container: Container, mapping: AddressMapping) -> Finding:
    subject, address = f"container {container.name}", facts.outgoing[container.id]
    others = " ".join(network.name for network in _other_networks(facts, container, mapping))
    if address == mapping.address:
        return ok("default-route", subject, f"sends from its mapped address, and not over {others}")
    if is_chosen_by_user(container, mapping, facts.system):
        where = "over another network" if address is None else f"from {address}"
        return ok("default-route", subject, f"sends {where}, as its user has chosen")
    if address is None:
        return warn(
            "default-route",
            subject,
            f"it is unknown from which address it sends: it is also on {others}",
            why=f"its packets to the outside may not come from {mapping.address}",
            fix=f"# as root on the engine's host, outside of any container:\n{fixes.PROGRAM} doctor",
        )
    return warn(
        "default-route",
        subject,
        f"it sends from {address}, since its IPv6 default route goes over another network: {others}",
        why=f"its packets to the outside do not come from {mapping.address}",
        fix=_fix(facts, container, mapping),
    )


def _other_networks(facts: DoctorFacts, container: Container, mapping: AddressMapping) -> list[Network]:
    """The other networks with IPv6, by name."""
    endpoints = other_ipv6_endpoints(container, mapping, facts.system)
    return sorted(filter(None, map(facts.system.networks.of, endpoints)), key=lambda each: each.name)


def _fix(facts: DoctorFacts, container: Container, mapping: AddressMapping) -> str:
    """Commands: a gateway priority where it helps; else the other networks without IPv6, or a disconnect."""
    mapped = facts.system.networks.get(mapping.network_id)
    others = _other_networks(facts, container, mapping)
    if mapped is not None and _priority_helps(facts, container, mapped, others):
        return fixes.prioritise(facts, mapped, container)
    lines = [
        fixes.recreate(facts, each, fixes.without_ipv6)
        if _can_lose_ipv6(facts, each)
        else "# if the container can do without that network:\n"
        f"docker network disconnect {fixes.operands([each.name, container.name])}"
        for each in others
    ]
    return "\n".join(lines) or "# disconnect it from its other networks"


def _priority_helps(facts: DoctorFacts, container: Container, mapped: Network, others: list[Network]) -> bool:
    """Whether the engine would choose the mapped network if its endpoint had our gateway priority."""
    endpoint = facts.system.networks.endpoint(container, mapped.id, mapped.name)
    if not fixes.knows_gateway_modes(facts) or endpoint is None or endpoint.priority > 0:
        return False
    by_family = facts.engine is not None and facts.engine.routes_by_family
    return by_family or mapped.ipv4 or not any(each.ipv4 for each in others)


def _can_lose_ipv6(facts: DoctorFacts, network: Network) -> bool:
    """Whether a network can be created again without IPv6, and no container is mapped there."""
    return network.id in facts.network_configs and network.ipv4 and not facts.containers_naming(network)
