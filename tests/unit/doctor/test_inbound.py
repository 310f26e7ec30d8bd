"""What comes in from outside, said of a network from the rules that are there."""

from dataclasses import replace

import pytest

from dockeripv6mapper.doctor import inbound
from dockeripv6mapper.doctor.finding import Finding, Level
from dockeripv6mapper.engine_config import EngineInfo
from dockeripv6mapper.kernel.filtering import read_chains
from dockeripv6mapper.model import Network
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
from tests.unit.rulesets import ENGINE_20_10_IP6TABLES, ENGINE_28_NAT, ENGINE_28_ROUTED, UFW, filter_table

NAT = replace(HE_IPV6, gateway_mode="nat")
OLD = replace(HE_IPV6, gateway_mode=None, ipv4=True)


def check(network: Network, rules: str | None, ports: str | None = None, **others: object) -> list[Finding]:
    """The findings on a network with one container."""
    web = mapped(network=network, **({"ports": ports} if ports else {}))
    system = facts(web, networks=(network,))
    return list(inbound.check(doctor_facts(system, rules, **others), network))  # type: ignore[arg-type]


def test_a_routed_network_of_engine_28_is_well() -> None:
    """A ping comes in, and what a label opens; and it is said which rule keeps the rest out."""
    plain, opened = check(HE_IPV6, ENGINE_28_ROUTED, ports="80")
    assert (plain.level, opened.level) == (Level.OK, Level.OK)
    assert "-A DOCKER ! -i br-5314cea3e4c9" in plain.found
    assert "opens gets through ip6tables" in opened.found


def test_the_gateway_mode_nat_is_one_finding_with_the_rule_that_drops() -> None:
    """The masquerading that belongs to it is no second one."""
    (finding,) = problems(check(NAT, ENGINE_28_NAT))
    assert finding.check == "gateway-mode"
    assert "-A PREROUTING -d 2001:db8:103:0:78::5/128 ! -i br-5314cea3e4c9 -j DROP" in finding.found
    assert "gateway_mode_ipv6=routed" in finding.fix


def test_a_network_in_mode_nat_that_lets_everything_in_is_judged_by_what_was_seen() -> None:
    """As with the engine's option `allow-direct-routing`: only the masquerading is left to say."""
    open_to_all = ENGINE_28_NAT.replace("DROP", "ACCEPT")
    (finding,) = problems(check(NAT, open_to_all))
    assert finding.check == "masquerade"


def test_20_10_with_ip6tables_drops_pings_and_masquerades() -> None:
    """Where there is no DOCKER-USER, the fix goes into FORWARD; its engine knows no gateway modes."""
    ping, masquerade = problems(check(OLD, ENGINE_20_10_IP6TABLES, engine=ENGINE_20_10))
    assert ping.fix == "ip6tables -t filter -I FORWARD -d 2001:db8:103:0:78::/80 -p ipv6-icmp -j ACCEPT"
    assert "the policy of FORWARD in ip6tables drops a ping" in ping.found
    assert "enable_ip_masquerade=false" in masquerade.fix
    assert "gateway_mode" not in masquerade.fix


def test_ports_that_a_label_opens_need_the_daemons_rule() -> None:
    """Without it they are a failure, and the fix goes where the engine leaves it alone."""
    without = "\n".join(line for line in ENGINE_28_ROUTED.split("\n") if "DockerIPV6Mapper" not in line)
    (finding,) = problems(check(HE_IPV6, without, ports="80"))
    assert finding.level is Level.FAIL
    assert finding.fix == "ip6tables -t filter -I DOCKER-USER -m mark --mark 0x1000000/0x1000000 -j ACCEPT"
    assert not problems(check(HE_IPV6, without, ports="80", settings=Settings(firewall=FirewallMode.OFF)))


def test_each_port_that_a_label_opens_is_followed() -> None:
    """A rule that drops one of them is found, whatever becomes of the others."""
    rules = filter_table("-A FORWARD -p udp -m udp --dport 53 -j DROP")
    (finding,) = problems(check(HE_IPV6, rules, ports="80,53/udp"))
    assert "-p udp -m udp --dport 53 -j DROP" in finding.found


def test_a_drop_of_the_older_backend_is_mended_there() -> None:
    """Its rules are changed by another command."""
    backends = {"ip6tables": ENGINE_28_ROUTED, "ip6tables-legacy": filter_table(policy="DROP")}
    chains = {command: read_chains(rules) for command, rules in backends.items()}
    (finding,) = problems(check(HE_IPV6, None, chains=chains))
    assert finding.fix.startswith("ip6tables-legacy -t filter -I FORWARD ")


def test_ufw_lets_pings_through_and_nothing_else() -> None:
    """Its policy is named, and the rule that was not understood is counted."""
    (finding,) = check(OLD, UFW, engine=ENGINE_20_10)
    assert finding.level is Level.OK
    assert "the policy of FORWARD in ip6tables (rules before it that were not understood: 1)" in finding.found


@pytest.mark.parametrize(
    ("rules", "engine", "network", "said"),
    [
        (None, ENGINE_28, HE_IPV6, "the rules of ip6tables could not be seen"),
        (
            "",
            ENGINE_29_NFTABLES,
            HE_IPV6,
            "the engine filters with nftables, whose rules are not understood here",
        ),
        (
            "",
            ENGINE_28,
            replace(HE_IPV6, bridge=None, gateway_mode=None),
            "it does not lead through a bridge",
        ),
    ],
    ids=["unseen", "nftables", "no bridge"],
)
def test_what_was_not_looked_at_is_said_to_be_so(
    rules: str | None, engine: EngineInfo, network: Network, said: str
) -> None:
    """Nothing is claimed of it."""
    (finding,) = check(network, rules, engine=engine)
    assert finding.level is Level.OK
    assert finding.found == f"no packet's way was looked at: {said}"


def test_without_a_container_the_mode_alone_is_judged() -> None:
    """There is no rule yet that one could see."""
    for network, level in ((HE_IPV6, Level.OK), (NAT, Level.WARN)):
        (finding,) = inbound.check(doctor_facts(facts(networks=(network,)), ENGINE_28_NAT), network)
        assert finding.level is level
        assert "no container is mapped there now" in finding.found


def test_two_uplinks_with_the_same_rules_are_one_finding() -> None:
    """It is not said twice."""
    host = builders.host(builders.UPLINK, replace(builders.UPLINK, name="eth1", index=3))
    seen = facts(mapped(network=NAT), networks=(NAT,), of_host=host)
    assert len(list(inbound.check(doctor_facts(seen, ENGINE_28_NAT), NAT))) == 1


def test_an_internal_network_is_made_again_without_that() -> None:
    """Nothing else is said of it."""
    network = replace(HE_IPV6, internal=True)
    (finding,) = check(network, ENGINE_28_ROUTED)
    assert finding.level is Level.FAIL
    assert "--internal" not in finding.fix.split(" || ")[0]
