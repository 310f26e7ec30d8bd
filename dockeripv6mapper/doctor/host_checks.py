"""Host: checks capabilities, the network namespace, uplinks, sysctls, and whether it forwards for others."""

from collections.abc import Iterator

from dockeripv6mapper.actions import SysctlChange
from dockeripv6mapper.doctor.facts import DoctorFacts
from dockeripv6mapper.doctor.finding import Finding, Level, fail, ok, warn
from dockeripv6mapper.doctor.fixes import PROGRAM, quoted, with_options
from dockeripv6mapper.firewall_rules import leads_to_engine
from dockeripv6mapper.mapping.links import find_link
from dockeripv6mapper.mapping.networks import has_default_bridge_name
from dockeripv6mapper.mapping.uplinks import all_uplinks, default_links, why_uplink
from dockeripv6mapper.mapping.wanted_sysctls import (
    FORWARDING,
    accept_ra,
    plan_sysctls,
    routes_lost,
    sysctls_for,
)

SUBJECT = "host"
CLOSES_FORWARD = (1, 46)
"""API of engine 27: since then, an engine that enables forwarding also sets FORWARD's policy to DROP."""

CAPABILITIES = {
    "CAP_NET_ADMIN": "proxy entries, sysctls and the firewall cannot be changed without it",
    "CAP_NET_RAW": "nothing can be announced to the router without it",
}

SYSCTLS = {
    "accept_ra": "a host that forwards then ignores router advertisements and loses its default route",
    "forwarding": "no packet gets from the uplink to a container, and the kernel answers for no address",
    "proxy_ndp": "the kernel answers for no container's address on this link",
    "proxy_delay": "the first packet to an address waits for up to this many hundredths of a second",
}
"""Why a sysctl matters if its value is wrong, by the last part of its name."""
ALL_PROXY_NDP = "a router's unicast probe stays unanswered, so that its neighbour entries go stale"
WARN_ONLY = ("proxy_delay", "all/proxy_ndp")
"""Ends of the names of sysctls without which addresses can still be reached, but more slowly."""


def check(facts: DoctorFacts) -> Iterator[Finding]:
    """Findings on the host, whatever its networks and containers."""
    yield from _capabilities(facts)
    yield from _namespace(facts)
    yield from _uplinks(facts)
    yield from _sysctls(facts)
    yield from _forwarding(facts)


def _capabilities(facts: DoctorFacts) -> Iterator[Finding]:
    missing = [each for each in CAPABILITIES if each not in facts.capabilities]
    for name in missing:
        yield Finding(
            "capability",
            SUBJECT,
            Level.FAIL if name == "CAP_NET_ADMIN" else Level.WARN,
            f"this process does not have {name}",
            CAPABILITIES[name],
            f"# as root; in a container, with --cap-add {name.removeprefix('CAP_')}:\n{PROGRAM} doctor",
        )
    if not missing:
        yield ok("capability", SUBJECT, f"this process has {' and '.join(CAPABILITIES)}")


def _namespace(facts: DoctorFacts) -> Iterator[Finding]:
    bridges = [network.bridge for network in facts.system.networks if network.bridge]
    # Any namespace may have a docker0. A bridge named after a network's ID is this engine's alone.
    bridges = [bridge for bridge in bridges if has_default_bridge_name(bridge)] or bridges
    if not bridges:
        return
    if here := sorted(bridge for bridge in bridges if bridge in facts.system.host.links):
        yield ok("namespace", SUBJECT, f"the engine's {', '.join(here)} are in this network namespace")
        return
    engine = facts.engine
    pid = engine.pid if engine and engine.pid else '"$(pgrep -o dockerd)"'
    yield fail(
        "namespace",
        SUBJECT,
        f"none of the engine's bridges ({', '.join(sorted(bridges))}) is in this network namespace",
        why="the containers' packets do not pass through this namespace: settings made here have no effect",
        fix=f"# a container needs --network host; a shell, the engine's own namespace:\n"
        f"nsenter --net=/proc/{pid}/ns/net {PROGRAM} doctor",
    )


def _uplinks(facts: DoctorFacts) -> Iterator[Finding]:
    system, settings = facts.system, facts.settings
    for name in settings.uplinks:
        if find_link(system.host, name) is None:
            yield _uplink_failure(facts, f"uplink {name}", f"there is no link {name}")
    lost = list(routes_lost(system))
    if lost and not settings.uplinks:
        yield _route_lost(lost)
    elif not settings.uplinks and not default_links(system):
        yield _uplink_failure(facts, SUBJECT, "no link has an IPv6 default route")
    for link in all_uplinks(system, settings):
        does = "does" if link.neighbour_discovery else "does no"
        why = why_uplink(link, system, settings)
        yield ok("uplink", f"uplink {link.name}", f"{link.name} {does} neighbour discovery ({why})")


def _route_lost(links: list[str]) -> Finding:
    """The finding on links that lost a default route because of their `accept_ra`."""
    names = ", ".join(links)
    changes = [SysctlChange(accept_ra(name), "1", "2") for name in links]
    return fail(
        "uplink",
        SUBJECT,
        f"no link has a default route: forwarding was switched on while {names} had accept_ra=1",
        why="the kernel then deletes default routes that router advertisements made; after the fix, the next "
        "advertisement brings them back",
        fix="\n".join(f"sysctl -w {quoted(f'{each.name}={each.new}')}" for each in changes),
    )


def _forwarding(facts: DoctorFacts) -> Iterator[Finding]:
    """Whether this host routes for other hosts.

    An engine prevents it only if it was the engine that enabled forwarding.
    """
    engine = facts.engine
    if engine is None or engine.api < CLOSES_FORWARD or facts.system.sysctls.get(FORWARDING) != "1":
        return
    forward = {command: chains.get(("filter", "FORWARD")) for command, chains in facts.chains.items()}
    dropping = bool(facts.dropping_chains)
    dropping |= any(chain and chain.policy == "DROP" for chain in forward.values())
    engine_backends = [command for command, chain in forward.items() if chain and leads_to_engine(chain)]
    if dropping:
        yield ok("forwarding", SUBJECT, "forwarded packets are dropped unless a rule accepts them")
    elif engine_backends:
        yield warn(
            "forwarding",
            SUBJECT,
            "the host forwards IPv6 packets between any of its links",
            why="other hosts can use it as a router; the engine does not set FORWARD's policy if forwarding "
            "was on before it started",
            fix=f"{engine_backends[0]} -P FORWARD DROP",
        )


def _uplink_failure(facts: DoctorFacts, subject: str, found: str) -> Finding:
    """The finding on a missing uplink: proposes another link."""
    host = facts.system.host
    bridges = {network.bridge for network in facts.system.networks}
    with_prefix = sorted({link for prefix, link in host.on_link if not prefix.is_loopback} - bridges)
    others = sorted(
        each.name for each in host.links.values() if each.neighbour_discovery and each.name not in bridges
    )
    if with_prefix:
        fix = with_options(f"--uplink {quoted(with_prefix[0])}")
    else:
        fix = "# no link has an IPv6 prefix; by hand: ip -6 route add default via ROUTER dev LINK"
        if others:
            accept = SysctlChange(f"conf/{others[0]}/accept_ra", None, "2")
            fix += f"\nsysctl -w {quoted(f'{accept.name}={accept.new}')}"
    why = "nothing answers for the containers' addresses"
    return fail("uplink", subject, found, why=why, fix=fix)


def _sysctls(facts: DoctorFacts) -> Iterator[Finding]:
    wanted = sysctls_for(facts.desired, facts.system, facts.settings)
    changes = plan_sysctls(wanted, facts.system.sysctls)
    for change in changes:
        last = change.key.rpartition("/")[2]
        warn_only = any(change.key.endswith(each) for each in WARN_ONLY)
        yield (warn if warn_only else fail)(
            "sysctl",
            SUBJECT,
            f"{change.name} {'cannot be read' if change.old is None else f'is {change.old}'}, "
            f"and has to be {change.new}",
            why=ALL_PROXY_NDP if change.key.endswith("all/proxy_ndp") else SYSCTLS[last],
            fix=f"sysctl -w {quoted(f'{change.name}={change.new}')}",
        )
    if wanted and not changes:
        names = ", ".join(dict.fromkeys(key.rpartition("/")[2] for key, *_ in wanted))
        yield ok("sysctl", SUBJECT, f"{names} are as they have to be")
