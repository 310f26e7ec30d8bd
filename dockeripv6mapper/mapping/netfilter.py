"""Netfilter: traces a packet through the host's chains, and says which rule or policy decides. Pure.

A rule whose matches cannot be evaluated (see `rule_matches`) is skipped, and counted in the verdict if it
might have decided: `Verdict.doubts`. So is a rule that has a program decide.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from dockeripv6mapper.firewall_rules import (
    ALL_BITS,
    NFT_COMMAND,
    BaseHook,
    Chain,
    Chains,
    Hook,
    Rule,
    Ruleset,
)
from dockeripv6mapper.mapping.rule_matches import Packet, ParsedRule, masked, parse

DROPPING = ("DROP", "REJECT")
REWRITING = ("MASQUERADE", "SNAT")
"""Targets that change the source address of an outgoing packet."""
FINAL = ("ACCEPT", *DROPPING, *REWRITING)
RETURN = "RETURN"
MARKING = ("MARK", "CONNMARK")
"""Targets that may change the packet's mark."""
QUEUES = ("NFQUEUE", "QUEUE")
"""Targets that hand the packet to a program, which accepts or drops it. Without one, it may go on."""
MAX_DEPTH = 32
"""Nested jumps to follow. The kernel refuses loops (`net/netfilter/x_tables.c`); parsed text may have one."""


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
    """The command of the backend that holds the rule: `ip6tables`, `ip6tables-legacy` or `nft`."""
    base: str = ""
    """The built-in chain in which the trace began."""
    uncertain: Rule | None = None
    """One of the rules in doubt that would have decided otherwise."""
    mark: int = 0
    """The packet's mark after the chains."""
    connection_mark: int = 0
    """The mark of its connection."""

    def __str__(self) -> str:
        if self.command == NFT_COMMAND:
            text = (
                f"{'a rule' if self.rule else 'the policy'} of the nftables chain {self.table} {self.chain}"
            )
        elif self.rule:
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


def trace_forwarded(ruleset: Ruleset, packet: Packet) -> Verdict:
    """The first verdict that drops a forwarded packet; if none does, the last one.

    In the kernel's order: every chain of a hook sees the packet, and a mark that one sets is there for all
    later ones. The verdict names the rules in doubt of all chains.
    """
    verdict, doubts, uncertain, to_link = Verdict("ACCEPT"), 0, None, packet.to_link
    for each in ruleset.hooks():
        packet = replace(packet, to_link=to_link if each.hook is Hook.FORWARD else "")
        verdict = _trace_hook(ruleset.chains[each.command], each, packet)
        packet = replace(packet, mark=verdict.mark, connection_mark=verdict.connection_mark)
        doubts += verdict.doubts
        if not verdict.passes:
            break
        uncertain = uncertain or verdict.uncertain
    return replace(verdict, doubts=doubts, uncertain=verdict.uncertain if not verdict.passes else uncertain)


def _trace_hook(chains: Chains, base: BaseHook, packet: Packet) -> Verdict:
    return replace(trace(chains, base.table, base.chain, packet), command=base.command)


def trace(chains: Chains, table: str, chain: str, packet: Packet) -> Verdict:
    """What a built-in chain decides on a packet. A chain that does not exist accepts it."""
    policy = chains.get((table, chain), Chain("ACCEPT")).policy
    walk = _Walk(chains, packet)
    verdict = walk.chain((table, chain), 0) or Verdict(policy or "ACCEPT", table, chain)
    otherwise = (rule for rule, outcomes in walk.doubts if (not verdict.passes) in outcomes)
    return replace(
        verdict,
        doubts=len(walk.doubts),
        base=chain,
        uncertain=next(otherwise, None),
        mark=walk.packet.mark,
        connection_mark=walk.packet.connection_mark,
    )


class _Walk:
    """A packet on its way through chains of one backend."""

    def __init__(self, chains: Chains, packet: Packet) -> None:
        self._chains = chains
        self.packet = packet
        self.doubts: list[tuple[Rule, AbstractSet[bool]]] = []
        """Rules that could not be evaluated and may have decided, and whether the packet may then pass."""

    def chain(self, key: tuple[str, str], depth: int) -> Verdict | None:
        """The verdict of one chain; None if no rule decides."""
        table, name = key
        for rule in self._chains.get(key, Chain(None)).rules:
            parsed = parse(rule.words)
            matches, target = parsed.matches(self.packet), parsed.target
            if matches is None or (matches and target in QUEUES):
                self._doubt(rule, (table, target), depth)
            if not matches:
                continue
            if target == RETURN:
                return None
            if target in FINAL:
                return Verdict(target, table, name, rule)
            if target in MARKING:
                self.packet = _marked(self.packet, parsed)
            elif (table, target) in self._chains and depth < MAX_DEPTH:
                verdict = self.chain((table, target), depth + 1)
                # A chain reached with -g (goto) does not return here, but to the caller of this chain.
                if verdict is not None or parsed.is_goto:
                    return verdict
        return None

    def _doubt(self, rule: Rule, key: tuple[str, str], depth: int) -> None:
        target = key[1]
        if target in FINAL:
            self.doubts.append((rule, {target not in DROPPING}))
        elif target == RETURN or target in (*MARKING, *QUEUES):
            self.doubts.append((rule, {True, False}))
        elif key in self._chains and depth < MAX_DEPTH:
            branch = _Walk(self._chains, self.packet)
            verdict = branch.chain(key, depth + 1)
            if branch.doubts or branch.packet != self.packet:
                self.doubts.append((rule, {True, False}))
            else:
                self.doubts.append((rule, {verdict.passes} if verdict is not None else set()))


def _marked(packet: Packet, parsed: ParsedRule) -> Packet:
    """The packet after a target MARK or CONNMARK (iptables-extensions(8))."""
    arguments = {option: value for option, value, _ in parsed.arguments}
    mark, connection = packet.mark, packet.connection_mark
    value, mask = masked(arguments.get("--set-xmark", "0/0"))
    packet_bits, connection_bits = (int(arguments.get(each, "-1"), 0) for each in ("--nfmask", "--ctmask"))
    if parsed.target == "MARK":
        mark = (mark & ~mask) ^ value
    elif "--save-mark" in arguments:
        connection = (connection & ~connection_bits) ^ (mark & packet_bits)
    elif "--restore-mark" in arguments:
        mark = (mark & ~packet_bits) ^ (connection & connection_bits)
    else:
        connection = (connection & ~mask) ^ value
    return replace(packet, mark=mark & ALL_BITS, connection_mark=connection & ALL_BITS)
