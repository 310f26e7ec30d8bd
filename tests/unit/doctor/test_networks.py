"""Every network that a label names, and every name that leads to none."""

from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from dockeripv6mapper.doctor import networks
from dockeripv6mapper.doctor.finding import Finding, Level
from dockeripv6mapper.model import Container, Network
from dockeripv6mapper.settings import ProxyMode, Settings
from tests.unit import builders
from tests.unit.builders import container, facts
from tests.unit.doctor.builders import (
    CONFIG,
    ENGINE_20_10,
    HE_IPV6,
    ON_LINK,
    PREFIX,
    doctor_facts,
    mapped,
    problems,
)
from tests.unit.rulesets import ENGINE_28_ROUTED

LEFT = "br-0123456789ab"


def check(
    *containers: Container,
    there: tuple[Network, ...] = (HE_IPV6,),
    settings: Settings | None = None,
    on_link: frozenset[tuple[IPv6Network, str]] = ON_LINK,
    **others: object,
) -> list[Finding]:
    """The findings on networks of engine 28."""
    system = facts(*containers, networks=there, of_host=builders.host(on_link=on_link))
    return list(networks.check(doctor_facts(system, ENGINE_28_ROUTED, settings=settings, **others)))


def test_a_routed_network_with_a_container_is_well() -> None:
    """It is said that its addresses are proxied, and what comes in."""
    found = check(mapped())
    assert not problems(found)
    assert any(
        f"is inside {PREFIX}, the prefix of eth0, where its addresses are proxied" in each.found
        for each in found
    )


@pytest.mark.parametrize("name", ["gone", "it's; reboot", "$(reboot)\nreboot", "--help"])
def test_a_network_that_is_not_there_is_made_whatever_it_is_called(name: str) -> None:
    """Its name is a label's, and so anybody's."""
    (finding,) = problems(check(container("web", network=name), there=()))
    assert "\n" not in finding.fix.split("docker network create")[1]
    assert "--subnet 2001:db8:103:0:1::/80" in finding.fix


def namesake(number: int, **changes: object) -> Network:
    """One of several networks called `he_ipv6`."""
    return replace(HE_IPV6, id=f"{number}" * 64, **changes)  # type: ignore[arg-type]


def test_of_networks_with_one_name_those_that_nobody_is_on_are_removed() -> None:
    """The one that has IPv6 stays, where nobody is on any."""
    there = (namesake(1, ipv6=False, subnets=()), namesake(2))
    (finding,) = problems(check(container("web", network="he_ipv6"), there=there))
    assert finding.fix == f"docker network rm {'1' * 64}"


def test_networks_with_one_name_that_are_in_use_are_left_alone() -> None:
    """A stopped container would not start any more: its label is to name one by its ID."""
    one, two = namesake(1), namesake(2)
    stopped = container("stopped", endpoints=(builders.endpoint(of=two),))
    on_it = container("web", network="he_ipv6", running=True, endpoints=(builders.endpoint(of=one),))
    (finding,) = problems(check(stopped, on_it, there=(one, two)))
    assert "docker network rm" not in finding.fix
    assert f"--label ipv6.mapper.network={'1' * 64}" in finding.fix


def test_a_network_with_ipv4_alone_is_made_again_with_both() -> None:
    """A container there may have no other IPv4."""
    plain = replace(HE_IPV6, ipv6=False, subnets=(), ipv4=True)
    web = container("web", network="he_ipv6", running=True, endpoints=(builders.endpoint(of=plain),))
    config = replace(
        CONFIG,
        ipv4=True,
        ipv6=False,
        pools=(replace(CONFIG.pools[0], subnet="192.0.2.0/24"),),
    )
    (finding,) = problems(check(web, there=(plain,), network_configs={plain.id: config}))
    make = finding.fix.split(" || ")[0]
    assert "--subnet 192.0.2.0/24 --subnet 2001:db8:103:0:1::/80" in make
    assert "--ipv4=false" not in make


@pytest.mark.parametrize(
    ("driver", "said"),
    [("overlay", "is of the driver overlay"), ("", "has no driver"), ("host", "is of the driver host")],
)
def test_a_driver_that_nobody_reaches_is_a_failure(driver: str, said: str) -> None:
    """Another network is made besides it."""
    other = builders.network("other", driver=driver)
    (finding,) = problems(check(container("web", network="other"), there=(other,)))
    assert (finding.check, finding.level) == ("driver", Level.FAIL)
    assert said in finding.found
    assert "docker network rm" not in finding.fix


def test_labels_that_mean_nothing_are_left_out_of_the_new_network() -> None:
    """And those that do, and other programs' ones, are kept."""
    labels = {"ipv6.mapper.schema": "", "ipv6.mapper.scheme": "wide"}
    config = replace(CONFIG, labels={"ipv6.mapper.schema": "md5", "ipv6.mapper.scheme": "wide", "mine": "1"})
    (finding,) = problems(
        check(there=(replace(HE_IPV6, labels=labels),), network_configs={HE_IPV6.id: config})
    )
    make = finding.fix.split(" || ")[0]
    assert "--label ipv6.mapper.scheme=wide --label mine=1" in make
    assert "schema" not in make


def test_an_uplink_label_that_names_no_link_is_left_out() -> None:
    """The other uplinks are used then."""
    labels = {"ipv6.mapper.uplink": "eth7"}
    config = replace(CONFIG, labels=labels)
    (finding,) = problems(
        check(there=(replace(HE_IPV6, labels=labels),), network_configs={HE_IPV6.id: config})
    )
    assert "uplink" not in finding.fix.split(" || ")[0]


def test_an_abandoned_bridge_is_deleted_only_where_nothing_is_attached_to_it() -> None:
    """It may be another engine's."""
    (finding,) = problems(check(mapped(), on_link=ON_LINK | {(HE_IPV6.subnets[0], LEFT)}))
    assert finding.fix == f'[ "$(ip link show master {LEFT})" ] || ip link delete {LEFT}'


@pytest.mark.parametrize("link", ["wg0", LEFT])
def test_a_subnet_that_another_link_has_is_replaced(link: str) -> None:
    """The link is somebody's, or of another network of this engine."""
    other = builders.network("other", bridge=LEFT)
    found = check(mapped(), there=(HE_IPV6, other), on_link=ON_LINK | {(HE_IPV6.subnets[0], link)})
    (finding,) = problems(found)
    assert finding.check == "overlap"
    assert "--subnet 2001:db8:103:0:1::/80" in finding.fix.split(" || ")[0]


def test_a_longer_prefix_is_found_and_a_shorter_one_is_not() -> None:
    """The longest prefix takes the packet."""
    for prefix, taken in (("2001:db8:103:0:78::/96", True), ("2001:db8:103::/48", False)):
        found = problems(check(mapped(), on_link=ON_LINK | {(IPv6Network(prefix), "wg0")}))
        assert bool(found) is taken


def dual(*, relying: bool) -> tuple[list[Finding], Container]:
    """What is found where a container has another network with IPv4, and one, perhaps, has not."""
    plain = builders.network("plain", None, ipv4=True)
    network = replace(HE_IPV6, ipv4=True)
    web = mapped(network=network)
    web = replace(web, endpoints=(*web.endpoints, builders.endpoint(of=plain)))
    other = container("db", running=True, endpoints=(builders.endpoint(of=network),))
    containers = (web, other) if relying else (web,)
    return problems(check(*containers, there=(network, plain))), web


def test_a_network_that_takes_over_ipv4_is_made_again_without() -> None:
    """Where nobody there needs it."""
    (finding,), _ = dual(relying=False)
    assert finding.check == "dual-stack"
    assert "--ipv4=false" in finding.fix.split(" || ")[0]


def test_a_network_that_takes_over_ipv4_keeps_it_where_somebody_has_no_other() -> None:
    """Another one is made for those who have."""
    (finding,), _ = dual(relying=True)
    assert "docker network rm" not in finding.fix
    assert "he_ipv62" in finding.fix


def test_an_engine_that_cannot_do_without_ipv4_is_not_blamed() -> None:
    """It is said, and is no fault."""
    plain = builders.network("plain", None, ipv4=True)
    network = replace(HE_IPV6, ipv4=True, gateway_mode=None)
    web = mapped(network=network)
    web = replace(web, endpoints=(*web.endpoints, builders.endpoint(of=plain)))
    found = check(web, there=(network, plain), engine=ENGINE_20_10)
    assert not problems(found)
    assert any(each.check == "dual-stack" for each in found)


def test_proxy_off_is_a_warning_only_where_a_router_asks_on_the_link() -> None:
    """A routed prefix needs no proxying."""
    off = Settings(proxy=ProxyMode.OFF)
    (finding,) = problems(check(mapped(), settings=off))
    assert finding.fix.split("\n")[0] == "DockerIPV6Mapper.py --proxy mapped doctor"
    assert not problems(check(mapped(), settings=off, on_link=frozenset()))


def test_a_network_on_the_uplinks_own_link_answers_for_itself() -> None:
    """As with macvlan."""
    macvlan = replace(HE_IPV6, driver="macvlan", bridge=None, gateway_mode=None)
    found = check(mapped(network=macvlan), there=(macvlan,), settings=Settings(proxy=ProxyMode.OFF))
    assert not problems(found)
    assert any("its containers answer there themselves" in each.found for each in found)


def test_what_nobody_names_is_not_looked_at() -> None:
    """Other people's networks are their own business."""
    assert not check(container("db"), there=(HE_IPV6,))
