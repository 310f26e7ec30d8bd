"""Uplinks: the links on which the host answers for containers' addresses. Pure.

Where uplinks are named, by `--uplink` or by a network's label, those; else every link with a default route.
The engine's own bridges are uplinks only where they are named: a default route over one leads to a container,
such as a VPN gateway.

While a named link does not exist, or no link with Neighbour Discovery has a default route, the links that
carry entries of ours are uplinks: a link that is renamed and a route that is away for a moment take no entry
away, nor does a restart of the daemon meanwhile.
"""

from collections.abc import Iterable

from dockeripv6mapper.mapping import labels
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.links import find_link, is_engine_bridge
from dockeripv6mapper.model import Link, Network
from dockeripv6mapper.settings import Settings


def uplinks(facts: Facts, settings: Settings, network: Network | None = None) -> tuple[Link, ...]:
    """The host's uplinks that exist, for all networks or for one without an uplink of its own."""
    named = [find_link(facts.host, name) for name in settings.uplinks]
    found = [link for link in named if link is not None] if named else list(default_links(facts))
    if None in named or not any(link.neighbour_discovery for link in found):
        found += _links_with_entries(facts, network)
    return tuple(dict.fromkeys(found))


def default_links(facts: Facts) -> tuple[Link, ...]:
    """The links with a default route, without the engine's bridges."""
    links = facts.host.links
    found = (links[name] for name in facts.host.default_route_links if name in links)
    return tuple(link for link in found if not is_engine_bridge(link, facts))


def network_uplinks(network: Network, facts: Facts, settings: Settings) -> tuple[Link, ...]:
    """Where a network's addresses are to be proxied: its label's uplink, else every one."""
    if (name := network.labels.get(labels.UPLINK)) is None:
        return uplinks(facts, settings, network)
    link = find_link(facts.host, name)
    return _links_with_entries(facts, network) if link is None else (link,)


def all_uplinks(facts: Facts, settings: Settings) -> tuple[Link, ...]:
    """The uplinks, and those that only a network's label makes one."""
    found = dict.fromkeys(uplinks(facts, settings))
    for network in facts.networks:
        found |= dict.fromkeys(network_uplinks(network, facts, settings))
    return tuple(found)


def named_uplinks(facts: Facts, settings: Settings) -> tuple[Link, ...]:
    """The links that `--uplink` or a network's label names."""
    links = (find_link(facts.host, name) for name in _names(facts, settings))
    return tuple(link for link in links if link is not None)


def missing_uplinks(facts: Facts, settings: Settings) -> tuple[str, ...]:
    """The names in `--uplink` and in networks' labels that no link has."""
    return tuple(name for name in _names(facts, settings) if find_link(facts.host, name) is None)


def why_uplink(link: Link, facts: Facts, settings: Settings) -> str:
    """Why a link is an uplink, in a few words."""
    if any(find_link(facts.host, name) == link for name in settings.uplinks):
        return "named by --uplink"
    if not settings.uplinks and link in default_links(facts):
        routers = sorted(gateway for gateway, name in facts.host.default_routers if name == link.name)
        return f"default route via {', '.join(map(str, routers))}" if routers else "default route"
    for network in facts.networks:
        name = network.labels.get(labels.UPLINK)
        if name is not None and find_link(facts.host, name) == link:
            return f"named by the label of network {labels.plain(network.name)}"
    missing = ", ".join(map(labels.plain, missing_uplinks(facts, settings)))
    why = f"there is no link {missing}" if missing else "no link has a default route"
    return f"it has proxy entries, and {why}"


def _names(facts: Facts, settings: Settings) -> Iterable[str]:
    of_networks = (network.labels.get(labels.UPLINK) for network in facts.networks)
    return dict.fromkeys((*settings.uplinks, *(name for name in of_networks if name is not None)))


def _links_with_entries(facts: Facts, network: Network | None = None) -> tuple[Link, ...]:
    """The links that carry entries of ours; with `network`, those for an address of its subnets."""
    names = {
        entry.uplink
        for entry, ours in facts.host.entries.items()
        if ours and (network is None or any(entry.address in subnet for subnet in network.subnets))
    }
    return tuple(facts.host.links[name] for name in sorted(names) if name in facts.host.links)
