"""Inbound: whether what comes from outside gets to a network's containers, and goes back as it should.

Judged by the rules of ip6tables that are there now, for one container that is mapped: what was not looked at
is not said. The daemon asks this, too, when it first maps into a network.
"""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv6Address

from dockeripv6mapper.checks import fixes
from dockeripv6mapper.checks.examined import Examined
from dockeripv6mapper.checks.finding import Finding, fail, ok, warn
from dockeripv6mapper.checks.traversal import Packet, Verdict, fate
from dockeripv6mapper.mapping.desired import network_uplinks
from dockeripv6mapper.model import Network, RefusedError
from dockeripv6mapper.settings import FirewallMode
from dockeripv6mapper.surroundings import Chains, Recipe

CHECK = "inbound"
MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
FORWARD = "FORWARD"
USER_CHAIN = ("filter", "DOCKER-USER")


def check(examined: Examined, network: Network) -> Iterator[Finding]:
    """What becomes of traffic from and to outside, on one network."""
    subject, recipe = f"network {network.name}", examined.surroundings.recipes.get(network.id)
    if recipe is None:
        return
    if network.internal:
        yield fail(
            CHECK,
            subject,
            "the network is internal",
            why="the engine lets nothing in or out",
            fix=fixes.recreate(
                examined, network, fixes.advised(replace(recipe, internal=False), examined, network)
            ),
        )
        return
    sample = next(examined.mapped(network), None)
    if network.gateway_mode == "nat":
        yield _filtered_by_mode(examined, network, recipe, sample[1] if sample else None)
    if sample is None or network.bridge is None or not examined.surroundings.chains:
        if network.gateway_mode != "nat":
            yield ok(CHECK, subject, "no container is mapped there now, so no packet's way was looked at")
        return
    container, address = sample
    for link in network_uplinks(network, examined.facts, examined.settings):
        packet = Packet(from_link=link.name, to_link=network.bridge, destination=address)
        if network.gateway_mode != "nat":
            yield _unopened(examined, network, packet)
        if _opens(examined, container.id):
            yield from _opened(examined, network, packet)
        yield from _masqueraded(examined, network, recipe, address, link.name)


def _filtered_by_mode(
    examined: Examined, network: Network, recipe: Recipe, address: IPv6Address | None
) -> Finding:
    """The default mode of engine 28 and later."""
    seen = ""
    if address is not None and examined.surroundings.chains and network.bridge:
        packet = Packet(from_link="", to_link=network.bridge, destination=address)
        verdict = _fate_inbound(examined.surroundings.chains, packet)
        seen = "" if verdict.passes else f", whose {verdict} drops a new connection to {address}"
    return warn(
        "gateway-mode",
        f"network {network.name}",
        f"the network is in the engine's gateway mode nat{seen}",
        why="nothing comes in from outside but to the ports of the label ipv6.mapper.ports, not even a ping, "
        "and what goes out has the host's address",
        fix=fixes.recreate(examined, network, fixes.advised(recipe, examined, network)),
    )


def _unopened(examined: Examined, network: Network, packet: Packet) -> Finding:
    """What comes in though no label asked for it."""
    chains = examined.surroundings.chains
    subject = f"network {network.name}"
    to = f"to {packet.destination}"
    ping = _fate_inbound(chains, replace(packet, protocol="ipv6-icmp"))
    if not ping.passes:
        return warn(
            CHECK,
            subject,
            f"{ping} drops a ping {to}",
            why="nothing comes in but to the ports of the label ipv6.mapper.ports, and IPv6 needs more of "
            "ICMPv6 than that (RFC 4890)",
            fix=_accept(chains, ping, f"-d {network.subnets[0]} -p ipv6-icmp"),
        )
    connection = _fate_inbound(chains, packet)
    if connection.passes:
        return ok(
            CHECK, subject, f"every rule that was understood lets a new connection {to} in, on any port"
        )
    return ok(
        CHECK, subject, f"a ping {to} comes in; a new connection needs ipv6.mapper.ports ({connection})"
    )


def _opened(examined: Examined, network: Network, packet: Packet) -> Iterator[Finding]:
    """What comes in since a label asked for it: it bears our mark."""
    mark = examined.settings.fwmark
    chains = examined.surroundings.chains
    verdict = _fate_inbound(chains, replace(packet, mark=mark))
    subject, to = f"network {network.name}", f"to {packet.destination}"
    if verdict.passes:
        yield ok(CHECK, subject, f"what ipv6.mapper.ports opens gets through {to}")
        return
    bit = f"{mark:#x}/{mark:#x}"
    yield fail(
        CHECK,
        subject,
        f"{verdict} drops what ipv6.mapper.ports opens {to}",
        why="ports that a label opens cannot be reached: the daemon's own rule is missing, or comes later",
        fix=_accept(chains, verdict, f"-m mark --mark {bit}"),
    )


def _masqueraded(
    examined: Examined, network: Network, recipe: Recipe, address: IPv6Address, uplink: str
) -> Iterator[Finding]:
    """What goes out under another address than the container's."""
    if network.gateway_mode == "nat":
        return
    packet = Packet(from_link=str(network.bridge), to_link=uplink, source=address)
    verdict = next(
        (
            verdict
            for chains in examined.surroundings.chains
            if (verdict := fate(chains, "nat", "POSTROUTING", packet)).target == "MASQUERADE"
        ),
        None,
    )
    if verdict is None:
        return
    if fixes.knows_gateway_modes(examined):
        changed = fixes.advised(recipe, examined, network)
    else:
        changed = replace(recipe, options={**recipe.options, MASQUERADE: "false"})
    yield warn(
        "masquerade",
        f"network {network.name}",
        f"{verdict} gives what {address} sends the host's address",
        why="others see the host, not the container, wherever the container begins the connection",
        fix=fixes.recreate(examined, network, changed),
    )


def _accept(backends: tuple[Chains, ...], dropped: Verdict, match: str) -> str:
    """Accept packets ahead of what drops them, and in the chain that an engine's restart leaves alone."""
    if dropped.table == "raw":
        chain = "PREROUTING"
    elif dropped.is_rule_of(FORWARD) or not any(USER_CHAIN in each for each in backends):
        chain = FORWARD
    else:
        chain = USER_CHAIN[1]
    return f"ip6tables -t {dropped.table} -I {chain} {match} -j ACCEPT"


def _fate_inbound(backends: tuple[Chains, ...], packet: Packet) -> Verdict:
    """The first drop on the way in, of any backend; else the last acceptance."""
    verdict = Verdict("ACCEPT")
    for chains in backends:
        for table, chain in (("raw", "PREROUTING"), ("filter", FORWARD)):
            verdict = fate(chains, table, chain, packet)
            if not verdict.passes:
                return verdict
    return verdict


def _opens(examined: Examined, container_id: str) -> bool:
    if examined.settings.firewall is FirewallMode.OFF:
        return False
    try:
        return bool(examined.desired.openings(examined.facts, container_id))
    except RefusedError:
        return False
