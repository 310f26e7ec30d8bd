"""Permissions, namespace, uplinks and sysctls of a host."""

from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from dockeripv6mapper.doctor import host
from dockeripv6mapper.doctor.finding import Finding
from dockeripv6mapper.firewall_rules import Chain, Rule
from dockeripv6mapper.mapping.sysctls import sysctls_for
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
    """The findings on a host where all else is well."""
    given = facts(networks=networks, of_host=of_host)
    wanted = {
        key: value
        for key, value, _ in sysctls_for(doctor_facts(given).desired, given, settings or Settings())
    }
    sysctls = {**wanted, **(sysctls or {})}
    capabilities = frozenset(host.CAPABILITIES)
    return list(
        host.check(doctor_facts(given, settings=settings, sysctls=sysctls, capabilities=capabilities))
    )


def with_links(*names: str) -> Host:
    """A host with an uplink and other links."""
    others = {name: Link(name, 10 + number, neighbour_discovery=True) for number, name in enumerate(names)}
    return replace(builders.host(), links={UPLINK.name: UPLINK, **others})


def test_a_host_with_everything_has_no_fault() -> None:
    """And it is said what was looked at."""
    found = check(with_links(BRIDGE), HE_IPV6)
    assert not problems(found)
    assert [each.check for each in found] == ["capability", "namespace", "uplink", "sysctl"]


def test_a_docker0_may_be_anybodys() -> None:
    """An engine inside a container has one too: what tells is a bridge that is called by an ID."""
    (finding,) = problems(check(with_links("docker0"), DOCKER0, HE_IPV6))
    assert finding.check == "namespace"
    assert f"nsenter --net=/proc/{ENGINE_28.pid}/ns/net" in finding.fix
    assert not problems(check(with_links("docker0"), DOCKER0))


def test_an_uplink_is_proposed_among_links_with_a_prefix() -> None:
    """Neither the loopback, which has `::1/128`, nor a bridge of the engine's."""
    prefixes = {(IPv6Network("::1/128"), "lo"), (HE_IPV6.subnets[0], BRIDGE)}
    of_host = replace(
        with_links(BRIDGE, "wlan0"),
        default_route_links=(),
        on_link=frozenset({*prefixes, (IPv6Network("2001:db8:1::/64"), "wlan0")}),
    )
    (finding,) = problems(check(of_host, HE_IPV6))
    assert finding.fix.split("\n")[0] == "DockerIPV6Mapper.py --uplink wlan0 doctor"


def test_without_any_prefix_the_router_is_asked() -> None:
    """What can be pasted takes its advertisements; a route by hand needs its address."""
    of_host = replace(builders.host(Link("eth0.7", 2, neighbour_discovery=True)), default_route_links=())
    (finding,) = problems(check(of_host))
    comment, command = finding.fix.split("\n")
    assert comment.startswith("#")
    assert command == "sysctl -w net.ipv6.conf.eth0/7.accept_ra=2"


def test_a_link_may_be_called_anything_and_stays_a_word() -> None:
    """The kernel forbids little more than slashes and spaces."""
    hostile = Link("$(reboot)", 3, neighbour_discovery=True)
    of_host = replace(builders.host(hostile), on_link=frozenset({(PREFIX, hostile.name)}))
    missing = problems(check(of_host, settings=Settings(uplinks=("gone",))))
    assert "--uplink '$(reboot)' doctor" in missing[0].fix
    sysctl = problems(check(of_host, sysctls={"conf/$(reboot)/proxy_ndp": "0"}))
    assert sysctl[0].fix == "sysctl -w 'net.ipv6.conf.$(reboot).proxy_ndp=1'"


@pytest.mark.parametrize(
    ("value", "said"), [("0", "is 0, and has to be 1"), (None, "cannot be read, and has to be 1")]
)
def test_a_sysctl_is_said_with_what_it_is(value: str | None, said: str) -> None:
    """Or that there is none, as with IPv6 switched off."""
    (finding,) = problems(check(builders.host(), sysctls={"conf/eth0/proxy_ndp": value}))
    assert finding.found == f"net.ipv6.conf.eth0.proxy_ndp {said}"


def test_a_default_route_that_went_with_forwarding_is_the_cause_that_is_named() -> None:
    """And not that no link has one: the fix is to take router advertisements again."""
    without = replace(builders.host(), default_route_links=())
    sysctls: dict[str, str | None] = {"conf/all/forwarding": "1", "conf/eth0/accept_ra": "1"}
    found = [each for each in problems(check(without, sysctls=sysctls)) if each.check == "uplink"]
    (finding,) = found
    assert "forwarding was switched on while eth0 had accept_ra=1" in finding.found
    assert "net.ipv6.conf.eth0.accept_ra=2" in finding.fix


@pytest.mark.parametrize(("policy", "warned"), [("ACCEPT", True), ("DROP", False)])
def test_a_host_that_forwards_for_anybody_is_warned_of(policy: str, warned: bool) -> None:
    """The engine leaves FORWARD alone where forwarding was on before it."""
    rule = Rule("-A FORWARD -j DOCKER-USER", ("-j", "DOCKER-USER"))
    chains = {"ip6tables": {("filter", "FORWARD"): Chain(policy, (rule,))}}
    given = facts()
    found = list(host.check(doctor_facts(given, sysctls={"conf/all/forwarding": "1"}, chains=chains)))
    fixes = [each.fix for each in found if each.check == "forwarding"]
    assert fixes == (["ip6tables -P FORWARD DROP"] if warned else [""])


def test_missing_capabilities_are_named_one_by_one() -> None:
    """One without which nothing works, and one without which less does."""
    given = facts(networks=())
    found = problems(host.check(doctor_facts(given, capabilities=frozenset())))
    assert [(each.check, each.level.value) for each in found][:2] == [
        ("capability", "fail"),
        ("capability", "warn"),
    ]
