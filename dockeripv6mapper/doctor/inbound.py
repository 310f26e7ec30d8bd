"""Inbound: whether what comes from outside gets to a network's containers, and goes back as it should.

Judged by the rules of ip6tables that are there now, for one container that is mapped: what was not looked at
is not said. The daemon asks this, too, when it first maps into a network.
"""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv6Address

from dockeripv6mapper.doctor import fixes
from dockeripv6mapper.doctor.facts import Examined
from dockeripv6mapper.doctor.finding import Finding, fail, ok, warn
from dockeripv6mapper.doctor.netfilter import PING, REWRITING, Packet, Verdict, fate
from dockeripv6mapper.engine_config import NetworkConfig
from dockeripv6mapper.firewall_rules import Chains
from dockeripv6mapper.mapping.networks import NAT
from dockeripv6mapper.mapping.uplinks import network_uplinks
from dockeripv6mapper.model import Container, Network, Opening, RefusedError
from dockeripv6mapper.settings import FirewallMode

CHECK = "inbound"
MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
FORWARD = "FORWARD"
USER_CHAIN = ("filter", "DOCKER-USER")


def check(examined: Examined, network: Network) -> Iterator[Finding]:
    """What becomes of traffic from and to outside, on one network."""
    if network.internal:
        yield fail(
            CHECK,
            f"network {network.name}",
            "the network is internal",
            why="the engine lets nothing in or out",
            fix=fixes.recreate(
                examined,
                network,
                lambda recipe: fixes.advised(replace(recipe, internal=False), examined, network),
            ),
        )
        return
    sample = next(examined.mapped(network), None)
    if sample is None or (unseen := _unseen(examined, network)):
        why_not = "no container is mapped there now" if sample is None else unseen
        if network.gateway_mode == NAT:
            yield _filtered_by_mode(examined, network, f" (no packet's way was looked at: {why_not})")
        else:
            yield ok(CHECK, f"network {network.name}", f"no packet's way was looked at: {why_not}")
        return
    links = [link.name for link in network_uplinks(network, examined.facts, examined.settings)]
    # What decides is mostly the same for every uplink.
    yield from dict.fromkeys(each for link in links for each in _from(examined, network, sample, link))


def _unseen(examined: Examined, network: Network) -> str:
    """Why a packet's way to a network cannot be followed; "" where it can."""
    if network.bridge is None:
        return "it does not lead through a bridge"
    engine = examined.surroundings.engine
    if engine is not None and engine.filters_with_nftables:
        return "the engine filters with nftables, whose rules are not understood here"
    return "" if examined.surroundings.chains else "the rules of ip6tables could not be seen"


def _from(
    examined: Examined, network: Network, sample: tuple[Container, IPv6Address], link: str
) -> Iterator[Finding]:
    """What becomes of packets that come from one uplink to one container, and back."""
    container, address = sample
    packet = Packet(from_link=link, to_link=str(network.bridge), destination=address)
    connection = _fate_inbound(examined, packet)
    if network.gateway_mode == NAT and not connection.passes:
        yield _filtered_by_mode(
            examined, network, f", whose {connection} drops a new connection to {address}"
        )
    else:
        yield _unopened(examined, network, packet, connection)
        yield from _rewritten(examined, network, address, link)
    for opening in _openings(examined, container.id):
        yield _opened(examined, network, packet, opening)


def _filtered_by_mode(examined: Examined, network: Network, seen: str) -> Finding:
    """The default mode of engine 28 and later."""
    return warn(
        "gateway-mode",
        f"network {network.name}",
        f"the network is in the engine's gateway mode nat{seen}",
        why="in this mode nothing comes in from outside but to the ports of the label ipv6.mapper.ports, not "
        "even a ping, and what goes out has the host's address",
        fix=fixes.recreate(examined, network, lambda recipe: fixes.advised(recipe, examined, network)),
    )


def _unopened(examined: Examined, network: Network, packet: Packet, connection: Verdict) -> Finding:
    """What comes in though no label asked for it."""
    subject, to = f"network {network.name}", f"to {packet.destination}"
    ping = _fate_inbound(examined, replace(packet, protocol=PING))
    if not ping.passes:
        return warn(
            CHECK,
            subject,
            f"{ping} drops a ping {to}",
            why="nothing comes in but to the ports of the label ipv6.mapper.ports, and IPv6 needs more of "
            "ICMPv6 than that (RFC 4890)",
            fix=_accept(examined, ping, f"-d {network.subnets[0]} -p {PING}"),
        )
    if connection.passes:
        return ok(
            CHECK, subject, f"every rule that was understood lets a new connection {to} in, on any port"
        )
    return ok(
        CHECK, subject, f"a ping {to} comes in; a new connection needs ipv6.mapper.ports ({connection})"
    )


def _opened(examined: Examined, network: Network, packet: Packet, opening: Opening) -> Finding:
    """What comes in since a label asked for it: it bears our mark."""
    mark = examined.settings.fwmark
    marked = replace(packet, mark=mark, protocol=opening.protocol, port=opening.first)
    verdict = _fate_inbound(examined, marked)
    subject, to = f"network {network.name}", f"to {packet.destination}"
    if verdict.passes:
        return ok(CHECK, subject, f"what ipv6.mapper.ports opens gets through ip6tables {to}")
    return fail(
        CHECK,
        subject,
        f"{verdict} drops what ipv6.mapper.ports opens {to}",
        why="ports that a label opens cannot be reached: the daemon's own rule is missing, or comes later",
        fix=_accept(examined, verdict, f"-m mark --mark {mark:#x}/{mark:#x}"),
    )


def _rewritten(examined: Examined, network: Network, address: IPv6Address, uplink: str) -> Iterator[Finding]:
    """What goes out under another address than the container's."""
    packet = Packet(from_link=str(network.bridge), to_link=uplink, source=address)
    verdicts = (
        replace(fate(chains, "nat", "POSTROUTING", packet), command=command)
        for command, chains in examined.surroundings.chains.items()
    )
    verdict = next((each for each in verdicts if each.target in REWRITING), None)
    if verdict is None:
        return

    def unmasked(recipe: NetworkConfig) -> NetworkConfig:
        if fixes.knows_gateway_modes(examined):
            return fixes.advised(recipe, examined, network)
        return replace(recipe, options={**recipe.options, MASQUERADE: "false"})

    yield warn(
        "masquerade",
        f"network {network.name}",
        f"{verdict} gives what {address} sends the host's address",
        why="others see the host, not the container, wherever the container begins the connection",
        fix=fixes.recreate(examined, network, unmasked),
    )


def _accept(examined: Examined, dropped: Verdict, match: str) -> str:
    """Accept packets ahead of what drops them, and in the chain that an engine's restart leaves alone."""
    chains: Chains = examined.surroundings.chains[dropped.command]
    if dropped.table == "raw":
        chain = "PREROUTING"
    elif dropped.is_rule_of(FORWARD) or USER_CHAIN not in chains:
        chain = FORWARD
    else:
        chain = USER_CHAIN[1]
    return f"{dropped.command} -t {dropped.table} -I {chain} {match} -j ACCEPT"


def _fate_inbound(examined: Examined, packet: Packet) -> Verdict:
    """The first drop on the way in, of any backend; else the last acceptance."""
    verdict = Verdict("ACCEPT")
    for command, chains in examined.surroundings.chains.items():
        for table, chain in (("raw", "PREROUTING"), ("filter", FORWARD)):
            verdict = replace(fate(chains, table, chain, packet), command=command)
            if not verdict.passes:
                return verdict
    return verdict


def _openings(examined: Examined, container_id: str) -> tuple[Opening, ...]:
    if examined.settings.firewall is FirewallMode.OFF:
        return ()
    try:
        return examined.desired.openings(examined.facts, container_id)
    except RefusedError:
        # `containers` says so.
        return ()
