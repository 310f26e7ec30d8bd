"""Marks: finds other programs' rules that use the packet mark and break opened ports.

Our bit is set only around the engine's rules (see `kernel.nft_ruleset`), so most uses of the mark do no harm.
Three uses do harm: a rule that overwrites the mark between our hook and our accept rule, one that compares
the whole mark there, and one that sets our bit on packets of its own.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from dockeripv6mapper.doctor.facts import DoctorFacts
from dockeripv6mapper.doctor.finding import Finding, printable, warn
from dockeripv6mapper.doctor.fixes import operands, quoted
from dockeripv6mapper.firewall_rules import ALL_BITS, Chains, MarkRule, Rule, is_ours

CHECK = "mark"
SUBJECT = "firewall"
OPTIONS_FILE = "/etc/default/DockerIPV6Mapper"
MARKED_CHAINS = (("raw", "PREROUTING"), ("filter", "FORWARD"))
"""The chains that see our bit."""
MARKED_PRIORITIES = {"prerouting": (-310, -300), "forward": (-11, 0)}
"""By hook, between which priorities an nftables chain sees our bit before the engine's rules."""
UNCONDITIONAL = 2
"""Words of a rule that only jumps: `-j CHAIN`."""
MASKS = ("--nfmask", "--ctmask")
"""Options of CONNMARK: the bits that it changes in the packet mark, and those that it reads in conntrack."""


class _Kind(Enum):
    """How a rule uses the packet mark."""

    SETS = "sets our bit"
    OVERWRITES = "clears our bit"
    COMPARES = "compares the whole mark"


@dataclass(frozen=True, slots=True)
class _Use:
    """A rule of another program that uses the packet mark."""

    kind: _Kind
    rule: str
    fix: str
    """The commands that make the rule leave our bit alone."""


def check(facts: DoctorFacts) -> Iterator[Finding]:
    """Findings on other programs' uses of the packet mark."""
    for each in _uses(facts):
        yield _FINDINGS[each.kind](each, facts)


def is_overwritten(facts: DoctorFacts) -> bool:
    """Whether a rule of another program clears our bit before a rule accepts it."""
    return any(each.kind is _Kind.OVERWRITES for each in _uses(facts))


def _uses(facts: DoctorFacts) -> Iterator[_Use]:
    """Uses of the packet mark that do harm."""
    bit = facts.settings.fwmark
    for command, chains in facts.chains.items():
        yield from _of_ip6tables(command, chains, bit)
    for each in facts.mark_rules:
        text = f"a rule in nftables chain {each.chain}"
        remark = "# find where this rule is defined, and let it change only the bits that it needs:"
        fix = f"{remark}\n{_listing(each)}"
        if each.sets & bit:
            yield _Use(_Kind.SETS, text, fix)
        elif _sees_our_bit(each) and each.overwrites & bit:
            yield _Use(_Kind.OVERWRITES, text, fix)


def _sees_our_bit(rule: MarkRule) -> bool:
    """Whether the mapper has set its bit before the rule, and the engine's rules come after it."""
    low, high = MARKED_PRIORITIES.get(rule.hook or "", (0, -1))
    return low <= rule.priority <= high


def _listing(rule: MarkRule) -> str:
    return f"nft -a list chain {operands(rule.chain.split())}"


def _of_ip6tables(command: str, chains: Chains, bit: int) -> Iterator[_Use]:
    seen = {id(rule) for start in MARKED_CHAINS for rule in _before_ours(chains, start)}
    for (table, name), chain in chains.items():
        for number, rule in enumerate(chain.rules, 1):
            if is_ours(rule):
                continue
            text = f"`{command} -t {table} {printable(rule.text)}`"
            sets, overwrites = _written(rule)
            words = " ".join(map(quoted, _masked(rule, ALL_BITS ^ bit)))
            fix = f"{command} -t {table} -R {quoted(name)} {number} {words}"
            if sets & bit:
                yield _Use(_Kind.SETS, text, fix)
            elif id(rule) in seen and overwrites & bit:
                yield _Use(_Kind.OVERWRITES, text, fix)
            elif id(rule) in seen and _compares_all(rule):
                yield _Use(_Kind.COMPARES, text, fix)


def _before_ours(chains: Chains, start: tuple[str, str]) -> list[Rule]:
    """The rules that a packet may pass before our accept rule."""
    rules: list[Rule] = []
    ends: dict[tuple[str, str], bool] = {}

    def walk(key: tuple[str, str]) -> bool:
        """Add the rules of a chain, and of those that it jumps to; returns whether ours is certainly met."""
        if key in ends or key not in chains:
            return ends.get(key, False)
        # Parsed text may have a loop of jumps; the kernel refuses one.
        ends[key] = False
        for rule in chains[key].rules:
            if is_ours(rule):
                ends[key] = True
                break
            rules.append(rule)
            jumps = [target for option, target in rule.options if option in ("-j", "-g")]
            ended = [walk((key[0], target)) for target in jumps]
            # A jump with a condition may be skipped.
            if any(ended) and len(rule.words) == UNCONDITIONAL:
                ends[key] = True
                break
        return ends[key]

    walk(start)
    return rules


def _written(rule: Rule) -> tuple[int, int]:
    """The bits that a rule's target sets, and those that it sets or clears."""
    values = dict(rule.options)
    if ("-j", "MARK") in rule.options and "--set-xmark" in values:
        value, mask = _value_and_mask(values["--set-xmark"])
        return value, mask | value
    if "--restore-mark" in rule.words:
        return 0, _number(values.get("--nfmask", hex(ALL_BITS)))
    return 0, 0


def _compares_all(rule: Rule) -> bool:
    """Whether a rule compares the whole packet mark."""
    values = dict(rule.options)
    if ("-m", "mark") not in rule.options or ("-m", "connmark") in rule.options or "--mark" not in values:
        return False
    return _value_and_mask(values["--mark"])[1] == ALL_BITS


def _value_and_mask(text: str) -> tuple[int, int]:
    value, _, mask = text.partition("/")
    return _number(value), _number(mask or hex(ALL_BITS))


def _number(text: str) -> int:
    """The number in `text`; 0 if there is none."""
    try:
        return int(text, 0)
    except ValueError:
        return 0


def _masked(rule: Rule, mask: int) -> Iterable[str]:
    """The rule's words, changed to touch only the bits in `mask`."""
    words = list(rule.words)
    for index, word in enumerate(words[:-1]):
        if word in ("--mark", "--set-xmark"):
            value, old = _value_and_mask(words[index + 1])
            words[index + 1] = f"{value & mask:#x}/{old & mask:#x}"
        elif word in MASKS:
            words[index + 1] = f"{_number(words[index + 1]) & mask:#x}"
    if "--restore-mark" in words and not set(MASKS) & set(words):
        words += [part for option in MASKS for part in (option, f"{mask:#x}")]
    return words


def _overwritten(use: _Use, facts: DoctorFacts) -> Finding:
    return warn(
        CHECK,
        SUBJECT,
        f"{use.rule} overwrites the packet mark, and with it the mapper's bit {facts.settings.fwmark:#x}",
        why="packets to ports that ipv6.mapper.ports opens lose the mark before a rule accepts it",
        fix=use.fix,
    )


def _compared(use: _Use, facts: DoctorFacts) -> Finding:
    bit = facts.settings.fwmark
    return warn(
        CHECK,
        SUBJECT,
        f"{use.rule} compares the whole packet mark; the mapper sets {bit:#x} on packets to open ports",
        why="the bit changes whether the rule matches these packets",
        fix=f"# the same rule, without the mapper's bit:\n{use.fix}",
    )


def _set_by_another(use: _Use, facts: DoctorFacts) -> Finding:
    """The finding on a rule that sets our bit. It proposes a bit that no rule uses."""
    bit = used = facts.settings.fwmark
    for chains in facts.chains.values():
        for chain in chains.values():
            for each in chain.rules:
                used |= _bits_of(each)
    for rule_of_nft in facts.mark_rules:
        used |= rule_of_nft.sets
    free = next((1 << number for number in _PREFERRED if not used >> number & 1), None)
    other = "BIT" if free is None else f"{free:#010x}"
    remark = "# no bit is free: replace BIT by one that you know to be free\n" if free is None else ""
    return warn(
        CHECK,
        SUBJECT,
        f"{use.rule} sets the bit {bit:#x} of the packet mark, which the mapper uses for open ports",
        why="packets that it marks pass the mapper's accept rules, whatever their port",
        fix=f"{remark}# another bit: as an option of the daemon, --fwmark {other}\n"
        f"echo DOCKERIPV6MAPPER_FWMARK={other} >> {OPTIONS_FILE} && systemctl restart DockerIPV6Mapper",
    )


def _bits_of(rule: Rule) -> int:
    """The mark bits that a rule reads or writes. Of a rule without a mask, only its value."""
    used = 0
    values = dict(rule.options)
    for option in ("--mark", "--set-xmark"):
        value, mask = _value_and_mask(values.get(option, "0/0"))
        used |= value | (0 if mask == ALL_BITS else mask)
    return used


_PREFERRED = (25, 26, 27, 28, 29, 30, 24, 31, *range(1, 24), 0)
"""Bits in the order in which they are proposed. Most programs use the lower 16, Calico the upper 16."""

_FINDINGS: Mapping[_Kind, Callable[[_Use, DoctorFacts], Finding]] = {
    _Kind.SETS: _set_by_another,
    _Kind.OVERWRITES: _overwritten,
    _Kind.COMPARES: _compared,
}
"""How each use is reported."""
