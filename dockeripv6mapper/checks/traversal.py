"""Traversal: what becomes of a packet in the chains of ip6tables, as far as their rules can be understood.

A rule with a match that is not known here is passed over, since nobody can say whether it matches: what is
answered is which understood rule decides, never that no other could.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network

from dockeripv6mapper.surroundings import Chain, Chains, Rule

ECHO_REQUEST = ("128", "echo-request")
ANYWHERE = ("::/0", "0::/0")
FINAL = ("ACCEPT", "DROP", "REJECT", "MASQUERADE")
DEEPEST = 32
"""Jumps inside jumps; the kernel refuses loops (`net/netfilter/x_tables.c`)."""


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a connection."""

    to_link: str
    from_link: str
    protocol: str = "tcp"
    """`tcp`, to no port that anybody names, or `ipv6-icmp`, an echo request."""
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
    by: str = "no rule"
    """The rule that decided, or the policy."""

    def __str__(self) -> str:
        return f"`-t {self.table} {self.by}`" if self.by.startswith("-") else f"the {self.by} of {self.chain}"

    def is_rule_of(self, chain: str) -> bool:
        """Whether a rule of that chain decided, and not its policy."""
        return self.chain == chain and self.by.startswith("-")

    @property
    def passes(self) -> bool:
        """Whether the packet goes on."""
        return self.target not in ("DROP", "REJECT")


def fate(chains: Chains, table: str, chain: str, packet: Packet) -> Verdict:
    """What a built-in chain does with a packet; a chain that is not there accepts."""
    found = chains.get((table, chain), Chain("ACCEPT"))
    verdict = _walk(chains, table, found, packet, 0)
    return verdict or Verdict(found.policy or "ACCEPT", table, chain, "policy")


def _walk(chains: Chains, table: str, chain: Chain, packet: Packet, depth: int) -> Verdict | None:
    for rule in chain.rules:
        target = _target(rule, packet)
        if target == "RETURN":
            return None
        if target in FINAL:
            return Verdict(target, table, rule.text.split()[1], rule.text)
        if target and (jumped := chains.get((table, target))) and depth < DEEPEST:
            verdict = _walk(chains, table, jumped, packet, depth + 1)
            if verdict is not None:
                return verdict
    return None


def _target(rule: Rule, packet: Packet) -> str | None:
    """Where the rule sends the packet; None: nowhere, or nobody can say."""
    target = None
    for option, value, negated in _options(rule.words):
        if option in ("-j", "-g"):
            target = value
        elif option not in _IGNORED:
            test = _TESTS.get(option)
            matches = None if test is None else test(value, packet)
            if matches is None or matches == negated:
                return None
    return target


def _options(words: tuple[str, ...]) -> Iterator[tuple[str, str, bool]]:
    """The options of a rule with their values, and whether each is negated."""
    negated, option, values = False, "", list[str]()
    for word in (*words, "-"):
        if word == "!" or word.startswith("-"):
            if option:
                yield option, " ".join(values), negated
                negated, option, values = False, "", []
            if word == "!":
                negated = True
            else:
                option = word
        else:
            values.append(word)


def _in(subnet: str, address: IPv6Address | None) -> bool:
    """Whether an address is in a subnet; anywhere outside is in none but the whole."""
    if address is None:
        return subnet in ANYWHERE
    return address in IPv6Network(subnet, strict=False)


def _is_link(pattern: str, link: str) -> bool:
    return link.startswith(pattern[:-1]) if pattern.endswith("+") else link == pattern


def _has_mark(text: str, packet: Packet) -> bool:
    value, _, mask = text.partition("/")
    return packet.mark & int(mask or "0xffffffff", 0) == int(value, 0)


_IGNORED = ("-m", "--comment", "--reject-with")
_TESTS: dict[str, Callable[[str, Packet], bool | None]] = {
    "-s": lambda value, packet: _in(value, packet.source),
    "-d": lambda value, packet: _in(value, packet.destination),
    "-i": lambda value, packet: _is_link(value, packet.from_link),
    "-o": lambda value, packet: _is_link(value, packet.to_link),
    "-p": lambda value, packet: value in (packet.protocol, "all"),
    "--ctstate": lambda value, _: "NEW" in value.split(","),
    "--state": lambda value, _: "NEW" in value.split(","),
    "--mark": _has_mark,
    "--icmpv6-type": lambda value, _: value in ECHO_REQUEST,
    # A forwarded packet is for somebody else.
    "--dst-type": lambda value, _: False if value == "LOCAL" else None,
}
"""Whether an option's value matches a packet; None: nobody can say."""
