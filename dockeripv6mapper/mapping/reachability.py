"""Reachability: which packets from outside get in to a container's address, by the host's rules. Pure.

For `status` and the metrics. Every port range that a rule names is traced, and the answer to it, so ports
that `-p` publishes or the user's own rules open are there too. What cannot be traced is unknown, never open.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from ipaddress import IPv6Address
from itertools import pairwise

from dockeripv6mapper.firewall_rules import Ruleset
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.netfilter import Verdict, trace_forwarded
from dockeripv6mapper.mapping.networks import NAT
from dockeripv6mapper.mapping.ports import LAST_PORT, PROTOCOLS, merge
from dockeripv6mapper.mapping.rule_matches import PING, Packet, may_concern, only_address, ports_named
from dockeripv6mapper.mapping.uplinks import network_uplinks
from dockeripv6mapper.model import AddressMapping, Container, Decision, Network, Opening
from dockeripv6mapper.settings import Settings

ON_THE_LINK = ("macvlan", "ipvlan")
"""Drivers whose packets do not pass the host's rules, but for ipvlan in L3S mode."""
L3S = "l3s"


class Access(Enum):
    """How much gets in from outside."""

    EVERYTHING = "everything"
    SOME = "some"
    """Pings or some ports."""
    NOTHING = "nothing"
    UNKNOWN = "unknown"


BY_ACCESS = (Access.EVERYTHING, Access.SOME, Access.UNKNOWN, Access.NOTHING)
"""The best first. Of two uplinks, one that may let something in counts more than one that lets nothing in."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """What gets in to an address from outside."""

    access: Access
    why: str = ""
    """Why nothing does, or why it is not known."""
    ping: bool = False
    ports: tuple[Opening, ...] = ()

    def __str__(self) -> str:
        if self.access is not Access.SOME:
            return f"{self.access.value}: {self.why}" if self.why else self.access.value
        ports = [opening.ports for opening in self.ports]
        return ", ".join(["ping", *ports]) if self.ping else f"{', '.join(ports)} only"


@dataclass(slots=True)
class Reachability:
    """Judges what gets in, from one reading of all rules."""

    ruleset: Ruleset
    facts: Facts
    settings: Settings
    _by_links: dict[tuple[str, str], tuple[Ruleset, dict[int, IPv6Address]]] = field(default_factory=dict)
    """The rules that concern packets between an uplink and a bridge; of those that concern one address only,
    that address by the rule's `id`. An engine makes some rules for each container."""

    def of(self, container: Container, decision: Decision) -> Mapping[str, Inbound]:
        """What gets in to a container that runs at its mapped address, by uplink; empty for any other.

        The key is empty where the uplink does not matter.
        """
        if not isinstance(decision, AddressMapping) or not container.running:
            return {}
        if all(each.address != decision.address for each in container.endpoints):
            return {}
        network = self.facts.networks.get(decision.network_id)
        if network is None:
            return {"": Inbound(Access.UNKNOWN, "the network is gone")}
        if (inbound := self._without_trace(network)) is not None:
            return {"": inbound}
        links = [link.name for link in network_uplinks(network, self.facts, self.settings)]
        if not links:
            return {"": Inbound(Access.UNKNOWN, "there is no uplink")}
        return {link: self._traced(network, link, decision.address) for link in links}

    def _without_trace(self, network: Network) -> Inbound | None:
        """What gets in, where no trace is needed or possible; None: packets have to be traced."""
        if network.internal:
            return Inbound(Access.NOTHING, "the network is internal")
        if network.bridge is None:
            if network.driver in ON_THE_LINK and network.ipvlan_mode != L3S:
                return Inbound(Access.EVERYTHING)
            return Inbound(
                Access.UNKNOWN, f"packets to a network with driver {network.driver} are not traced"
            )
        if network.bridge not in self.facts.host.links:
            return Inbound(Access.UNKNOWN, f"the network's bridge {network.bridge} is not on this host")
        if self.ruleset.unreadable:
            return Inbound(Access.UNKNOWN, f"the rules cannot be read ({self.ruleset.unreadable})")
        return None

    def _traced(self, network: Network, link: str, address: IPv6Address) -> Inbound:
        """What the rules let in from one uplink."""
        bridge = str(network.bridge)
        packet = Packet(from_link=link, to_link=bridge, destination=address)
        ruleset = self._rules_for(packet)
        ping = trace_both_ways(ruleset, replace(packet, protocol=PING))
        groups = list({each for rule in ruleset.rules() for each in ports_named(rule)})
        # Ports that the same rules name have the same verdict: it is traced once.
        traced: dict[tuple[str, tuple[bool, ...]], Verdict] = {}
        ports = []
        for opening in _ranges(groups, address):
            named = tuple(any(first <= opening.first <= last for first, last in group) for group in groups)
            key = opening.protocol, named
            if key not in traced:
                probe = replace(packet, protocol=opening.protocol, port=opening.first)
                traced[key] = trace_both_ways(ruleset, probe)
            ports.append((opening, traced[key]))
        return _summary(network, ping, ports)

    def _rules_for(self, packet: Packet) -> Ruleset:
        """The rules that may match a packet or the answer to it."""
        links = packet.from_link, packet.to_link
        if links not in self._by_links:
            anywhere = replace(packet, destination=None)
            both = (anywhere, anywhere.reply())
            between = self.ruleset.with_rules(lambda rule: may_concern(rule, both, places=("-i", "-o")))
            addresses = {id(rule): each for rule in between.rules() if (each := only_address(rule))}
            self._by_links[links] = between, addresses
        ruleset, addresses = self._by_links[links]
        ruleset = ruleset.with_rules(
            lambda rule: addresses.get(id(rule), packet.destination) == packet.destination
        )
        return ruleset.with_rules(lambda rule: may_concern(rule, (packet, packet.reply())))


def trace_both_ways(ruleset: Ruleset, packet: Packet) -> Verdict:
    """What the rules decide on the first packet of a connection and, where it passes, on the answer."""
    verdict = trace_forwarded(ruleset, packet)
    if not verdict.passes:
        return verdict
    answer = trace_forwarded(ruleset, replace(packet.reply(), connection_mark=verdict.connection_mark))
    return replace(answer, uncertain=answer.uncertain or verdict.uncertain) if answer.passes else answer


def _ranges(groups: Iterable[tuple[tuple[int, int], ...]], address: IPv6Address) -> Iterator[Opening]:
    """All ports of each protocol, in ranges whose ports no rule distinguishes; `groups`: what rules name."""
    named = {each for group in groups for each in group}
    firsts = {1, LAST_PORT + 1} | {port for first, last in named for port in (first, last + 1)}
    bounds = sorted(each for each in firsts if 1 <= each <= LAST_PORT + 1)
    for protocol in PROTOCOLS:
        for first, after in pairwise(bounds):
            yield Opening(address, protocol, first, after - 1)


def _summary(network: Network, ping: Verdict, ports: list[tuple[Opening, Verdict]]) -> Inbound:
    verdicts = [ping, *(verdict for _, verdict in ports)]
    passing = [each for each in verdicts if each.passes]
    for each in passing or verdicts:
        if each.uncertain is not None:
            return Inbound(Access.UNKNOWN, f"a rule was not understood: {_shown(each)}")
    if not passing:
        mode = f"gateway mode {NAT}" if network.gateway_mode == NAT else f"dropped by {ping}"
        return Inbound(Access.NOTHING, mode)
    if len(passing) == len(verdicts):
        return Inbound(Access.EVERYTHING)
    open_ports = merge(opening for opening, verdict in ports if verdict.passes)
    return Inbound(Access.SOME, ping=ping.passes, ports=open_ports)


def _shown(verdict: Verdict) -> str:
    return str(replace(verdict, rule=verdict.uncertain, doubts=0))


def count_inbound(
    ruleset: Ruleset,
    decisions: Iterable[tuple[Container, Decision]],
    facts: Facts,
    settings: Settings,
) -> Mapping[Access, int]:
    """How many containers run at their mapped addresses, by what gets in from the best of the uplinks."""
    reachability = Reachability(ruleset, facts, settings)
    judged = (reachability.of(container, decision) for container, decision in decisions)
    counts = Counter(best_access(inbound) for inbound in judged if inbound)
    return {access: counts[access] for access in Access}


def best_access(inbound: Mapping[str, Inbound]) -> Access:
    """How much gets in from the best of the uplinks."""
    return min((each.access for each in inbound.values()), key=BY_ACCESS.index)


def shown(inbound: Mapping[str, Inbound]) -> str:
    """What gets in, as `status` prints it; by uplink only where the uplinks differ."""
    if len(set(inbound.values())) == 1:
        return str(next(iter(inbound.values())))
    return "; ".join(f"{link}: {each}" for link, each in inbound.items())
