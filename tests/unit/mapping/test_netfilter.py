"""Tracing a packet through rules as `ip6tables-save` prints them."""

from dataclasses import replace

import pytest

from dockeripv6mapper.kernel.ip6tables import read_chains
from dockeripv6mapper.mapping.netfilter import trace
from dockeripv6mapper.mapping.rule_matches import PING, Packet
from tests.unit.doctor.builders import ADDRESS
from tests.unit.rulesets import (
    BRIDGE,
    ENGINE_20_10_IP6TABLES,
    ENGINE_28_NAT,
    ENGINE_28_ROUTED,
    UFW,
    filter_table,
)

MARK = 0x01000000
TCP = Packet(to_link=BRIDGE, from_link="eth0", destination=ADDRESS)
ECHO = replace(TCP, protocol=PING)
WEB = replace(TCP, port=80)
ANSWER = Packet(to_link="eth0", from_link=BRIDGE, source=ADDRESS)
RAW, FORWARD, SOURCE = ("raw", "PREROUTING"), ("filter", "FORWARD"), ("nat", "POSTROUTING")


@pytest.mark.parametrize(
    ("rules", "place", "packet", "target", "by"),
    [
        (ENGINE_28_NAT, RAW, TCP, "DROP", "! -i br-5314cea3e4c9 -j DROP"),
        (ENGINE_28_NAT, FORWARD, TCP, "DROP", "! -i br-5314cea3e4c9 -o br-5314cea3e4c9 -j DROP"),
        (ENGINE_28_NAT, FORWARD, ANSWER, "ACCEPT", "-A DOCKER-FORWARD -i br-5314cea3e4c9"),
        (ENGINE_28_NAT, SOURCE, ANSWER, "MASQUERADE", "-j MASQUERADE"),
        (ENGINE_28_ROUTED, FORWARD, TCP, "DROP", "-A DOCKER ! -i br-5314cea3e4c9"),
        (ENGINE_28_ROUTED, FORWARD, ECHO, "ACCEPT", "-p ipv6-icmp -j ACCEPT"),
        (ENGINE_28_ROUTED, FORWARD, replace(TCP, mark=MARK), "ACCEPT", "-A DOCKER-USER"),
        (ENGINE_28_ROUTED, SOURCE, ANSWER, "ACCEPT", "the policy"),
        (ENGINE_20_10_IP6TABLES, RAW, TCP, "ACCEPT", "the policy"),
        (ENGINE_20_10_IP6TABLES, FORWARD, ECHO, "DROP", "the policy of FORWARD in ip6tables"),
        (UFW, FORWARD, ECHO, "ACCEPT", "--icmpv6-type 128 -j ACCEPT"),
        (UFW, FORWARD, TCP, "DROP", "the policy"),
    ],
)
def test_real_rules(rules: str, place: tuple[str, str], packet: Packet, target: str, by: str) -> None:
    """The verdicts are as measured on those engines."""
    verdict = trace(read_chains(rules), *place, packet)
    assert (verdict.target, by in str(verdict)) == (target, True), verdict


@pytest.mark.parametrize(
    ("match", "packet", "matches"),
    [
        ("-d 2001:db8:103:0:78::/80", TCP, True),
        ("! -d 2001:db8:103:0:78::/80", TCP, False),
        ("-s 2001:db8::/32", TCP, False),
        ("-s ::/0", TCP, True),
        ("-i eth+", TCP, True),
        ("-i eth1", TCP, False),
        ("! -i br+", TCP, True),
        ("-p tcp -m tcp --dport 80", WEB, True),
        ("-p tcp -m tcp --dport 80", TCP, False),
        ("-p tcp -m tcp ! --dport 22", TCP, True),
        ("-p tcp -m multiport --dports 22,79:90", WEB, True),
        ("-p udp -m udp --dport 80", WEB, False),
        ("-m conntrack --ctstate RELATED,ESTABLISHED", TCP, False),
        ("-m conntrack ! --ctstate INVALID", TCP, True),
        ("-m mark --mark 0x1000000/0x1000000", replace(TCP, mark=MARK | 1), True),
        ("-m mark --mark 0x1000000/0x1000000", TCP, False),
        ("-m addrtype --dst-type LOCAL", TCP, False),
        ("-p ipv6-icmp -m icmp6 --icmpv6-type 1", ECHO, False),
        ("-m comment --comment -j", TCP, True),
        ("-m limit --limit 3/min", TCP, True),
        ("-m connmark --mark 0x0/0x1", TCP, True),
        ("-m connmark --mark 0x1/0x1", TCP, False),
        ("-m set --match-set crowdsec6 src", TCP, False),
        ("-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN", TCP, True),
        ("-p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG NONE", TCP, False),
        ("-m rt --rt-type 0", TCP, False),
    ],
)
def test_a_match_is_evaluated(match: str, packet: Packet, *, matches: bool) -> None:
    """The rule drops the packet exactly if it matches, and nothing is in doubt."""
    verdict = trace(read_chains(filter_table(f"-A FORWARD {match} -j DROP")), *FORWARD, packet)
    assert (verdict.passes, verdict.doubts) == (not matches, 0)


@pytest.mark.parametrize(
    "match",
    [
        "-m set --match-set mine dst",
        "-m time --timestart 08:00",
        "-p tcp -m tcp --dport 1:1023",
        "-d 2001::/ffff:0:ffff::",
        "-m recent --rcheck --name known",
    ],
)
def test_a_match_that_cannot_be_evaluated_decides_nothing_and_is_counted(match: str) -> None:
    """The number is printed with the rule that decides."""
    rules = filter_table(f"-A FORWARD {match} -j ACCEPT", "-A FORWARD -j DROP")
    verdict = trace(read_chains(rules), *FORWARD, TCP)
    assert str(verdict) == (
        "`ip6tables -t filter -A FORWARD -j DROP` (rules before it that were not understood: 1)"
    )


@pytest.mark.parametrize(
    "rule", ["-A FORWARD -m limit --limit 3/min -j LOG", "-A FORWARD -m set --match-set a src"]
)
def test_a_rule_that_cannot_decide_leaves_no_doubt(rule: str) -> None:
    """Its target neither accepts nor drops, so it does not matter whether it matches."""
    verdict = trace(read_chains(filter_table(rule, policy="DROP")), *FORWARD, TCP)
    assert verdict.doubts == 0


def test_a_rule_with_one_match_that_fails_leaves_no_doubt() -> None:
    """Its other matches, which cannot be evaluated, do not matter."""
    rules = filter_table("-A FORWARD -m set --match-set a src -p udp -j ACCEPT", policy="DROP")
    assert trace(read_chains(rules), *FORWARD, TCP).doubts == 0


def test_a_jump_returns_and_a_goto_does_not() -> None:
    """At the end of a chain reached with `-g`, the built-in chain's policy decides."""
    user = ("-A FORWARD {} OTHER", "-A FORWARD -j DROP", "-A OTHER -p udp -j ACCEPT")
    for option, passes in (("-j", False), ("-g", True)):
        rules = filter_table(*(each.format(option) for each in user), chains="OTHER")
        assert trace(read_chains(rules), *FORWARD, TCP).passes is passes


def test_after_a_return_the_policy_decides() -> None:
    """A built-in chain has no caller."""
    rules = filter_table("-A FORWARD -j RETURN", "-A FORWARD -j DROP")
    assert trace(read_chains(rules), *FORWARD, TCP).passes


def test_a_missing_chain_accepts() -> None:
    """A table that is not in use, and a target that is no chain."""
    assert trace({}, *RAW, TCP).passes
    assert trace(read_chains(filter_table("-A FORWARD -j GONE")), *FORWARD, TCP).passes


@pytest.mark.parametrize("policy", ["ACCEPT", "DROP"])
@pytest.mark.parametrize("target", ["NFQUEUE --queue-num 1 --queue-bypass", "QUEUE"])
def test_a_program_may_accept_or_drop_what_it_gets(target: str, policy: str) -> None:
    """As an intrusion detection system. Without one, the next rule may follow."""
    verdict = trace(read_chains(filter_table(f"-A FORWARD -j {target}", policy=policy)), *FORWARD, TCP)
    assert (verdict.target, verdict.doubts, verdict.uncertain is not None) == (policy, 1, True)
    other = read_chains(filter_table(f"-A FORWARD -i wg0 -j {target}", policy=policy))
    assert trace(other, *FORWARD, TCP).doubts == 0


def test_a_loop_of_chains_ends() -> None:
    """The kernel refuses loops, but the parsed text may contain one."""
    rules = filter_table("-A FORWARD -j A", "-A A -j B", "-A B -j A", policy="DROP", chains="A B")
    assert not trace(read_chains(rules), *FORWARD, TCP).passes


def test_a_mark_is_saved_with_the_connection_and_restored() -> None:
    """The masks choose the bits; the other bits stay."""
    rules = filter_table(
        "-A FORWARD -j MARK --set-xmark 0x3/0xff",
        "-A FORWARD -j CONNMARK --save-mark --nfmask 0x1 --ctmask 0x1",
        "-A FORWARD -j MARK --set-xmark 0x10/0xffffffff",
        "-A FORWARD -j CONNMARK --restore-mark --nfmask 0x1 --ctmask 0x1",
    )
    verdict = trace(read_chains(rules), *FORWARD, replace(TCP, mark=0x100))
    assert (verdict.mark, verdict.connection_mark) == (0x11, 0x1)


def test_a_jump_in_doubt_to_a_chain_that_decides_nothing_is_no_uncertainty() -> None:
    """It is counted, but the verdict would be the same."""
    jump = "-A FORWARD -m u32 --u32 0x0 -j LOGGING"
    for end, uncertain in (("-j LOG", False), ("-j ACCEPT", True), ("-m u32 --u32 0x0 -j ACCEPT", True)):
        rules = filter_table(jump, f"-A LOGGING {end}", policy="DROP", chains="LOGGING")
        verdict = trace(read_chains(rules), *FORWARD, TCP)
        assert (verdict.doubts, verdict.uncertain is not None) == (1, uncertain)
