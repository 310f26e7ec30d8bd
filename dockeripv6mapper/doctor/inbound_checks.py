"""Inbound: whether packets from outside reach a network's containers, and whether theirs are masqueraded.

Packets to and from one mapped container are traced through the current rules of ip6tables and nftables.
Without such a container, or without rules that can be read, the finding says that no packet was traced.
"""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv6Address

from dockeripv6mapper.doctor import accept_fixes, firewall_checks, fixes, mark_checks
from dockeripv6mapper.doctor.facts import DoctorFacts
from dockeripv6mapper.doctor.finding import Finding, fail, ok, warn
from dockeripv6mapper.engine_config import NetworkConfig
from dockeripv6mapper.firewall_rules import ENGINE_TABLE, NFT_COMMAND
from dockeripv6mapper.mapping.netfilter import REWRITING, Verdict, trace, trace_forwarded
from dockeripv6mapper.mapping.networks import NAT
from dockeripv6mapper.mapping.ports import merge, subtract
from dockeripv6mapper.mapping.reachability import Access, Reachability
from dockeripv6mapper.mapping.rule_matches import PING, Packet
from dockeripv6mapper.mapping.uplinks import network_uplinks
from dockeripv6mapper.model import Container, Network, Opening, RefusedError
from dockeripv6mapper.settings import FirewallMode

CHECK = "inbound"
MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
MOST_NAMED = 10
"""Containers that one finding names."""


def check(facts: DoctorFacts, network: Network) -> Iterator[Finding]:
    """Findings on traffic between one network and the outside."""
    if network.internal:
        yield fail(
            CHECK,
            f"network {network.name}",
            "the network is internal",
            why="the engine drops all packets to and from other networks",
            fix=fixes.recreate(
                facts,
                network,
                lambda config: fixes.with_advice(replace(config, internal=False), facts, network),
            ),
        )
        return
    sample = next(facts.mapped_containers(network), None)
    if sample is None:
        yield _untraced_finding(facts, network, "no container is mapped there now")
        return
    links = [link.name for link in network_uplinks(network, facts.system, facts.settings)]
    if reason := _why_untraceable(facts, network):
        yield _untraced_finding(facts, network, reason)
        # Rules of ip6tables alone may be known.
        yield from dict.fromkeys(
            each for link in links for each in _masqueraded(facts, network, sample[1], link)
        )
        return
    yield from _published_ports(facts, network)
    # Most findings do not depend on the uplink: each is printed once.
    yield from dict.fromkeys(each for link in links for each in _trace_findings(facts, network, sample, link))


def _why_untraceable(facts: DoctorFacts, network: Network) -> str:
    """Why packets to a network cannot be traced; "" if they can."""
    if network.bridge is None:
        return "the network has no bridge on this host"
    return facts.ruleset.unreadable and f"the rules cannot be read ({facts.ruleset.unreadable})"


def _untraced_finding(facts: DoctorFacts, network: Network, reason: str) -> Finding:
    """The finding on a network to which no packet can be traced: only its gateway mode is judged."""
    if network.gateway_mode == NAT:
        return _nat_mode(facts, network, f" (no packet was traced: {reason})")
    return ok(CHECK, f"network {network.name}", f"no packet was traced: {reason}")


def _trace_findings(
    facts: DoctorFacts, network: Network, sample: tuple[Container, IPv6Address], link: str
) -> Iterator[Finding]:
    """Findings on packets from one uplink to one container, and back."""
    container, address = sample
    packet = Packet(from_link=link, to_link=str(network.bridge), destination=address)
    connection = _trace_inbound(facts, packet)
    if network.gateway_mode == NAT and not connection.passes:
        yield _nat_mode(facts, network, f", whose {connection} drops a new connection to {address}")
    else:
        yield from _unlabelled_ports(facts, network, packet, connection)
        yield from _masqueraded(facts, network, address, link)
    for opening in _openings(facts, container.id):
        yield from _labelled_ports(facts, network, packet, opening)


def _nat_mode(facts: DoctorFacts, network: Network, detail: str) -> Finding:
    """The finding on gateway mode `nat`, the default of engine 28 and later."""
    if facts.engine is not None and facts.engine.filters_with_nftables:
        reachable = (
            "with the engine's nftables backend nothing can be reached from outside in this mode, not even "
            "ports that ipv6.mapper.ports opens"
        )
    else:
        reachable = (
            "in this mode only ports that ipv6.mapper.ports opens can be reached from outside, not even ping "
            "gets in"
        )
    return warn(
        "gateway-mode",
        f"network {network.name}",
        f"the network is in the engine's gateway mode nat{detail}",
        why=f"{reachable}, and outgoing packets have the host's address",
        fix=_recreate(facts, network),
    )


def _recreate(facts: DoctorFacts, network: Network) -> str:
    """The commands that create the network again in a mode that lets packets in."""
    return fixes.recreate(facts, network, lambda config: fixes.with_advice(config, facts, network))


def _unlabelled_ports(
    facts: DoctorFacts, network: Network, packet: Packet, connection: Verdict
) -> Iterator[Finding]:
    """Whether a ping and a new connection get in to a port that no label opens.

    No finding where `firewall_checks` already reports the chain that drops the ping.
    """
    subject, to = f"network {network.name}", f"to {packet.destination}"
    ping = _trace_inbound(facts, replace(packet, protocol=PING))
    if firewall_checks.is_reported(facts, ping):
        return
    if not ping.passes:
        yield warn(
            CHECK,
            subject,
            f"{ping} drops a ping {to}",
            why="only ports that ipv6.mapper.ports opens can be reached, and IPv6 needs more of ICMPv6 than "
            "that (RFC 4890)",
            fix=accept_fixes.accept(
                facts,
                network,
                ping,
                f"-d {network.subnets[0]} -p {PING}",
                f"ip6 daddr {network.subnets[0]} meta l4proto {PING}",
            ),
        )
    elif connection.passes:
        yield ok(CHECK, subject, f"no rule that was understood drops a new connection {to}, on any port")
    else:
        yield ok(
            CHECK,
            subject,
            f"a ping {to} gets in; a new connection needs ipv6.mapper.ports (dropped by {connection})",
        )


def _published_ports(facts: DoctorFacts, network: Network) -> Iterator[Finding]:
    """The ports that get in without a label of the container, such as those that `-p` publishes.

    On a routed network the engine opens them at the container's own address.
    """
    reachability = Reachability(facts.ruleset, facts.system, facts.settings)
    texts = []
    for container, _ in facts.mapped_containers(network):
        inbound = reachability.of(container, facts.desired.decision(container.id))
        some = {port for each in inbound.values() if each.access is Access.SOME for port in each.ports}
        if ports := subtract(merge(some), _openings(facts, container.id)):
            texts.append(f"{container.name} {','.join(each.ports for each in ports)}")
    if texts:
        more = f" and {len(texts) - MOST_NAMED} more" if len(texts) > MOST_NAMED else ""
        yield ok(
            "published-ports",
            f"network {network.name}",
            "open at the containers' addresses without ipv6.mapper.ports, as by docker run -p: "
            f"{'; '.join(texts[:MOST_NAMED])}{more}",
        )


def _labelled_ports(
    facts: DoctorFacts, network: Network, packet: Packet, opening: Opening
) -> Iterator[Finding]:
    """Whether a new connection gets in to a port that a label opens: it carries our mark.

    Nothing where another program's rule clears the mark, or its chain drops what it does not know: those are
    findings of `mark_checks` and `firewall_checks`.
    """
    mark = facts.settings.fwmark
    marked = replace(packet, mark=mark, protocol=opening.protocol, port=opening.first)
    verdict = _trace_inbound(facts, marked)
    subject, to = f"network {network.name}", f"to {packet.destination}"
    if verdict.passes:
        yield ok(
            CHECK, subject, f"the firewall accepts new connections {to} at ports that ipv6.mapper.ports opens"
        )
    elif _is_rule_of_engine(verdict):
        # That the engine does not accept the mark is a finding of `firewall_checks`.
        if mark in facts.engine_accepted_marks:
            yield fail(
                CHECK,
                subject,
                f"{verdict} drops new connections {to} at ports that ipv6.mapper.ports opens",
                why="the label has no effect: no rule of the mapper can open a port in the engine's table",
                fix=_recreate(facts, network),
            )
    elif not (mark_checks.is_overwritten(facts) or firewall_checks.is_reported(facts, verdict)):
        yield fail(
            CHECK,
            subject,
            f"{verdict} drops new connections {to} at ports that ipv6.mapper.ports opens",
            why="the label has no effect: the daemon's own rule is missing, or comes later",
            fix=accept_fixes.accept(
                facts,
                network,
                verdict,
                f"-m mark --mark {mark:#x}/{mark:#x}",
                f"meta mark and {mark:#x} == {mark:#x}",
            ),
        )


def _masqueraded(
    facts: DoctorFacts, network: Network, address: IPv6Address, uplink: str
) -> Iterator[Finding]:
    """Whether connections that the container opens leave with the host's address."""
    packet = Packet(from_link=str(network.bridge), to_link=uplink, source=address)
    verdicts = (
        replace(trace(chains, "nat", "POSTROUTING", packet), command=command)
        for command, chains in facts.ruleset.chains.items()
    )
    verdict = next((each for each in verdicts if each.target in REWRITING), None)
    if verdict is None:
        return

    def unmasqueraded(config: NetworkConfig) -> NetworkConfig:
        if fixes.knows_gateway_modes(facts):
            return fixes.with_advice(config, facts, network)
        return replace(config, options={**config.options, MASQUERADE: "false"})

    yield warn(
        "masquerade",
        f"network {network.name}",
        f"{verdict} changes the source of packets from {address} to the host's address",
        why="of connections that the container opens, other hosts see the host's address",
        fix=fixes.recreate(facts, network, unmasqueraded),
    )


def _trace_inbound(facts: DoctorFacts, packet: Packet) -> Verdict:
    """The first verdict, of any backend, that drops the packet on its way in; if none does, the last one."""
    return trace_forwarded(facts.ruleset, packet)


def _is_rule_of_engine(verdict: Verdict) -> bool:
    """Whether the engine's own nftables table decided."""
    return verdict.command == NFT_COMMAND and verdict.table == f"ip6 {ENGINE_TABLE}"


def _openings(facts: DoctorFacts, container_id: str) -> tuple[Opening, ...]:
    if facts.settings.firewall is FirewallMode.OFF:
        return ()
    try:
        return facts.desired.openings(facts.system, container_id)
    except RefusedError:
        # `container_checks` reports the label.
        return ()
