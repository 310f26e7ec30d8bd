"""Findings on packets from outside, traced through ip6tables rules to a container on a network."""

from dataclasses import replace
from ipaddress import IPv6Address

import pytest

from dockeripv6mapper.doctor import inbound_checks
from dockeripv6mapper.doctor.finding import Finding, Level
from dockeripv6mapper.engine_config import EngineInfo
from dockeripv6mapper.firewall_rules import BaseChain, Ruleset
from dockeripv6mapper.kernel.ip6tables import read_chains
from dockeripv6mapper.model import Link, Network
from dockeripv6mapper.settings import FirewallMode, Settings
from tests.unit import builders
from tests.unit.builders import facts
from tests.unit.doctor.builders import (
    ENGINE_20_10,
    ENGINE_28,
    ENGINE_29_NFTABLES,
    HE_IPV6,
    doctor_facts,
    mapped,
    problems,
)
from tests.unit.rulesets import (
    BRIDGE,
    ENGINE_20_10_IP6TABLES,
    ENGINE_28_NAT,
    ENGINE_28_ROUTED,
    UFW,
    filter_table,
    ruleset,
)

NAT = replace(HE_IPV6, gateway_mode="nat")
IN_NAT_MODE = IPv6Address("2001:db8:103:0:78::9")
"""In `engine_29.json`, a container in gateway mode `nat`."""
OLD = replace(HE_IPV6, gateway_mode=None, ipv4=True)


def check(network: Network, rules: str | None, ports: str | None = None, **others: object) -> list[Finding]:
    """The findings on a network with one mapped container."""
    web = mapped(network=network, **({"ports": ports} if ports else {}))
    system = facts(web, networks=(network,))
    return list(inbound_checks.check(doctor_facts(system, rules, **others), network))  # type: ignore[arg-type]


def test_a_routed_network_of_engine_28_is_ok() -> None:
    """A ping gets in, and ports that a label opens. The finding names the rule that drops the rest."""
    plain, opened = check(HE_IPV6, ENGINE_28_ROUTED, ports="80")
    assert (plain.level, opened.level) == (Level.OK, Level.OK)
    assert "-A DOCKER ! -i br-5314cea3e4c9" in plain.found
    assert "the firewall accepts new connections" in opened.found


def test_gateway_mode_nat_is_one_finding_with_the_rule_that_drops() -> None:
    """The masquerading that belongs to this mode is not a second finding."""
    (finding,) = problems(check(NAT, ENGINE_28_NAT))
    assert finding.check == "gateway-mode"
    assert "-A PREROUTING -d 2001:db8:103:0:78::5/128 ! -i br-5314cea3e4c9 -j DROP" in finding.found
    assert "gateway_mode_ipv6=routed" in finding.fix


def test_gateway_mode_nat_whose_rules_accept_is_judged_by_the_rules() -> None:
    """As with the engine's option `allow-direct-routing`: only the masquerading is a finding."""
    open_to_all = ENGINE_28_NAT.replace("DROP", "ACCEPT")
    (finding,) = problems(check(NAT, open_to_all))
    assert finding.check == "masquerade"


def test_20_10_with_ip6tables_drops_pings_and_masquerades() -> None:
    """Without DOCKER-USER the fix changes FORWARD. Engine 20.10 has no gateway modes."""
    ping, masquerade = problems(check(OLD, ENGINE_20_10_IP6TABLES, engine=ENGINE_20_10))
    assert ping.fix == "ip6tables -t filter -I FORWARD -d 2001:db8:103:0:78::/80 -p ipv6-icmp -j ACCEPT"
    assert "the policy of FORWARD in ip6tables drops a ping" in ping.found
    assert "enable_ip_masquerade=false" in masquerade.fix
    assert "gateway_mode" not in masquerade.fix


def test_ports_that_a_label_opens_need_the_daemons_rule() -> None:
    """Without it there is a failure. The fix goes into DOCKER-USER, which the engine does not change."""
    without = "\n".join(line for line in ENGINE_28_ROUTED.split("\n") if "DockerIPV6Mapper" not in line)
    (finding,) = problems(check(HE_IPV6, without, ports="80"))
    assert finding.level is Level.FAIL
    assert finding.fix == "ip6tables -t filter -I DOCKER-USER -m mark --mark 0x1000000/0x1000000 -j ACCEPT"
    assert not problems(check(HE_IPV6, without, ports="80", settings=Settings(firewall=FirewallMode.OFF)))


def test_each_port_that_a_label_opens_is_traced() -> None:
    """A rule that drops one of them is found, even if the others are accepted."""
    rules = filter_table("-A FORWARD -p udp -m udp --dport 53 -j DROP")
    (finding,) = problems(check(HE_IPV6, rules, ports="80,53/udp"))
    assert "-p udp -m udp --dport 53 -j DROP" in finding.found


def test_the_fix_for_a_drop_by_the_legacy_backend_uses_its_command() -> None:
    """Packets pass both backends, and each has a command of its own."""
    backends = {"ip6tables": ENGINE_28_ROUTED, "ip6tables-legacy": filter_table(policy="DROP")}
    chains = {command: read_chains(rules) for command, rules in backends.items()}
    (finding,) = problems(check(HE_IPV6, None, ruleset=Ruleset(chains)))
    assert finding.fix.startswith("ip6tables-legacy -t filter -I FORWARD ")


def test_ufw_accepts_only_pings() -> None:
    """The finding names its policy. The packet has no routing header, so the rule on that leaves no doubt."""
    (finding,) = check(OLD, UFW, engine=ENGINE_20_10)
    assert finding.level is Level.OK
    assert "(dropped by the policy of FORWARD in ip6tables)" in finding.found


def test_the_fix_for_a_drop_by_ufw_survives_its_reload() -> None:
    """A rule of FORWARD would be there until the next boot."""
    without_ping = "\n".join(line for line in UFW.split("\n") if "--icmpv6-type 128" not in line)
    ping, ports = problems(check(OLD, without_ping, ports="80", engine=ENGINE_20_10))
    rule = "-A ufw6-before-forward -d 2001:db8:103:0:78::/80 -p ipv6-icmp -j ACCEPT"
    assert ping.fix == f"sed -i '/^:ufw6-before-forward /a {rule}' /etc/ufw/before6.rules\nufw reload"
    assert "-m mark --mark 0x1000000/0x1000000 -j ACCEPT' /etc/ufw/before6.rules" in ports.fix


def test_the_fix_for_a_drop_by_firewalld_is_a_zone_and_a_policy_of_firewalld() -> None:
    """As an engine makes them. Recorded before and after the commands of the fix."""
    rules = ruleset("", "our_table", "firewalld_closed")
    ping, ports = problems(check(HE_IPV6, None, ports="80", ruleset=rules))
    assert ping.fix == ports.fix
    assert "firewall-cmd --permanent --zone docker --add-interface br-5314cea3e4c9" in ping.fix
    assert not problems(check(HE_IPV6, None, "80", ruleset=ruleset("", "our_table", "firewalld_policy")))


@pytest.mark.parametrize(
    ("rules", "engine", "network", "reason"),
    [
        (None, ENGINE_28, HE_IPV6, "the rules cannot be read (no permission)"),
        (
            "",
            ENGINE_28,
            replace(HE_IPV6, bridge=None, gateway_mode=None),
            "the network has no bridge on this host",
        ),
    ],
    ids=["unreadable", "no bridge"],
)
def test_if_no_packet_can_be_traced_the_finding_says_why(
    rules: str | None, engine: EngineInfo, network: Network, reason: str
) -> None:
    """It makes no other statement on the network."""
    (finding,) = check(network, rules, engine=engine)
    assert finding.level is Level.OK
    assert finding.found == f"no packet was traced: {reason}"


def test_masquerading_by_ip6tables_is_found_if_nft_cannot_read_its_rules() -> None:
    """Whether packets get in is not known then."""
    chains = {"ip6tables": read_chains(ENGINE_28_NAT)}
    untraced, masquerade = check(HE_IPV6, None, ruleset=Ruleset(chains, unreadable="nft died of SIGSEGV"))
    assert (untraced.level, masquerade.level) == (Level.OK, Level.WARN)
    assert untraced.found == "no packet was traced: the rules cannot be read (nft died of SIGSEGV)"
    assert masquerade.check == "masquerade"


def test_nat_mode_of_an_engine_with_nftables_cannot_be_opened_by_a_label() -> None:
    """Its raw chain drops before any rule accepts. Other than with ip6tables, no rule of ours can help."""
    endpoint = builders.endpoint(IN_NAT_MODE, IN_NAT_MODE, of=NAT)
    labels = {"ipv6.mapper.network": NAT.name, "ipv6.mapper.suffix": "9", "ipv6.mapper.ports": "80"}
    web = builders.container("web", running=True, endpoints=(endpoint,), other_labels=labels)
    told = doctor_facts(
        facts(web, networks=(NAT,)),
        ruleset=ruleset("", "engine_29", "our_table"),
        engine=ENGINE_29_NFTABLES,
        engine_accepted_marks=frozenset({0x1000000}),
    )
    mode, ports = problems(inbound_checks.check(told, NAT))
    assert mode.check == "gateway-mode"
    assert "not even ports that ipv6.mapper.ports opens" in mode.why
    assert ports.level is Level.FAIL
    assert "ip6 docker-bridges raw-PREROUTING" in ports.found
    assert "gateway_mode_ipv6=routed" in ports.fix


def test_a_routed_network_of_an_engine_with_nftables_is_traced() -> None:
    """Pings and the label's ports get in, by the engine's own tables."""
    accepting = frozenset({0x1000000})
    findings = check(
        *(HE_IPV6, None, "80"),
        ruleset=ruleset("", "engine_29", "our_table"),
        engine=ENGINE_29_NFTABLES,
        engine_accepted_marks=accepting,
    )
    assert not problems(findings)
    assert any("the firewall accepts new connections" in each.found for each in findings)


def test_the_fix_for_a_drop_by_an_nftables_chain_accepts_there() -> None:
    """What another chain accepts, this one still drops."""
    finding = problems(check(HE_IPV6, None, ruleset=ruleset("", "dropping")))[0]
    assert finding.fix.startswith("nft insert rule inet ")
    assert finding.fix.endswith(" ip6 daddr 2001:db8:103:0:78::/80 meta l4proto ipv6-icmp accept")


def test_a_chain_that_another_finding_names_is_not_reported_twice() -> None:
    """Its policy drops pings and the label's ports, and the fix of that finding accepts both."""
    chain = BaseChain("inet", "mine", "forward", priority=10)
    findings = check(HE_IPV6, None, "80", ruleset=ruleset("", "dropping"), dropping_chains=(chain,))
    assert not problems(findings)


def test_without_a_container_only_the_gateway_mode_is_judged() -> None:
    """The engine adds rules for an address only while a container has it."""
    for network, level in ((HE_IPV6, Level.OK), (NAT, Level.WARN)):
        (finding,) = inbound_checks.check(doctor_facts(facts(networks=(network,)), ENGINE_28_NAT), network)
        assert finding.level is level
        assert "no container is mapped there now" in finding.found


def test_two_uplinks_with_the_same_rules_are_one_finding() -> None:
    """Equal findings are printed once."""
    host = builders.host(builders.UPLINK, replace(builders.UPLINK, name="eth1", index=3))
    system = facts(mapped(network=NAT), networks=(NAT,), of_host=host)
    assert len(list(inbound_checks.check(doctor_facts(system, ENGINE_28_NAT), NAT))) == 1


PUBLISHED = f"-A DOCKER -d 2001:db8:103:0:78::5/128 ! -i {BRIDGE} -o {BRIDGE} -p tcp --dport 8080 -j ACCEPT"


def test_published_ports_of_a_routed_network_are_named() -> None:
    """They are open at the container's own address, without a label; those of a label are not named."""
    rules = ENGINE_28_ROUTED.replace("-A DOCKER -o", f"{PUBLISHED}\n-A DOCKER -o", 1)
    host = replace(
        builders.host(),
        links={"eth0": builders.UPLINK, BRIDGE: Link(BRIDGE, 10, neighbour_discovery=True, kind="bridge")},
    )

    def published(ports: str) -> list[str]:
        system = facts(mapped(network=HE_IPV6, ports=ports), networks=(HE_IPV6,), of_host=host)
        findings = inbound_checks.check(doctor_facts(system, rules), HE_IPV6)
        return [each.found for each in findings if each.check == "published-ports"]

    (found,) = published("80")
    assert found.endswith("docker run -p: web 8080/tcp")
    assert published("8000-9000") == []


def test_the_fix_for_an_internal_network_creates_it_without_that_option() -> None:
    """It is the only finding."""
    network = replace(HE_IPV6, internal=True)
    (finding,) = check(network, ENGINE_28_ROUTED)
    assert finding.level is Level.FAIL
    assert "--internal" not in finding.fix.split(" || ")[0]
