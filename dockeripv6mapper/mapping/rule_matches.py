"""Rule matches: the words of a rule, parsed, and whether they match a packet. Pure.

As in ip6tables(8); `kernel.nft_chains` writes the rules of nftables in the same words. Only the common
matches are implemented. Matches of source addresses, rates and counts are evaluated for a single packet from
a client that no rule names.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address, IPv6Network, NetmaskValueError

from dockeripv6mapper.firewall_rules import ALL_BITS, Rule

PING = "ipv6-icmp"
"""The protocol's name in rules; here the packet is always an echo request, or the reply to one."""
ECHO_REQUEST = ("128", "echo-request")
ECHO_REPLY = ("129", "echo-reply")
ANYWHERE = ("::/0", "0::/0", "2000::/3")
"""Subnets that have every address outside: `2000::/3` are the global ones."""
CONNMARK = "--connmark"
"""Instead of `-m connmark --mark`."""


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a connection, or the reply to it."""

    to_link: str
    """Empty before the packet is routed."""
    from_link: str
    protocol: str = "tcp"
    """`tcp`, `udp`, `sctp`, or `PING`."""
    port: int | None = None
    """The server's port; None for a port that no rule names."""
    source: IPv6Address | None = None
    """None for an address outside that no rule names."""
    destination: IPv6Address | None = None
    """None for an address outside that no rule names."""
    mark: int = 0
    connection_mark: int = 0
    """conntrack's mark, which packets both ways share."""
    is_reply: bool = False

    @property
    def source_port(self) -> int | None:
        """None for the client's port, which no rule names."""
        return self.port if self.is_reply else None

    @property
    def destination_port(self) -> int | None:
        """None for the client's port, which no rule names."""
        return None if self.is_reply else self.port

    def reply(self) -> "Packet":
        """The answer to this packet. It carries no mark."""
        return replace(
            self,
            from_link=self.to_link,
            to_link=self.from_link,
            source=self.destination,
            destination=self.source,
            mark=0,
            is_reply=True,
        )


@dataclass(frozen=True, slots=True)
class ParsedRule:
    """What a rule matches, and what it does."""

    options: tuple[tuple[str, str, bool], ...]
    """The options before the target, each as (option, value, negated)."""
    target: str
    is_goto: bool
    arguments: tuple[tuple[str, str, bool], ...]
    """The options of the target."""

    def matches(self, packet: Packet) -> bool | None:
        """Whether the rule matches a packet; None if unknown. A rule without a target never does."""
        if not self.target:
            return False
        known = True
        for option, value, negated in self.options:
            test = _TESTS.get(option)
            matches = test(value, packet) if test else None
            if matches is None:
                known = False
            elif matches == negated:
                return False
        return True if known else None


@lru_cache(maxsize=1 << 16)
def parse(words: tuple[str, ...]) -> ParsedRule:
    """Parse the words of a rule."""
    options = list(_options(words))
    if ("-m", "connmark", False) in options and ("-m", "mark", False) not in options:
        # The same option has another meaning in another match.
        options = [(CONNMARK if each[0] == "--mark" else each[0], *each[1:]) for each in options]
    jump = next((number for number, each in enumerate(options) if each[0] in ("-j", "-g")), None)
    if jump is None:
        return ParsedRule(tuple(options), "", is_goto=False, arguments=())
    option, target, _ = options[jump]
    return ParsedRule(tuple(options[:jump]), target, option == "-g", tuple(options[jump + 1 :]))


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


def masked(text: str) -> tuple[int, int]:
    """`VALUE/MASK` as numbers. Without a mask it is all bits."""
    value, _, mask = text.partition("/")
    return int(value, 0), int(mask or hex(ALL_BITS), 0)


PLACES = ("-s", "-d", "-i", "-o")
PORT_OPTIONS = ("--dport", "--dports", "--sport", "--sports", "--ports")


def may_concern(rule: Rule, packets: tuple[Packet, ...], places: tuple[str, ...] = PLACES) -> bool:
    """Whether a rule's addresses and links may match one of the packets, by the options `places`."""
    parsed = parse(rule.words)
    return any(
        all(
            _TESTS[option](value, packet) is not negated
            for option, value, negated in parsed.options
            if option in places
        )
        for packet in packets
    )


def only_address(rule: Rule) -> IPv6Address | None:
    """The only address that a rule concerns, as source or destination; None: it may concern others, too."""
    for option, value, negated in parse(rule.words).options:
        if option in ("-s", "-d") and not negated:
            try:
                return IPv6Address(value.removesuffix("/128"))
            except AddressValueError:
                continue
    return None


def ports_named(rule: Rule) -> Iterator[tuple[tuple[int, int], ...]]:
    """The port ranges, first to last, that each option of a rule names, as source or destination."""
    for option, value, _ in parse(rule.words).options:
        if option in PORT_OPTIONS:
            yield _ranges(value)


def _any(test: Callable[[str, Packet], bool | None], text: str, packet: Packet) -> bool | None:
    """Whether a test passes for one of the values `a,b,c`; None if unknown."""
    results = [test(each, packet) for each in text.split(",")]
    return True if True in results else None if None in results else False


@dataclass(frozen=True, slots=True)
class _Subnets:
    """The addresses and subnets of a match, as numbers: comparing objects takes several times as long."""

    anywhere: bool
    """Whether every address outside is in one of them."""
    addresses: frozenset[int]
    ranges: tuple[tuple[int, int], ...]
    readable: bool
    """Whether all of them can be read."""


@lru_cache(maxsize=1 << 14)
def _subnets(text: str) -> _Subnets:
    """Parse `ADDRESS`, `SUBNET` or `FIRST-LAST`, several of them separated by commas."""
    parts = text.split(",")
    addresses, ranges, readable = set[int](), list[tuple[int, int]](), True
    for part in parts:
        try:
            first, last = _bounds(part)
        except (AddressValueError, NetmaskValueError):
            # ip6tables allows a mask with holes: 2001::/ffff:0:ffff::
            readable = False
            continue
        if first == last:
            addresses.add(first)
        else:
            ranges.append((first, last))
    anywhere = any(part in ANYWHERE for part in parts)
    return _Subnets(anywhere, frozenset(addresses), tuple(ranges), readable)


def _bounds(part: str) -> tuple[int, int]:
    """The first and the last address. Raises `AddressValueError` and `NetmaskValueError`."""
    first, _, last = part.partition("-")
    if last:
        return int(IPv6Address(first)), int(IPv6Address(last))
    subnet = IPv6Network(part, strict=False)
    return int(subnet.network_address), int(subnet.broadcast_address)


def _in(text: str, address: IPv6Address | None) -> bool | None:
    """Whether an address is in one of the subnets; None if a subnet cannot be read."""
    subnets = _subnets(text)
    if address is None:
        return subnets.anywhere
    number = int(address)
    if number in subnets.addresses or any(first <= number <= last for first, last in subnets.ranges):
        return True
    return False if subnets.readable else None


def _is_link(pattern: str, link: str) -> bool:
    return link.startswith(pattern[:-1]) if pattern.endswith("+") else link == pattern


def _has_mark(text: str, mark: int) -> bool:
    value, mask = masked(text)
    return mark & mask == value


@lru_cache(maxsize=1 << 14)
def _ranges(text: str) -> tuple[tuple[int, int], ...]:
    """`80`, `8000:8100`, `22,79:90` as ranges; empty where the text names a service or a set."""
    ranges = []
    for each in text.split(","):
        first, _, last = each.partition(":")
        if not first.isdecimal() or not (last or first).isdecimal():
            return ()
        ranges.append((int(first), int(last or first)))
    return tuple(ranges)


def _has_port(text: str, port: int | None) -> bool | None:
    """Whether a port is among `80`, `8000:8100`, `22,79:90`; None if unknown."""
    ranges = _ranges(text)
    if not ranges:
        return None
    if port is None:
        return None if any(first != last for first, last in ranges) else False
    return any(first <= port <= last for first, last in ranges)


def _has_flags(text: str, packet: Packet) -> bool:
    """`FIN,SYN,RST,ACK SYN`: which flags are looked at, and which of them are set."""
    looked_at, _, wanted = text.partition(" ")
    flags = {"SYN", "ACK"} if packet.is_reply else {"SYN"}
    mask = flags if looked_at == "ALL" else flags & set(looked_at.split(","))
    every = ("FIN", "SYN", "RST", "PSH", "ACK", "URG") if wanted == "ALL" else wanted.split(",")
    return mask == (set() if wanted == "NONE" else set(every))


def _has_state(text: str, packet: Packet) -> bool:
    return ("ESTABLISHED" if packet.is_reply else "NEW") in text.split(",")


def _has_type(text: str, packet: Packet) -> bool:
    types = ECHO_REPLY if packet.is_reply else ECHO_REQUEST
    return any(each in types for each in text.split(","))


def _is_from_set(text: str, _packet: Packet) -> bool | None:
    """`--match-set NAME src`: the source is an address that no set names."""
    return False if text.endswith(" src") else None


_MATCHES = (
    *(
        "addrtype",
        "comment",
        "connlimit",
        "connmark",
        "conntrack",
        "hashlimit",
        "icmp6",
        "limit",
        "mark",
        "multiport",
    ),
    *("rt", "sctp", "set", "state", "tcp", "udp"),
)
_TESTS: dict[str, Callable[[str, Packet], bool | None]] = {
    # The same option may have another meaning in another match.
    "-m": lambda value, _: True if value in _MATCHES else None,
    "--comment": lambda _value, _packet: True,
    "-s": lambda value, packet: _in(value, packet.source),
    "-d": lambda value, packet: _in(value, packet.destination),
    "-i": lambda value, packet: _any(lambda each, packet: _is_link(each, packet.from_link), value, packet),
    "-o": lambda value, packet: _any(lambda each, packet: _is_link(each, packet.to_link), value, packet),
    "-p": lambda value, packet: _any(lambda each, packet: each in (packet.protocol, "all"), value, packet),
    "--dport": lambda value, packet: _has_port(value, packet.destination_port),
    "--dports": lambda value, packet: _has_port(value, packet.destination_port),
    "--sport": lambda value, packet: _has_port(value, packet.source_port),
    "--sports": lambda value, packet: _has_port(value, packet.source_port),
    "--tcp-flags": _has_flags,
    "--ctstate": _has_state,
    "--state": _has_state,
    "--ctdir": lambda value, packet: (value == "REPLY") == packet.is_reply,
    "--mark": lambda value, packet: _has_mark(value, packet.mark),
    CONNMARK: lambda value, packet: _has_mark(value, packet.connection_mark),
    "--icmpv6-type": _has_type,
    # A forwarded packet's addresses are another host's.
    "--dst-type": lambda value, _: {"LOCAL": False, "UNICAST": True}.get(value),
    "--src-type": lambda value, _: {"LOCAL": False, "UNICAST": True}.get(value),
    "--match-set": _is_from_set,
    # The packet is one, not many, and has no routing header.
    "--limit": lambda _value, _packet: True,
    "--limit-burst": lambda _value, _packet: True,
    "--hashlimit-above": lambda _value, _packet: False,
    "--connlimit-above": lambda _value, _packet: False,
    "--rt-type": lambda _value, _packet: False,
}
"""By option: whether its value matches a packet; None if unknown."""
