"""Resolution: the decision on one container by its own labels. `desired` then considers other containers.

Pure. The result is a mapping, a refusal with its reason, or what has to be known first.
"""

from ipaddress import IPv6Address

from dockeripv6mapper.mapping import addressing, labels
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.image_labels import (
    ImageUnknownError,
    counting_labels,
    image_is_gone,
    marked_endpoint,
)
from dockeripv6mapper.mapping.networks import check_connectable, mapped_subnet
from dockeripv6mapper.model import (
    AddressMapping,
    Container,
    Decision,
    ImageWanted,
    MarkWanted,
    Network,
    NetworkUnreadable,
    Reason,
    RefusedError,
)
from dockeripv6mapper.settings import Scheme, Settings


def resolve(container: Container, facts: Facts, settings: Settings) -> Decision:
    """The decision on one container by its own labels."""
    if not any(label.startswith(labels.PREFIX) for label in container.labels):
        return None
    try:
        if image_is_gone(container, facts, settings) and (kept := _mapped_before(container, facts, settings)):
            return kept
        given = counting_labels(container, facts, settings)
        request = labels.request(given)
        return None if request is None else _requested_mapping(container, request, given, facts, settings)
    except RefusedError as error:
        if error.refusal.reason is Reason.NETWORK_NOT_FOUND and not facts.networks.complete:
            return NetworkUnreadable()
        return error.refusal
    except ImageUnknownError:
        return ImageWanted(container.image)


def _requested_mapping(
    container: Container, request: labels.Request, given: labels.Labels, facts: Facts, settings: Settings
) -> AddressMapping:
    """The mapping that labels ask for. Raises `RefusedError`."""
    network = facts.networks.find(request.network)
    _check_allowed(network, settings)
    check_connectable(container)
    identity = labels.identity(container.name, given)
    address = address_of(identity, network, request.suffix, settings.scheme)
    addressing.check_host(address, facts.host)
    default_route = _default_route(given, settings)
    mapping = AddressMapping(network.id, network.name, address, identity, default_route)
    _check_engine(container, mapping, facts)
    return mapping


def _default_route(given: labels.Labels, settings: Settings) -> bool:
    """Whether the IPv6 default route is to go over the mapped network. Raises `RefusedError`."""
    override = labels.default_route_override(given)
    return settings.default_route if override is None else override


def _check_engine(container: Container, mapping: AddressMapping, facts: Facts) -> None:
    """Raise `RefusedError` where the engine refused such an endpoint before. Not where it exists already."""
    if any(mapping.address in (each.address, each.requested) for each in container.endpoints):
        return
    for subject in (mapping.network_id, container.id):
        refusal = facts.engine_refusals.get(subject)
        if refusal is not None and refusal.concerns(mapping.network_id, mapping.address):
            raise RefusedError(refusal.reason, refusal.detail, mapping.address)


def check_accepts_addresses(network: Network, facts: Facts) -> None:
    """Raise `RefusedError` for a network on which the engine refused every requested address."""
    refusal = facts.engine_refusals.get(network.id)
    if refusal is not None:
        raise RefusedError(refusal.reason, refusal.detail)


def _mapped_before(
    container: Container, facts: Facts, settings: Settings
) -> AddressMapping | MarkWanted | None:
    """The mapping that was made before the image was removed; None where there is none.

    It keeps its address, since it is not known any more which of the labels count.
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
    default_route = _default_route(container.labels, settings)
    return AddressMapping(network.id, network.name, endpoint.requested, identity, default_route)


def address_of(identity: str, network: Network, suffix: int | None, default: Scheme) -> IPv6Address:
    """The address of an identity on a network, whose label may name a scheme. Raises `RefusedError`."""
    subnet = mapped_subnet(network)
    if suffix is None:
        scheme = labels.scheme(network.labels, default)
        suffix = addressing.hashed_suffix(identity, subnet, scheme)
    address = addressing.place(suffix, subnet)
    addressing.check_network(address, subnet, network)
    return address


def _check_allowed(network: Network, settings: Settings) -> None:
    if settings.allow_networks and not {network.id, network.name} & settings.allow_networks:
        raise RefusedError(
            Reason.NETWORK_NOT_ALLOWED,
            f"network {network.name} is not among those of --allow-network",
        )
