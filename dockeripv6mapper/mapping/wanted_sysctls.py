"""Sysctls below `net/ipv6`: which values routing and proxying need, and in which order they must be set.

A host that forwards accepts router advertisements only on links whose `accept_ra` is 2. When forwarding is
switched on, the kernel deletes the default routes that it learnt on other links (`rt6_purge_dflt_routers` in
`net/ipv6/route.c`). So `accept_ra` is set first, and on every link that may receive router advertisements,
not only on uplinks: the engine switches forwarding on by itself when its first IPv6 network is created.
"""

from collections.abc import Container, Iterable, Iterator, Mapping

from dockeripv6mapper.actions import SysctlChange
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.links import BRIDGE, TAP, VETH, engine_links, guest_links, is_engine_veth
from dockeripv6mapper.mapping.uplinks import all_uplinks, default_links, named_uplinks
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


def advertised_links(facts: Facts, named: Container[Link] = ()) -> tuple[str, ...]:
    """The links that may receive router advertisements. `named`: uplinks that the user named.

    Not those to a guest, which could pose as a router: the engine's bridges and their ports, never; the
    others (see `links`), unless they are named, or the host's default routes lead over them alone.
    """
    engine, guests = engine_links(facts), guest_links(facts.host)
    defaults = default_links(facts)
    to_routers = [link for link in defaults if link.index not in guests] or defaults
    return tuple(
        link.name
        for link in facts.host.links.values()
        if not link.loopback
        and link.index not in engine
        and (link.index not in guests or link in to_routers or link in named)
    )


def closed_links(facts: Facts, advertised: Container[str]) -> tuple[str, ...]:
    """The links on which router advertisements are to be ignored, since they lead to guests.

    Only those that appeared since the daemon started: they inherited the value from `conf/default`, where the
    daemon sets it. The engine itself sees to its bridges, and attaches each `veth` of its own to one at once.
    """
    guests, engine = guest_links(facts.host), engine_links(facts)
    return tuple(
        link.name
        for link in facts.host.links.values()
        if link.index in facts.appeared
        and link.index in guests - engine
        and (link.kind in (BRIDGE, TAP) or (link.kind == VETH and not is_engine_veth(link.name)))
        and link.master is None
        and link.name not in advertised
    )


def wanted_sysctls(
    advertised: Iterable[str],
    links: Iterable[Link],
    *,
    routing: bool,
    proxying: bool,
    closed: Iterable[str] = (),
) -> tuple[Wanted, ...]:
    """The sysctls that are needed, in the order in which they must be set.

    `advertised`: the links that may receive router advertisements. `links`: the uplinks. `routing`: some
    container is reached through this host. `closed`: links on which advertisements are to be ignored.

    - `conf/LINK/forwarding`: the kernel answers for a proxy entry only where its link forwards as well.
    - `conf/all/proxy_ndp`: with it, besides the link's own, the kernel answers unicast reachability probes.
    - `proxy_delay`: the kernel delays its answer by up to this value, and with it the first packet.
    """
    wanted: list[Wanted] = [(accept_ra(name), "1", "2") for name in closed]
    wanted += [(accept_ra(name), "2", "1") for name in (*advertised, DEFAULT)]
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
    proxying = settings.proxy is not ProxyMode.OFF or desired.needs.proxying
    return _wanted(facts, settings, routing=desired.needs.routing, proxying=proxying)


def sysctl_keys(facts: Facts, settings: Settings) -> tuple[str, ...]:
    """The keys of all sysctls that a plan may need."""
    return tuple(key for key, *_ in _wanted(facts, settings, routing=True, proxying=True))


def _wanted(facts: Facts, settings: Settings, *, routing: bool, proxying: bool) -> tuple[Wanted, ...]:
    advertised = advertised_links(facts, named_uplinks(facts, settings))
    return wanted_sysctls(
        advertised,
        all_uplinks(facts, settings),
        routing=routing,
        proxying=proxying,
        closed=closed_links(facts, advertised) if facts.appeared else (),
    )


def routes_lost(facts: Facts) -> Iterator[str]:
    """The links on which the host may have lost its default route to forwarding; none while it has a route.

    They ignore router advertisements since forwarding was switched on, and the routes learnt there are gone.
    """
    if facts.sysctls.get(FORWARDING) == "1" and not default_links(facts):
        yield from (name for name in advertised_links(facts) if facts.sysctls.get(accept_ra(name)) == "1")
