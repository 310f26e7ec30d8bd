"""Inbound: whether what comes from outside gets to a network's containers, and goes back as it should.

Judged by the rules of ip6tables that are there now, for one container that is mapped: what was not looked at
is not said. The daemon asks this, too, when it first maps into a network.
"""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv6Address

from dockeripv6mapper.doctor import fixes
from dockeripv6mapper.doctor.facts import DoctorFacts
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


def check(facts: DoctorFacts, network: Network) -> Iterator[Finding]:
    """What becomes of traffic from and to outside, on one network."""
    if network.internal:
        yield fail(
            CHECK,
            f"network {network.name}",
            "the network is internal",
            why="the engine lets nothing in or out",
            fix=fixes.recreate(
                facts,
                network,
                lambda config: fixes.advised(replace(config, internal=False), facts, network),
            ),
        )
        return
    sample = next(facts.mapped_containers(network), None)
    if sample is None or (unseen := _unseen(facts, network)):
        why_not = "no container is mapped there now" if sample is None else unseen
        if network.gateway_mode == NAT:
            yield _filtered_by_mode(facts, network, f" (no packet's way was looked at: {why_not})")
        else:
            yield ok(CHECK, f"network {network.name}", f"no packet's way was looked at: {why_not}")
        return
    links = [link.name for link in network_uplinks(network, facts.system, facts.settings)]
    # What decides is mostly the same for every uplink.
    yield from dict.fromkeys(each for link in links for each in _from(facts, network, sample, link))


def _unseen(facts: DoctorFacts, network: Network) -> str:
    """Why a packet's way to a network cannot be followed; "" where it can."""
    if network.bridge is None:
        return "it does not lead through a bridge"
    engine = facts.engine
    if engine is not None and engine.filters_with_nftables:
        return "the engine filters with nftables, whose rules are not understood here"
    return "" if facts.chains else "the rules of ip6tables could not be seen"


def _from(
    facts: DoctorFacts, network: Network, sample: tuple[Container, IPv6Address], link: str
) -> Iterator[Finding]:
    """What becomes of packets that come from one uplink to one container, and back."""
    container, address = sample
    packet = Packet(from_link=link, to_link=str(network.bridge), destination=address)
    connection = _fate_inbound(facts, packet)
    if network.gateway_mode == NAT and not connection.passes:
        yield _filtered_by_mode(facts, network, f", whose {connection} drops a new connection to {address}")
    else:
        yield _unopened(facts, network, packet, connection)
        yield from _rewritten(facts, network, address, link)
    for opening in _openings(facts, container.id):
        yield _opened(facts, network, packet, opening)


def _filtered_by_mode(facts: DoctorFacts, network: Network, seen: str) -> Finding:
    """The default mode of engine 28 and later."""
    return warn(
        "gateway-mode",
        f"network {network.name}",
        f"the network is in the engine's gateway mode nat{seen}",
        why="in this mode nothing comes in from outside but to the ports of the label ipv6.mapper.ports, not "
        "even a ping, and what goes out has the host's address",
        fix=fixes.recreate(facts, network, lambda config: fixes.advised(config, facts, network)),
    )


def _unopened(facts: DoctorFacts, network: Network, packet: Packet, connection: Verdict) -> Finding:
    """What comes in though no label asked for it."""
    subject, to = f"network {network.name}", f"to {packet.destination}"
    ping = _fate_inbound(facts, replace(packet, protocol=PING))
    if not ping.passes:
        return warn(
            CHECK,
            subject,
            f"{ping} drops a ping {to}",
            why="nothing comes in but to the ports of the label ipv6.mapper.ports, and IPv6 needs more of "
            "ICMPv6 than that (RFC 4890)",
            fix=_accept(facts, ping, f"-d {network.subnets[0]} -p {PING}"),
        )
    if connection.passes:
        return ok(
            CHECK, subject, f"every rule that was understood lets a new connection {to} in, on any port"
        )
    return ok(
        CHECK, subject, f"a ping {to} comes in; a new connection needs ipv6.mapper.ports ({connection})"
    )


def _opened(facts: DoctorFacts, network: Network, packet: Packet, opening: Opening) -> Finding:
    """What comes in since a label asked for it: it bears our mark."""
    mark = facts.settings.fwmark
    marked = replace(packet, mark=mark, protocol=opening.protocol, port=opening.first)
    verdict = _fate_inbound(facts, marked)
    subject, to = f"network {network.name}", f"to {packet.destination}"
    if verdict.passes:
        return ok(CHECK, subject, f"what ipv6.mapper.ports opens gets through ip6tables {to}")
    return fail(
        CHECK,
        subject,
        f"{verdict} drops what ipv6.mapper.ports opens {to}",
        why="ports that a label opens cannot be reached: the daemon's own rule is missing, or comes later",
        fix=_accept(facts, verdict, f"-m mark --mark {mark:#x}/{mark:#x}"),
    )


def _rewritten(facts: DoctorFacts, network: Network, address: IPv6Address, uplink: str) -> Iterator[Finding]:
    """What goes out under another address than the container's."""
    packet = Packet(from_link=str(network.bridge), to_link=uplink, source=address)
    verdicts = (
        replace(fate(chains, "nat", "POSTROUTING", packet), command=command)
        for command, chains in facts.chains.items()
    )
    verdict = next((each for each in verdicts if each.target in REWRITING), None)
    if verdict is None:
        return

    def unmasked(config: NetworkConfig) -> NetworkConfig:
        if fixes.knows_gateway_modes(facts):
            return fixes.advised(config, facts, network)
        return replace(config, options={**config.options, MASQUERADE: "false"})

    yield warn(
        "masquerade",
        f"network {network.name}",
        f"{verdict} gives what {address} sends the host's address",
        why="others see the host, not the container, wherever the container begins the connection",
        fix=fixes.recreate(facts, network, unmasked),
    )


def _accept(facts: DoctorFacts, dropped: Verdict, match: str) -> str:
    """Accept packets ahead of what drops them, and in the chain that an engine's restart leaves alone."""
    chains: Chains = facts.chains[dropped.command]
    if dropped.table == "raw":
        chain = "PREROUTING"
    elif dropped.is_rule_of(FORWARD) or USER_CHAIN not in chains:
        chain = FORWARD
    else:
        chain = USER_CHAIN[1]
    return f"{dropped.command} -t {dropped.table} -I {chain} {match} -j ACCEPT"


def _fate_inbound(facts: DoctorFacts, packet: Packet) -> Verdict:
    """The first drop on the way in, of any backend; else the last acceptance."""
    verdict = Verdict("ACCEPT")
    for command, chains in facts.chains.items():
        for table, chain in (("raw", "PREROUTING"), ("filter", FORWARD)):
            verdict = replace(fate(chains, table, chain, packet), command=command)
            if not verdict.passes:
                return verdict
    return verdict


def _openings(facts: DoctorFacts, container_id: str) -> tuple[Opening, ...]:
    if facts.settings.firewall is FirewallMode.OFF:
        return ()
    try:
        return facts.desired.openings(facts.system, container_id)
    except RefusedError:
        # `containers` says so.
        return ()
