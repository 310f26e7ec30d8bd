"""Default routes: whether a container's IPv6 default route may go over another network than its mapped one.

Pure. A container on several networks with IPv6 has its default route over one of them, by the engine's rule,
and sends from its address there. Before engine 28 the network whose name sorts first is chosen; since then
gateway priorities count, too. The mapper sets one on endpoints that it makes. What comes of it is read from
the container's own routes (`kernel.container_routes`).

A network that has IPv4, too, gives the container its IPv4 default route as well, and with it its published
IPv4 ports. Since engine 29.4.2 each family's route goes over the network with the highest priority that has
this family (moby `daemon/libnetwork/default_gateway.go`). There an endpoint of the mapper gets a priority
below all others where no other network has IPv6: the IPv6 route goes over it, and the IPv4 one stays.
"""

from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address
from typing import TypeAlias

from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.model import AddressMapping, Container, Endpoint, Network

MAPPER_PRIORITY = 1
"""The gateway priority of endpoints that the mapper makes: the lowest above the default, 0, so that
a user's priority for another network counts more."""
IPV6_ONLY_PRIORITY = -1
"""The one that leaves the IPv4 default route where it is: the highest below the default."""

Outgoing: TypeAlias = Mapping[str, IPv6Address | None]
"""By container ID, the source address of its packets to the outside; None: not known."""


def gateway_priority(container: Container, mapping: AddressMapping, facts: Facts) -> int:
    """The gateway priority of an endpoint that the mapper makes; 0: none is set.

    The create event does not show a container's networks. Until its inspection, every network of the engine
    counts as one of them.
    """
    if not mapping.default_route:
        return 0
    mapped = facts.networks.get(mapping.network_id)
    if not facts.routes_by_family or mapped is None or not mapped.ipv4:
        return MAPPER_PRIORITY
    others: Iterable[Network | None] = facts.networks
    if container.network_mode is not None:
        others = [facts.networks.of(each) for each in container.endpoints]
    known = [each for each in others if each is not None and each.id != mapped.id and not each.internal]
    ipv6_elsewhere = None in others or any(each.ipv6 and each.subnets for each in known)
    ipv4_elsewhere = any(each.ipv4 for each in known)
    return IPV6_ONLY_PRIORITY if ipv4_elsewhere and not ipv6_elsewhere else MAPPER_PRIORITY


def other_ipv6_endpoints(container: Container, mapping: AddressMapping, facts: Facts) -> list[Endpoint]:
    """The endpoints on other networks that can carry an IPv6 default route."""
    mapped = facts.networks.endpoint(container, mapping.network_id, mapping.network)
    return [each for each in container.endpoints if each is not mapped and _can_route(each, facts)]


def _can_route(endpoint: Endpoint, facts: Facts) -> bool:
    """Whether the engine may choose an endpoint for the IPv6 default route."""
    network = facts.networks.of(endpoint)
    if network is None:
        # It is gone, or could not be read: only an address is known.
        return endpoint.address is not None
    return network.ipv6 and bool(network.subnets) and not network.internal


def keeps_ipv4_route(container: Container, network: Network, facts: Facts) -> bool:
    """Whether a container's IPv4 default route goes over another network than `network`, by priority."""
    own = facts.networks.endpoint(container, network.id, network.name)
    if not facts.routes_by_family or own is None:
        return False
    others = ((each, facts.networks.of(each)) for each in container.endpoints if each is not own)
    return any(
        each.priority > own.priority and other is not None and other.ipv4 and not other.internal
        for each, other in others
    )


def is_chosen_by_user(container: Container, mapping: AddressMapping, facts: Facts) -> bool:
    """Whether the user chose another network for the default route: by label, option or gateway priority."""
    mapped = facts.networks.endpoint(container, mapping.network_id, mapping.network)
    own = mapped.priority if mapped is not None else 0
    others = other_ipv6_endpoints(container, mapping, facts)
    below = own < 0 and not (mapped is not None and mapped.ours and own == IPV6_ONLY_PRIORITY)
    return (
        not mapping.default_route
        or below
        or any(each.priority >= max(own, MAPPER_PRIORITY) for each in others)
    )


def needs_mark(container: Container, mapping: AddressMapping, facts: Facts) -> bool:
    """Whether the endpoint must be inspected, since a list shows no marks.

    With the priority -1, only its mark shows whether the mapper or the user set that.
    """
    mapped = facts.networks.endpoint(container, mapping.network_id, mapping.network)
    unclear = mapped is not None and mapped.ours is None and mapped.priority == IPV6_ONLY_PRIORITY
    return unclear and bool(other_ipv6_endpoints(container, mapping, facts))
