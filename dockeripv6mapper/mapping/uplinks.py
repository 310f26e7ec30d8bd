"""Uplinks: the links on which the host answers for containers' addresses. Pure."""

from dockeripv6mapper.mapping import labels
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.model import Host, Link, Network
from dockeripv6mapper.settings import Settings


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
