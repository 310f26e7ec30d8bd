"""Findings on networks that labels name, and on labels that name no network."""

from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from dockeripv6mapper.doctor import network_checks
from dockeripv6mapper.doctor.finding import Finding, Level
from dockeripv6mapper.engine_config import ContainerConfig, EndpointConfig, EngineInfo
from dockeripv6mapper.model import Container, Network
from dockeripv6mapper.settings import ProxyMode, Settings
from tests.unit import builders
from tests.unit.builders import container, facts
from tests.unit.doctor.builders import (
    CONFIG,
    ENGINE_20_10,
    ENGINE_28,
    ENGINE_29_7,
    HE_IPV6,
    ON_LINK,
    PREFIX,
    doctor_facts,
    mapped,
    problems,
)
from tests.unit.rulesets import ENGINE_28_ROUTED

LEFTOVER = "br-0123456789ab"


def check(
    *containers: Container,
    existing: tuple[Network, ...] = (HE_IPV6,),
    settings: Settings | None = None,
    on_link: frozenset[tuple[IPv6Network, str]] = ON_LINK,
    **others: object,
) -> list[Finding]:
    """The findings on networks of engine 28, whose rules are `ENGINE_28_ROUTED`."""
    system = facts(*containers, networks=existing, of_host=builders.host(on_link=on_link))
    return list(network_checks.check(doctor_facts(system, ENGINE_28_ROUTED, settings=settings, **others)))


def test_a_routed_network_with_a_container_is_ok() -> None:
    """A finding says where its addresses are proxied."""
    findings = check(mapped())
    assert not problems(findings)
    assert any(
        f"is inside {PREFIX}, the prefix of eth0, where its addresses are proxied" in each.found
        for each in findings
    )


@pytest.mark.parametrize("name", ["gone", "it's; reboot", "$(reboot)\nreboot", "--help"])
def test_the_fix_for_a_missing_network_quotes_its_name(name: str) -> None:
    """The name comes from a label, so it may be any text."""
    (finding,) = problems(check(container("web", network=name), existing=()))
    assert "\n" not in finding.fix.split("docker network create")[1]
    assert "--subnet 2001:db8:103:0:1::/80" in finding.fix


def namesake(number: int, **changes: object) -> Network:
    """One of several networks called `he_ipv6`."""
    return replace(HE_IPV6, id=f"{number}" * 64, **changes)  # type: ignore[arg-type]


def test_of_networks_with_one_name_those_without_containers_are_removed() -> None:
    """If none has containers, the one with IPv6 stays."""
    existing = (namesake(1, ipv6=False, subnets=()), namesake(2))
    (finding,) = problems(check(container("web", network="he_ipv6"), existing=existing))
    assert finding.fix == f"docker network rm {'1' * 64}"


def test_networks_with_one_name_that_have_containers_are_not_removed() -> None:
    """A stopped container would never start again. The label has to name a network by its ID instead."""
    one, two = namesake(1), namesake(2)
    stopped = container("stopped", endpoints=(builders.endpoint(of=two),))
    running = container("web", network="he_ipv6", running=True, endpoints=(builders.endpoint(of=one),))
    (finding,) = problems(check(stopped, running, existing=(one, two)))
    assert "docker network rm" not in finding.fix
    assert f"--label ipv6.mapper.network={'1' * 64}" in finding.fix


def test_the_fix_for_a_network_with_only_ipv4_keeps_ipv4() -> None:
    """A container on it may have no other IPv4."""
    plain = replace(HE_IPV6, ipv6=False, subnets=(), ipv4=True)
    web = container("web", network="he_ipv6", running=True, endpoints=(builders.endpoint(of=plain),))
    config = replace(
        CONFIG,
        ipv4=True,
        ipv6=False,
        pools=(replace(CONFIG.pools[0], subnet="192.0.2.0/24"),),
    )
    (finding,) = problems(check(web, existing=(plain,), network_configs={plain.id: config}))
    make = finding.fix.split(" || ")[0]
    assert "--subnet 192.0.2.0/24 --subnet 2001:db8:103:0:1::/80" in make
    assert "--ipv4=false" not in make


@pytest.mark.parametrize(
    ("driver", "text"),
    [("overlay", "has the driver overlay"), ("", "has no driver"), ("host", "has the driver host")],
)
def test_a_driver_that_is_not_supported_is_a_failure(driver: str, text: str) -> None:
    """The fix creates another network beside it."""
    other = builders.network("other", driver=driver)
    (finding,) = problems(check(container("web", network="other"), existing=(other,)))
    assert (finding.check, finding.level) == ("driver", Level.FAIL)
    assert text in finding.found
    assert "docker network rm" not in finding.fix


def test_the_fix_for_an_unknown_label_leaves_it_out() -> None:
    """Known labels and those of other programs are kept."""
    labels = {"ipv6.mapper.schema": "", "ipv6.mapper.scheme": "wide"}
    config = replace(CONFIG, labels={"ipv6.mapper.schema": "md5", "ipv6.mapper.scheme": "wide", "mine": "1"})
    (finding,) = problems(
        check(existing=(replace(HE_IPV6, labels=labels),), network_configs={HE_IPV6.id: config})
    )
    make = finding.fix.split(" || ")[0]
    assert "--label ipv6.mapper.scheme=wide --label mine=1" in make
    assert "schema" not in make


def test_the_fix_for_an_uplink_label_that_names_no_link_leaves_it_out() -> None:
    """The network then uses the host's uplinks."""
    labels = {"ipv6.mapper.uplink": "eth7"}
    config = replace(CONFIG, labels=labels)
    (finding,) = problems(
        check(existing=(replace(HE_IPV6, labels=labels),), network_configs={HE_IPV6.id: config})
    )
    assert "uplink" not in finding.fix.split(" || ")[0]


def test_a_leftover_bridge_is_deleted_only_if_nothing_is_attached_to_it() -> None:
    """It may be another engine's."""
    (finding,) = problems(check(mapped(), on_link=ON_LINK | {(HE_IPV6.subnets[0], LEFTOVER)}))
    assert finding.fix == f'[ "$(ip link show master {LEFTOVER})" ] || ip link delete {LEFTOVER}'


@pytest.mark.parametrize("link", ["wg0", LEFTOVER])
def test_a_subnet_that_another_link_has_is_replaced(link: str) -> None:
    """A link that may be in use is never deleted: a tunnel, or the bridge of another network."""
    other = builders.network("other", bridge=LEFTOVER)
    on_link = ON_LINK | {(HE_IPV6.subnets[0], link)}
    (finding,) = problems(check(mapped(), existing=(HE_IPV6, other), on_link=on_link))
    assert finding.check == "overlap"
    assert "--subnet 2001:db8:103:0:1::/80" in finding.fix.split(" || ")[0]


def test_only_a_longer_prefix_of_another_link_is_an_overlap() -> None:
    """The route with the longest prefix gets the packet."""
    for prefix, overlaps in (("2001:db8:103:0:78::/96", True), ("2001:db8:103::/48", False)):
        findings = problems(check(mapped(), on_link=ON_LINK | {(IPv6Network(prefix), "wg0")}))
        assert bool(findings) is overlaps


def dual(
    *, relying: bool, other_subnet: IPv6Network | None = None, engine: EngineInfo = ENGINE_28
) -> tuple[list[Finding], Container]:
    """The problems of a dual-stack network with a container that has other IPv4, and that container.

    `relying`: a second container has no other IPv4. `other_subnet`: of the container's other network.
    """
    plain = builders.network("plain", other_subnet, ipv4=True)
    network = replace(HE_IPV6, ipv4=True)
    web = mapped(network=network)
    web = replace(web, endpoints=(*web.endpoints, builders.endpoint(of=plain)))
    other = container("db", running=True, endpoints=(builders.endpoint(of=network),))
    containers = (web, other) if relying else (web,)
    return problems(check(*containers, existing=(network, plain), engine=engine)), web


def test_the_fix_for_a_network_that_takes_over_ipv4_removes_its_ipv4() -> None:
    """No container there needs it."""
    (finding,), _ = dual(relying=False)
    assert finding.check == "dual-stack"
    assert "--ipv4=false" in finding.fix.split(" || ")[0]


def test_a_network_keeps_its_ipv4_where_the_ipv6_default_route_would_move_without_it() -> None:
    """Before 29.4.2, an engine prefers a network with both families to one with IPv6 alone."""
    unique_local = IPv6Network("fd00:1::/64")
    assert dual(relying=False, other_subnet=unique_local)[0] == []
    newer = replace(ENGINE_29_7, version="29.4.2")
    (finding,), _ = dual(relying=False, other_subnet=unique_local, engine=newer)
    assert "--ipv4=false" in finding.fix


def test_a_network_that_takes_over_ipv4_keeps_it_if_a_container_relies_on_it() -> None:
    """The fix creates another network for the containers that do not."""
    (finding,), _ = dual(relying=True)
    assert "docker network rm" not in finding.fix
    assert "he_ipv62" in finding.fix


@pytest.mark.parametrize("relying", [True, False])
def test_an_engine_that_chooses_by_family_is_given_a_priority_instead(*, relying: bool) -> None:
    """The IPv4 default route then stays, and nothing is created again."""
    plain, network = builders.network("plain", None, ipv4=True), replace(HE_IPV6, ipv4=True)
    web = mapped(network=network)
    config = ContainerConfig(endpoints={"he_ipv6": EndpointConfig(options={"ipv6.mapper.endpoint": "added"})})

    def findings(priority: int) -> list[Finding]:
        own, other = replace(web.endpoints[0], priority=priority), builders.endpoint(of=plain)
        containers = [replace(web, endpoints=(own, other))]
        if relying:
            containers.append(container("db", running=True, endpoints=(builders.endpoint(of=network),)))
        system = builders.facts(
            *containers, networks=(network, plain), of_host=builders.host(on_link=ON_LINK)
        )
        facts = doctor_facts(
            replace(system, routes_by_family=True),
            engine=ENGINE_29_7,
            container_configs={web.id: config},
        )
        return problems(network_checks.check(facts))

    (finding,) = findings(1)
    assert finding.check == "dual-stack"
    assert "docker network connect --gw-priority -1 " in finding.fix
    assert "docker network create" not in finding.fix
    assert findings(-1) == []


def test_on_an_engine_before_28_ipv4_is_no_problem() -> None:
    """It cannot create a network without IPv4, so the finding is OK."""
    plain = builders.network("plain", None, ipv4=True)
    network = replace(HE_IPV6, ipv4=True, gateway_mode=None)
    web = mapped(network=network)
    web = replace(web, endpoints=(*web.endpoints, builders.endpoint(of=plain)))
    findings = check(web, existing=(network, plain), engine=ENGINE_20_10)
    assert not problems(findings)
    assert any(each.check == "dual-stack" for each in findings)


def test_proxy_off_is_a_warning_only_for_a_subnet_inside_the_uplinks_prefix() -> None:
    """A routed prefix needs no proxy entries."""
    off = Settings(proxy=ProxyMode.OFF)
    (finding,) = problems(check(mapped(), settings=off))
    assert finding.fix.split("\n")[0] == "DockerIPV6Mapper.py --proxy mapped doctor"
    assert not problems(check(mapped(), settings=off, on_link=frozenset()))


def test_containers_on_a_macvlan_network_need_no_proxy_entries() -> None:
    """They are on the uplink's link, and answer there themselves."""
    macvlan = replace(HE_IPV6, driver="macvlan", bridge=None, gateway_mode=None)
    findings = check(mapped(network=macvlan), existing=(macvlan,), settings=Settings(proxy=ProxyMode.OFF))
    assert not problems(findings)
    assert any("its containers answer there themselves" in each.found for each in findings)


def test_a_network_that_no_label_names_is_not_checked() -> None:
    """Such networks are not the mapper's concern."""
    assert not check(container("db"), existing=(HE_IPV6,))
