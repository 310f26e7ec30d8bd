"""Netfilter: traces a packet through ip6tables chains, and says which rule or policy decides. Pure.

Only the common matches are implemented. A rule with any other match is skipped, and counted in the verdict if
it might have decided: `Verdict.doubts`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import AddressValueError, IPv6Address, IPv6Network, NetmaskValueError

from dockeripv6mapper.firewall_rules import Chain, Chains, Rule

PING = "ipv6-icmp"
"""The protocol's name in rules; here the packet is always an echo request."""
ECHO_REQUEST = ("128", "echo-request")
ANYWHERE = ("::/0", "0::/0")
DROPPING = ("DROP", "REJECT")
REWRITING = ("MASQUERADE", "SNAT")
"""Targets that change the source address of an outgoing packet."""
FINAL = ("ACCEPT", *DROPPING, *REWRITING)
RETURN = "RETURN"
MAX_DEPTH = 32
"""Nested jumps to follow. The kernel refuses loops (`net/netfilter/x_tables.c`); parsed text may have one."""


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a connection."""

    to_link: str
    from_link: str
    protocol: str = "tcp"
    """`tcp`, `udp`, `sctp`, or `PING`."""
    port: int | None = None
    """The destination port; None for a port that no rule names."""
    source: IPv6Address | None = None
    """None for an address outside that no rule names."""
    destination: IPv6Address | None = None
    """None for an address outside that no rule names."""
    mark: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the chains decide on a packet."""

    target: str
    table: str = ""
    chain: str = ""
    rule: Rule | None = None
    """The rule that decided; None if it was the chain's policy."""
    doubts: int = 0
    """Number of earlier rules that could not be evaluated and would have decided if they match."""
    command: str = "ip6tables"
    """The command of the backend that holds the rule: `ip6tables` or `ip6tables-legacy`."""

    def __str__(self) -> str:
        if self.rule:
            text = f"`{self.command} -t {self.table} {self.rule.text}`"
        else:
            text = f"the policy of {self.chain} in {self.command}"
        return text + (f" (rules before it that were not understood: {self.doubts})" if self.doubts else "")

    def is_rule_of(self, chain: str) -> bool:
        """Whether a rule of that chain decided, not its policy."""
        return self.chain == chain and self.rule is not None

    @property
    def passes(self) -> bool:
        """Whether the packet is accepted."""
        return self.target not in DROPPING


def trace(chains: Chains, table: str, chain: str, packet: Packet) -> Verdict:
    """What a built-in chain decides on a packet. A chain that does not exist accepts it."""
    policy = chains.get((table, chain), Chain("ACCEPT")).policy
    doubtful: list[Rule] = []
    verdict = _walk(chains, (table, chain), packet, doubtful, 0)
    verdict = verdict or Verdict(policy or "ACCEPT", table, chain)
    return replace(verdict, doubts=len(doubtful))


def _walk(
    chains: Chains, key: tuple[str, str], packet: Packet, doubtful: list[Rule], depth: int
) -> Verdict | None:
    """The verdict of one chain; None if no rule decides. Adds to `doubtful` as `Verdict.doubts` says."""
    table, chain = key
    for rule in chains.get(key, Chain(None)).rules:
        matches, option, target = _evaluate(rule, packet)
        jumps = (table, target) in chains and depth < MAX_DEPTH
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
            # A chain reached with -g (goto) does not return here, but to the caller of this chain.
            if verdict is not None or option == "-g":
                return verdict
    return None


def _evaluate(rule: Rule, packet: Packet) -> tuple[bool | None, str, str]:
    """Whether a rule matches (None if unknown), its `-j` or `-g`, and its target."""
    known = True
    matches: bool | None
    for option, value, negated in _options(rule.words):
        if option in ("-j", "-g"):
            # The options after it belong to the target.
            return (True if known else None), option, value
        test = _TESTS.get(option)
        matches = test(value, packet) if test else None
        if matches is None:
            known = False
        elif matches == negated:
            return False, "", ""
    return False, "", ""


def _options(words: tuple[str, ...]) -> Iterator[tuple[str, str, bool]]:
    """The options of a rule as (option, value, negated)."""
    negated, option, values = False, "", list[str]()
    for word in (*words, "-"):
        if option == "--comment" and not values:
            # A comment may begin with "-" or be "!".
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
    """Whether an address is in a subnet; None if the subnet cannot be read."""
    if address is None:
        return subnet in ANYWHERE
    try:
        return address in IPv6Network(subnet, strict=False)
    except (AddressValueError, NetmaskValueError):
        # ip6tables allows a mask with holes: 2001::/ffff:0:ffff::
        return None


def _is_link(pattern: str, link: str) -> bool:
    return link.startswith(pattern[:-1]) if pattern.endswith("+") else link == pattern


def _has_mark(text: str, packet: Packet) -> bool:
    value, _, mask = text.partition("/")
    return packet.mark & int(mask or "0xffffffff", 0) == int(value, 0)


def _has_port(text: str, packet: Packet) -> bool | None:
    """Whether the packet's port is among `80`, `8000:8100`, `22,79:90`; None if unknown."""
    ranges = [each.partition(":") for each in text.split(",")]
    if packet.port is None:
        return None if any(colon for _, colon, _ in ranges) else False
    return any(int(first) <= packet.port <= int(last or first) for first, _, last in ranges)


_MATCHES = ("addrtype", "comment", "conntrack", "icmp6", "mark", "multiport", "sctp", "state", "tcp", "udp")
_TESTS: dict[str, Callable[[str, Packet], bool | None]] = {
    # The same option has another meaning in another match: `-m connmark --mark`.
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
    # A forwarded packet never has a local destination.
    "--dst-type": lambda value, _: False if value == "LOCAL" else None,
}
"""By option: whether its value matches a packet; None if unknown."""
