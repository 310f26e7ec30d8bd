"""Sysctls below `net/ipv6`: which values routing and proxying need, and in which order they must be set.

A host that forwards takes router advertisements only on links whose `accept_ra` is 2, and the kernel deletes
the default routes of the others at the moment when forwarding is switched on (`rt6_purge_dflt_routers` in
`net/ipv6/route.c`). So `accept_ra` comes first, on every link and not on uplinks alone: the engine switches
forwarding on by itself when its first IPv6 network is made.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Mapping as MappingOf

from dockeripv6mapper.actions import SysctlChange
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.networks import is_named_by_engine
from dockeripv6mapper.mapping.uplinks import all_uplinks
from dockeripv6mapper.model import Link
from dockeripv6mapper.settings import ProxyMode, Settings

FORWARDING = "conf/all/forwarding"
DEFAULT = "default"
"""The link whose values a new link begins with."""

Wanted = tuple[str, str, str | None]
"""Key, value, and the one value from which it is changed; None: from any."""


def accept_ra(link: str) -> str:
    """The key that says whether a link takes router advertisements: 0 no, 1 unless forwarding, 2 always."""
    return f"conf/{link}/accept_ra"


def advertised_links(facts: Facts) -> tuple[str, ...]:
    """The links on which a router may advertise: not those of the engine, whose containers would be one."""
    bridges = {network.bridge for network in facts.networks}
    engines = {
        link.index
        for link in facts.host.links.values()
        if link.name in bridges or is_named_by_engine(link.name)
    }
    return tuple(
        link.name
        for link in facts.host.links.values()
        if link.index not in engines and link.master not in engines and not link.loopback
    )


def wanted_sysctls(
    advertised: Iterable[str], links: Iterable[Link], *, routing: bool, proxying: bool
) -> tuple[Wanted, ...]:
    """The sysctls that are needed, in the order in which they must be set.

    `advertised`: the links on which a router may advertise. `links`: the uplinks. `routing`: some container
    is reached through this host. `conf/all/proxy_ndp` besides the link's own makes the kernel answer unicast
    reachability probes, and `proxy_delay` is what the first packet waits for. The kernel answers for a proxy
    entry only where its link forwards, too.
    """
    wanted: list[Wanted] = [(accept_ra(name), "2", "1") for name in (*advertised, DEFAULT)]
    asking = tuple(link for link in links if link.neighbour_discovery) if proxying else ()
    if routing:
        wanted.append((FORWARDING, "1", None))
        wanted += [(f"conf/{link.name}/forwarding", "1", None) for link in asking]
    if asking:
        wanted.append(("conf/all/proxy_ndp", "1", None))
    for link in asking:
        wanted.append((f"conf/{link.name}/proxy_ndp", "1", None))
        wanted.append((f"neigh/{link.name}/proxy_delay", "0", None))
    return tuple(wanted)


def plan_sysctls(wanted: Iterable[Wanted], current: MappingOf[str, str | None]) -> tuple[SysctlChange, ...]:
    """The changes from the values of now, in the order of `wanted`.

    Where forwarding is switched on for the host, the kernel switches it on for each link
    (`addrconf_forward_change` in `net/ipv6/addrconf.c`).
    """
    changes = [
        SysctlChange(key, current.get(key), value)
        for key, value, only_from in wanted
        if current.get(key) != value and (only_from is None or current.get(key) == only_from)
    ]
    if any(change.key == FORWARDING for change in changes):
        changes = [each for each in changes if each.key == FORWARDING or not each.key.endswith("/forwarding")]
    return tuple(changes)


def sysctls_for(desired: Desired, facts: Facts, settings: Settings) -> tuple[Wanted, ...]:
    """The sysctls that are wanted for all of `facts`: see `wanted_sysctls`."""
    return wanted_sysctls(
        advertised_links(facts),
        all_uplinks(facts, settings),
        routing=desired.needs.routing,
        proxying=settings.proxy is not ProxyMode.OFF or bool(desired.needs.entries),
    )


def sysctl_keys(facts: Facts, settings: Settings) -> tuple[str, ...]:
    """All keys that a plan may depend upon."""
    links = all_uplinks(facts, settings)
    wanted = wanted_sysctls(advertised_links(facts), links, routing=True, proxying=True)
    return tuple(key for key, *_ in wanted)


def routes_lost(facts: Facts) -> Iterator[str]:
    """The links that take no router advertisements since the host forwards, where there is no default route.

    What was learnt from an advertisement there, a default route among it, is gone.
    """
    if facts.sysctls.get(FORWARDING) == "1" and not facts.host.default_route_links:
        yield from (name for name in advertised_links(facts) if facts.sysctls.get(accept_ra(name)) == "1")
