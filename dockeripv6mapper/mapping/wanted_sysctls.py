"""Sysctls below `net/ipv6`: which values routing and proxying need, and in which order they must be set.

A host that forwards accepts router advertisements only on links whose `accept_ra` is 2. When forwarding is
switched on, the kernel deletes the default routes that it learnt on other links (`rt6_purge_dflt_routers` in
`net/ipv6/route.c`). So `accept_ra` is set first, and on every link that may receive router advertisements,
not only on uplinks: the engine switches forwarding on by itself when its first IPv6 network is created.
"""

from collections.abc import Iterable, Iterator, Mapping

from dockeripv6mapper.actions import SysctlChange
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.networks import is_named_by_engine
from dockeripv6mapper.mapping.uplinks import all_uplinks
from dockeripv6mapper.model import Link
from dockeripv6mapper.settings import ProxyMode, Settings

FORWARDING = "conf/all/forwarding"
DEFAULT = "default"
"""The pseudo-link whose values a new link inherits."""

Wanted = tuple[str, str, str | None]
"""Key, wanted value, and the only value that is replaced by it; None: any value is replaced."""


def accept_ra(link: str) -> str:
    """The key of a link's `accept_ra`: 0 never, 1 unless the host forwards, 2 always."""
    return f"conf/{link}/accept_ra"


def advertised_links(facts: Facts) -> tuple[str, ...]:
    """The links that may receive router advertisements.

    Not the engine's bridges and their ports: a container there could pose as a router.
    """
    bridges = {network.bridge for network in facts.networks}
    engine_links = {
        link.index
        for link in facts.host.links.values()
        if link.name in bridges or is_named_by_engine(link.name)
    }
    return tuple(
        link.name
        for link in facts.host.links.values()
        if link.index not in engine_links and link.master not in engine_links and not link.loopback
    )


def wanted_sysctls(
    advertised: Iterable[str], links: Iterable[Link], *, routing: bool, proxying: bool
) -> tuple[Wanted, ...]:
    """The sysctls that are needed, in the order in which they must be set.

    `advertised`: the links that may receive router advertisements. `links`: the uplinks. `routing`: some
    container is reached through this host.

    - `conf/LINK/forwarding`: the kernel answers for a proxy entry only where its link forwards as well.
    - `conf/all/proxy_ndp`: with it, besides the link's own, the kernel answers unicast reachability probes.
    - `proxy_delay`: the kernel delays its answer by up to this value, and with it the first packet.
    """
    wanted: list[Wanted] = [(accept_ra(name), "2", "1") for name in (*advertised, DEFAULT)]
    proxy_links = tuple(link for link in links if link.neighbour_discovery) if proxying else ()
    if routing:
        wanted.append((FORWARDING, "1", None))
        wanted += [(f"conf/{link.name}/forwarding", "1", None) for link in proxy_links]
    if proxy_links:
        wanted.append(("conf/all/proxy_ndp", "1", None))
    for link in proxy_links:
        wanted.append((f"conf/{link.name}/proxy_ndp", "1", None))
        wanted.append((f"neigh/{link.name}/proxy_delay", "0", None))
    return tuple(wanted)


def plan_sysctls(wanted: Iterable[Wanted], current: Mapping[str, str | None]) -> tuple[SysctlChange, ...]:
    """The changes from the `current` values to the wanted ones, in the order of `wanted`.

    A link's own `forwarding` is left out where the host's is switched on: the kernel sets it on every link
    then (`addrconf_forward_change` in `net/ipv6/addrconf.c`).
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
    """The sysctls that all containers of `facts` need together: see `wanted_sysctls`."""
    return wanted_sysctls(
        advertised_links(facts),
        all_uplinks(facts, settings),
        routing=desired.needs.routing,
        proxying=settings.proxy is not ProxyMode.OFF or desired.needs.proxying,
    )


def sysctl_keys(facts: Facts, settings: Settings) -> tuple[str, ...]:
    """The keys of all sysctls that a plan may need."""
    links = all_uplinks(facts, settings)
    wanted = wanted_sysctls(advertised_links(facts), links, routing=True, proxying=True)
    return tuple(key for key, *_ in wanted)


def routes_lost(facts: Facts) -> Iterator[str]:
    """The links on which the host may have lost its default route to forwarding; none while it has a route.

    They ignore router advertisements since forwarding was switched on, and the routes learnt there are gone.
    """
    if facts.sysctls.get(FORWARDING) == "1" and not facts.host.default_route_links:
        yield from (name for name in advertised_links(facts) if facts.sysctls.get(accept_ra(name)) == "1")
