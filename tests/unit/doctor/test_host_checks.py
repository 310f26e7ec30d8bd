"""Findings on the host: capabilities, network namespace, uplinks, sysctls, forwarding."""

from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from dockeripv6mapper.doctor import host_checks
from dockeripv6mapper.doctor.finding import Finding
from dockeripv6mapper.firewall_rules import Chain, Rule
from dockeripv6mapper.mapping.wanted_sysctls import sysctls_for
from dockeripv6mapper.model import Host, Link, Network
from dockeripv6mapper.settings import Settings
from tests.unit import builders
from tests.unit.builders import UPLINK, facts
from tests.unit.doctor.builders import ENGINE_28, HE_IPV6, PREFIX, doctor_facts, problems
from tests.unit.rulesets import BRIDGE

DOCKER0 = replace(builders.network("bridge", None, bridge="docker0"), default_bridge=True)


def check(
    of_host: Host,
    *networks: Network,
    settings: Settings | None = None,
    sysctls: dict[str, str | None] | None = None,
) -> list[Finding]:
    """The findings on a host on which everything not named here is right."""
    system = facts(networks=networks, of_host=of_host)
    wanted = {
        key: value
        for key, value, _ in sysctls_for(doctor_facts(system).desired, system, settings or Settings())
    }
    system = replace(system, sysctls={**wanted, **(sysctls or {})})
    capabilities = frozenset(host_checks.CAPABILITIES)
    return list(host_checks.check(doctor_facts(system, settings=settings, capabilities=capabilities)))


def with_links(*names: str) -> Host:
    """A host with an uplink and other links."""
    others = {name: Link(name, 10 + number, neighbour_discovery=True) for number, name in enumerate(names)}
    return replace(builders.host(), links={UPLINK.name: UPLINK, **others})


def test_a_host_on_which_all_is_right_has_only_ok_findings() -> None:
    """One for each check."""
    findings = check(with_links(BRIDGE), HE_IPV6)
    assert not problems(findings)
    assert [each.check for each in findings] == ["capability", "namespace", "uplink", "sysctl"]


def test_a_docker0_does_not_show_that_the_namespace_is_the_engines() -> None:
    """An engine inside a container has one too. Only a bridge named after a network's ID shows it."""
    (finding,) = problems(check(with_links("docker0"), DOCKER0, HE_IPV6))
    assert finding.check == "namespace"
    assert f"nsenter --net=/proc/{ENGINE_28.pid}/ns/net" in finding.fix
    assert not problems(check(with_links("docker0"), DOCKER0))


def test_the_fix_for_a_missing_uplink_proposes_a_link_with_a_prefix() -> None:
    """Neither the loopback, which has `::1/128`, nor a bridge of the engine."""
    prefixes = {(IPv6Network("::1/128"), "lo"), (HE_IPV6.subnets[0], BRIDGE)}
    of_host = replace(
        with_links(BRIDGE, "wlan0"),
        default_route_links=(),
        on_link=frozenset({*prefixes, (IPv6Network("2001:db8:1::/64"), "wlan0")}),
    )
    (finding,) = problems(check(of_host, HE_IPV6))
    assert finding.fix.split("\n")[0] == "DockerIPV6Mapper.py --uplink wlan0 doctor"


def test_without_any_prefix_the_fix_accepts_router_advertisements() -> None:
    """A route by hand is only a comment, since it needs the router's address."""
    of_host = replace(builders.host(Link("eth0.7", 2, neighbour_discovery=True)), default_route_links=())
    (finding,) = problems(check(of_host))
    comment, command = finding.fix.split("\n")
    assert comment.startswith("#")
    assert command == "sysctl -w net.ipv6.conf.eth0/7.accept_ra=2"


def test_the_name_of_a_link_is_quoted() -> None:
    """The kernel forbids little more than slashes and spaces."""
    hostile = Link("$(reboot)", 3, neighbour_discovery=True)
    of_host = replace(builders.host(hostile), on_link=frozenset({(PREFIX, hostile.name)}))
    missing = problems(check(of_host, settings=Settings(uplinks=("gone",))))
    assert "--uplink '$(reboot)' doctor" in missing[0].fix
    sysctl = problems(check(of_host, sysctls={"conf/$(reboot)/proxy_ndp": "0"}))
    assert sysctl[0].fix == "sysctl -w 'net.ipv6.conf.$(reboot).proxy_ndp=1'"


@pytest.mark.parametrize(
    ("value", "text"), [("0", "is 0, and has to be 1"), (None, "cannot be read, and has to be 1")]
)
def test_a_wrong_sysctl_is_named_with_its_value(value: str | None, text: str) -> None:
    """It may be missing, as with IPv6 switched off."""
    (finding,) = problems(check(builders.host(), sysctls={"conf/eth0/proxy_ndp": value}))
    assert finding.found == f"net.ipv6.conf.eth0.proxy_ndp {text}"


def test_a_default_route_lost_to_forwarding_is_explained() -> None:
    """The finding names the cause, and the fix accepts router advertisements again."""
    without = replace(builders.host(), default_route_links=())
    sysctls: dict[str, str | None] = {"conf/all/forwarding": "1", "conf/eth0/accept_ra": "1"}
    (finding,) = (each for each in problems(check(without, sysctls=sysctls)) if each.check == "uplink")
    assert "forwarding was switched on while eth0 had accept_ra=1" in finding.found
    assert "net.ipv6.conf.eth0.accept_ra=2" in finding.fix


@pytest.mark.parametrize(("policy", "warned"), [("ACCEPT", True), ("DROP", False)])
def test_a_host_that_routes_for_other_hosts_is_a_warning(policy: str, warned: bool) -> None:
    """The engine does not set FORWARD's policy if forwarding was on before it started."""
    rule = Rule("-A FORWARD -j DOCKER-USER", ("-j", "DOCKER-USER"))
    chains = {"ip6tables": {("filter", "FORWARD"): Chain(policy, (rule,))}}
    system = replace(facts(), sysctls={"conf/all/forwarding": "1"})
    findings = list(host_checks.check(doctor_facts(system, chains=chains)))
    fixes = [each.fix for each in findings if each.check == "forwarding"]
    assert fixes == (["ip6tables -P FORWARD DROP"] if warned else [""])


def test_each_missing_capability_is_a_finding() -> None:
    """Nothing works without CAP_NET_ADMIN, a part without CAP_NET_RAW."""
    system = facts(networks=())
    findings = problems(host_checks.check(doctor_facts(system, capabilities=frozenset())))
    assert [(each.check, each.level.value) for each in findings][:2] == [
        ("capability", "fail"),
        ("capability", "warn"),
    ]
