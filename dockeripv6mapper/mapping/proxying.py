"""Proxying: for which of a container's addresses the host answers, by an NDP proxy entry on an uplink.

Pure. An address of a container has no proxy entry where one of these holds, in the order of the checks:

1. The container does not run.
2. The engine has allocated no address to the endpoint, or the endpoint's network is not known.
3. The network needs no proxy: it is internal, or its containers answer on the uplink themselves.
4. The proxy mode is `off`: by `--proxy off`, or because the container's label `ipv6.mapper.proxy` is `false`
   or invalid, or because the label is set and the labels of the image are not known yet.
5. The proxy mode is `mapped`, and the container is not mapped to this address.
6. The address is link-local, one of the host's own, or a next hop of the host's routes.
7. No link is an uplink for the network: no link has a default route, or the link that `--uplink` or the
   network's label names does not exist (see `uplinks`).
8. The uplink has no Neighbour Discovery, as a tunnel: its other end sends no solicitations.
9. The uplink is the network's own bridge: the containers answer there themselves.
10. The image was removed, so it is not known whether the proxy label is the image's own. Entries of ours
    stay, and none is added.

Three more reasons are outside this module. While an action on the container runs, or nothing can be decided
on it, its entries stay as they are (`Desired.on_hold`). Another program's entry serves as well, and ours is
not added (`planner.plan_proxies`). With `--firewall closed`, an entry is added after the firewall has closed
the address (`controller.host`).
"""

from ipaddress import IPv6Address

from dockeripv6mapper.mapping import labels
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.image_labels import ImageUnknownError, counting_labels, image_is_gone
from dockeripv6mapper.mapping.uplinks import network_uplinks
from dockeripv6mapper.model import (
    AddressMapping,
    Container,
    Decision,
    Host,
    Link,
    Network,
    ProxyEntry,
    RefusedError,
)
from dockeripv6mapper.settings import ProxyMode, Settings


def proxy_entries(
    container: Container, decision: Decision, facts: Facts, settings: Settings
) -> frozenset[ProxyEntry]:
    """The proxy entries that a container needs. `decision`: the decision on it, the others considered."""
    if not container.running:
        return frozenset()
    mode = effective_mode(container, facts, settings)
    mapped = decision.address if isinstance(decision, AddressMapping) else None
    entries: set[ProxyEntry] = set()
    for endpoint in container.endpoints:
        network, address = facts.networks.of(endpoint), endpoint.address
        if network is None or address is None or not needs_proxy(network):
            continue
        if mode is ProxyMode.OFF or (mode is ProxyMode.MAPPED and address != mapped):
            continue
        if not _may_be_proxied(address, facts.host):
            continue
        uplinks = network_uplinks(network, facts, settings)
        entries.update(ProxyEntry(address, link.name) for link in uplinks if _is_needed_on(link, network))
    if mode is None:
        return frozenset(entry for entry in entries if facts.host.entries.get(entry))
    return frozenset(entries)


def _is_needed_on(link: Link, network: Network) -> bool:
    return link.neighbour_discovery and link.name != network.bridge


def needs_proxy(network: Network) -> bool:
    """Whether the network's addresses are routed by the host, so that the uplink needs proxy entries.

    A bridge and ipvlan in its layer 3 modes are routed. Containers on macvlan and ipvlan L2 are on the
    uplink's link and answer Neighbour Discovery themselves.
    """
    if network.driver == "bridge":
        return not network.internal
    return network.driver == "ipvlan" and network.ipvlan_mode in ("l3", "l3s")


def effective_mode(container: Container, facts: Facts, settings: Settings) -> ProxyMode | None:
    """The proxy mode for one container: the daemon's, which the container's own label may override.

    OFF where the label is invalid, or the image's labels are not known yet. None where the label would change
    the mode, but the image was removed and the label may be its own: then existing proxy entries stay, and
    none is added.
    """
    if labels.PROXY not in container.labels:
        return settings.proxy
    if image_is_gone(container, facts, settings):
        overridden = _overridden_mode(container.labels, settings)
        return overridden if overridden is settings.proxy else None
    try:
        return _overridden_mode(counting_labels(container, facts, settings), settings)
    except (RefusedError, ImageUnknownError):
        return ProxyMode.OFF


def _overridden_mode(given: labels.Labels, settings: Settings) -> ProxyMode:
    """The daemon's proxy mode, which the label in `given` may override. OFF where the label is invalid.

    With `true`, a container that is not to be mapped is proxied at all its addresses.
    """
    try:
        override = labels.proxy_override(given)
    except RefusedError:
        return ProxyMode.OFF
    if override is None or (override and settings.proxy is ProxyMode.ALL):
        return settings.proxy
    if not override:
        return ProxyMode.OFF
    return ProxyMode.MAPPED if labels.NETWORK in given else ProxyMode.ALL


def _may_be_proxied(address: IPv6Address, host: Host) -> bool:
    """False for the host's and its routers' addresses, even if a container has one, and for link-local."""
    return not (address.is_link_local or address in host.addresses or address in host.next_hops)
