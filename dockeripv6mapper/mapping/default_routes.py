"""Default routes: whether a container's IPv6 default route may go over another network than its mapped one.

Pure. A container on several networks with IPv6 has its default route over one of them, by the engine's rule,
and sends from its address there. Before engine 28 the network whose name sorts first is chosen; since then
gateway priorities count, too. The mapper sets one on endpoints that it makes. What comes of it is read from
the container's own routes (`kernel.container_routes`).
"""

from collections.abc import Mapping
from ipaddress import IPv6Address
from typing import TypeAlias

from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.model import AddressMapping, Container, Endpoint

MAPPER_PRIORITY = 1
"""The gateway priority of endpoints that the mapper makes: the lowest above the default, 0, so that
a user's priority for another network counts more."""

Outgoing: TypeAlias = Mapping[str, IPv6Address | None]
"""By container ID, the source address of its packets to the outside; None: not known."""


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


def is_chosen_by_user(container: Container, mapping: AddressMapping, facts: Facts) -> bool:
    """Whether the user chose another network for the default route: by label, option or gateway priority."""
    mapped = facts.networks.endpoint(container, mapping.network_id, mapping.network)
    own = mapped.priority if mapped is not None else 0
    others = other_ipv6_endpoints(container, mapping, facts)
    return (
        not mapping.default_route
        or own < 0
        or any(each.priority >= max(own, MAPPER_PRIORITY) for each in others)
    )
