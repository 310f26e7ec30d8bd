"""Netfilter: what becomes of a packet in the chains of ip6tables, as far as their rules can be understood.

A rule with a match that is not known here is passed over, since nobody can say whether it matches: what is
answered is which understood rule decides, and how many before it might have decided otherwise.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import AddressValueError, IPv6Address, IPv6Network, NetmaskValueError

from dockeripv6mapper.firewall_rules import Chain, Chains, Rule

PING = "ipv6-icmp"
ECHO_REQUEST = ("128", "echo-request")
ANYWHERE = ("::/0", "0::/0")
DROPPING = ("DROP", "REJECT")
REWRITING = ("MASQUERADE", "SNAT")
"""Targets that give an outgoing packet another source."""
FINAL = ("ACCEPT", *DROPPING, *REWRITING)
RETURN = "RETURN"
DEEPEST = 32
"""Jumps inside jumps; the kernel refuses loops (`net/netfilter/x_tables.c`)."""


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a connection."""

    to_link: str
    from_link: str
    protocol: str = "tcp"
    """`tcp`, `udp`, `sctp`, or `PING`, an echo request."""
    port: int | None = None
    """None: one that no rule names."""
    source: IPv6Address | None = None
    """None: anywhere outside."""
    destination: IPv6Address | None = None
    """None: anywhere outside."""
    mark: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a packet fared."""

    target: str
    table: str = ""
    chain: str = ""
    rule: Rule | None = None
    """The rule that decided; None: the chain's policy."""
    doubts: int = 0
    """Rules before it that could not be understood, and would have decided if they matched."""
    command: str = "ip6tables"
    """Which changes the backend that it is in."""

    def __str__(self) -> str:
        if self.rule:
            said = f"`{self.command} -t {self.table} {self.rule.text}`"
        else:
            said = f"the policy of {self.chain} in {self.command}"
        return said + (f" (rules before it that were not understood: {self.doubts})" if self.doubts else "")

    def is_rule_of(self, chain: str) -> bool:
        """Whether a rule of that chain decided, and not its policy."""
        return self.chain == chain and self.rule is not None

    @property
    def passes(self) -> bool:
        """Whether the packet goes on."""
        return self.target not in DROPPING


def fate(chains: Chains, table: str, chain: str, packet: Packet) -> Verdict:
    """What a built-in chain does with a packet; a chain that is not there accepts."""
    found = chains.get((table, chain), Chain("ACCEPT"))
    doubtful: list[Rule] = []
    verdict = _walk(chains, (table, chain), packet, doubtful, 0)
    verdict = verdict or Verdict(found.policy or "ACCEPT", table, chain)
    return replace(verdict, doubts=len(doubtful))


def _walk(
    chains: Chains, place: tuple[str, str], packet: Packet, doubtful: list[Rule], depth: int
) -> Verdict | None:
    """Go through a chain; None: its end is reached."""
    table, chain = place
    for rule in chains.get(place, Chain(None)).rules:
        matches, option, target = _read(rule, packet)
        jumps = (table, target) in chains and depth < DEEPEST
        if matches is None and (jumps or target == RETURN or target in FINAL):
            doubtful.append(rule)
        if not matches:
            continue
        if target == RETURN:
            return None
        if target in FINAL:
            return Verdict(target, table, chain, rule)
        if jumps:
            verdict = _walk(chains, (table, target), packet, doubtful, depth + 1)
            # At its end, a chain that was gone to returns to where this one was called.
            if verdict is not None or option == "-g":
                return verdict
    return None


def _read(rule: Rule, packet: Packet) -> tuple[bool | None, str, str]:
    """Whether a rule matches (None: nobody can say), and where it jumps or goes to."""
    understood = True
    matches: bool | None
    for option, value, negated in _options(rule.words):
        if option in ("-j", "-g"):
            # What follows are the target's own options.
            return (True if understood else None), option, value
        test = _TESTS.get(option)
        matches = test(value, packet) if test else None
        if matches is None:
            understood = False
        elif matches == negated:
            return False, "", ""
    return False, "", ""


def _options(words: tuple[str, ...]) -> Iterator[tuple[str, str, bool]]:
    """The options of a rule with their values, and whether each is negated."""
    negated, option, values = False, "", list[str]()
    for word in (*words, "-"):
        if option == "--comment" and not values:
            # It may look like anything.
            values.append(word)
        elif word == "!" or word.startswith("-"):
            if option:
                yield option, " ".join(values), negated
                negated, option, values = False, "", []
            if word == "!":
                negated = True
            else:
                option = word
        else:
            values.append(word)


def _in(subnet: str, address: IPv6Address | None) -> bool | None:
    """Whether an address is in a subnet; anywhere outside is in none but the whole."""
    if address is None:
        return subnet in ANYWHERE
    try:
        return address in IPv6Network(subnet, strict=False)
    except (AddressValueError, NetmaskValueError):
        # ip6tables takes masks with holes, too.
        return None


def _is_link(pattern: str, link: str) -> bool:
    return link.startswith(pattern[:-1]) if pattern.endswith("+") else link == pattern


def _has_mark(text: str, packet: Packet) -> bool:
    value, _, mask = text.partition("/")
    return packet.mark & int(mask or "0xffffffff", 0) == int(value, 0)


def _has_port(text: str, packet: Packet) -> bool | None:
    """Whether ports as `80`, `8000:8100` or several of them hold the packet's."""
    ranges = [each.partition(":") for each in text.split(",")]
    if packet.port is None:
        return None if any(colon for _, colon, _ in ranges) else False
    return any(int(first) <= packet.port <= int(last or first) for first, _, last in ranges)


_MATCHES = ("addrtype", "comment", "conntrack", "icmp6", "mark", "multiport", "sctp", "state", "tcp", "udp")
_TESTS: dict[str, Callable[[str, Packet], bool | None]] = {
    # An option means something else in another match: `-m connmark --mark`.
    "-m": lambda value, _: True if value in _MATCHES else None,
    "--comment": lambda _value, _packet: True,
    "-s": lambda value, packet: _in(value, packet.source),
    "-d": lambda value, packet: _in(value, packet.destination),
    "-i": lambda value, packet: _is_link(value, packet.from_link),
    "-o": lambda value, packet: _is_link(value, packet.to_link),
    "-p": lambda value, packet: value in (packet.protocol, "all"),
    "--dport": _has_port,
    "--dports": _has_port,
    "--ctstate": lambda value, _: "NEW" in value.split(","),
    "--state": lambda value, _: "NEW" in value.split(","),
    "--mark": _has_mark,
    "--icmpv6-type": lambda value, _: value in ECHO_REQUEST,
    # A forwarded packet is for somebody else.
    "--dst-type": lambda value, _: False if value == "LOCAL" else None,
}
"""Whether an option's value matches a packet; None: nobody can say."""
