"""Findings on other programs' uses of the packet mark."""

import pytest

from dockeripv6mapper.doctor import mark_checks
from dockeripv6mapper.doctor.finding import Finding
from dockeripv6mapper.firewall_rules import ALL_BITS, MarkRule
from dockeripv6mapper.settings import Settings
from tests.unit.builders import facts
from tests.unit.doctor.builders import HE_IPV6, doctor_facts, mapped, problems
from tests.unit.rulesets import ENGINE_20_10_IP6TABLES, ENGINE_28_NAT, ENGINE_28_ROUTED, UFW, filter_table

BIT = 0x01000000
OURS = "-A {} -m mark --mark 0x1000000/0x1000000 -m comment --comment DockerIPV6Mapper -j ACCEPT"


def check(rules: str = "", settings: Settings | None = None, *others: MarkRule) -> list[Finding]:
    """The findings that are not OK."""
    system = facts(mapped(ports="80"), networks=(HE_IPV6,))
    return problems(mark_checks.check(doctor_facts(system, rules, settings=settings, mark_rules=others)))


@pytest.mark.parametrize("rules", [ENGINE_28_NAT, ENGINE_28_ROUTED, ENGINE_20_10_IP6TABLES, UFW])
def test_the_rules_of_engines_and_ufw_do_no_harm(rules: str) -> None:
    """Neither do the mapper's own."""
    assert check(rules) == []


@pytest.mark.parametrize(
    "rule",
    [
        "-A FORWARD -i tailscale0 -j MARK --set-xmark 0x40000/0xff0000",
        "-A FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT",
        "-A FORWARD -m connmark --mark 0x1 -j ACCEPT",
        "-A FORWARD -j CONNMARK --restore-mark --nfmask 0xff --ctmask 0xff",
        "-A FORWARD -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff",
    ],
)
def test_marks_with_a_mask_beside_the_mappers_bit_do_no_harm(rule: str) -> None:
    """As of Tailscale and kube-proxy."""
    assert check(filter_table(rule, OURS.format("FORWARD"))) == []


@pytest.mark.parametrize(
    ("rule", "replaced"),
    [
        ("-j MARK --set-xmark 0x1/0xffffffff", "-j MARK --set-xmark 0x1/0xfeffffff"),
        (
            "-j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff",
            "-j CONNMARK --restore-mark --nfmask 0xfeffffff --ctmask 0xfeffffff",
        ),
        ("-j CONNMARK --restore-mark", "-j CONNMARK --restore-mark --nfmask 0xfeffffff --ctmask 0xfeffffff"),
        ("-m mark --mark 0x1 -j ACCEPT", "-m mark --mark 0x1/0xfeffffff -j ACCEPT"),
    ],
)
def test_a_rule_between_our_hook_and_our_accept_rule_must_leave_our_bit_alone(
    rule: str, replaced: str
) -> None:
    """The fix replaces it by one with a mask. After our rule, it does no harm."""
    (finding,) = check(filter_table(f"-A FORWARD {rule}", OURS.format("FORWARD")))
    assert finding.fix.splitlines()[-1] == f"ip6tables -t filter -R FORWARD 1 {replaced}"
    assert check(filter_table(OURS.format("FORWARD"), f"-A FORWARD {rule}")) == []
    assert check(filter_table(f"-A INPUT {rule}", OURS.format("FORWARD"))) == []
    assert check(f"*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING {rule}\nCOMMIT\n") == []


def test_a_rule_in_a_chain_that_is_jumped_to_counts() -> None:
    """Also where the jump has a condition, and where jumps form a loop, which only parsed text may have."""
    rules = (
        "-A FORWARD -i eth0 -j other",
        "-A FORWARD -j DOCKER-USER",
        "-A FORWARD -j MARK --set-xmark 0x2/0xffffffff",
        "-A other -j MARK --set-xmark 0x1/0xffffffff",
        "-A other -j other",
        OURS.format("DOCKER-USER"),
    )
    (finding,) = check(filter_table(*rules, chains="other DOCKER-USER"))
    assert "-A other -j MARK" in finding.found


def test_a_rule_that_sets_our_bit_lets_its_packets_in() -> None:
    """The fix names a bit that no rule uses. Mullvad's mark contains the default bit."""
    mullvad = "*mangle\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -j MARK --set-xmark 0x6d6f6c65/0xffffffff\nCOMMIT\n"
    (finding,) = check(mullvad)
    assert "DOCKERIPV6MAPPER_FWMARK=0x02000000" in finding.fix
    assert check(mullvad, Settings(fwmark=0x02000000)) == []
    (finding,) = check("", None, MarkRule("inet mullvad output", "output", 0, 0x6D6F6C65, ALL_BITS))
    assert "inet mullvad output" in finding.found


@pytest.mark.parametrize(
    ("hook", "priority", "is_found"),
    [
        ("prerouting", -300, True),
        ("prerouting", -299, False),
        ("prerouting", -150, False),
        ("forward", -150, False),
        ("forward", 0, True),
        ("forward", 10, False),
        (None, 0, False),
    ],
)
def test_an_nftables_rule_that_overwrites_the_mark_counts_between_our_hook_and_the_engines(
    hook: str | None, priority: int, *, is_found: bool
) -> None:
    """At other priorities the mapper's bit is not set, or no longer needed."""
    assert bool(check("", None, MarkRule("inet mwan chain", hook, priority, 0, ALL_BITS))) is is_found
    assert check("", None, MarkRule("inet mwan chain", hook, priority, 0, ALL_BITS ^ BIT)) == []
