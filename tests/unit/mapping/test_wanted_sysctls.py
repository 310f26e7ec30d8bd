"""Sysctls: which are needed, and in which order. No mapping may cost the host its own default route."""

from dataclasses import replace

import pytest

from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.wanted_sysctls import (
    advertised_links,
    plan_sysctls,
    routes_lost,
    sysctls_for,
    wanted_sysctls,
)
from dockeripv6mapper.model import Host, Link
from dockeripv6mapper.settings import ProxyMode, Settings
from tests.unit import builders
from tests.unit.builders import container, facts, network

OTHER = Link("eth1", 3, neighbour_discovery=True)
LOOPBACK = Link("lo", 1, neighbour_discovery=False, loopback=True)
BRIDGE = Link("br-0123456789ab", 10, neighbour_discovery=True)
NAMED_BRIDGE = Link("mapped0", 11, neighbour_discovery=True)
VETH = Link("veth1", 12, neighbour_discovery=True, master=10)
BOND_PORT = Link("eth2", 13, neighbour_discovery=True, master=99)


def host(*links: Link, default: tuple[str, ...] = ()) -> Host:
    """A host with these links; `default`: the names of those with a default route."""
    return Host(links={link.name: link for link in links}, default_route_links=default)


def test_accept_ra_is_set_on_every_link_before_forwarding() -> None:
    """Else the host would ignore router advertisements, and lose its own default route."""
    wanted = wanted_sysctls(["eth0", "eth1"], [builders.UPLINK], routing=True, proxying=True)
    assert [key for key, *_ in wanted] == [
        "conf/eth0/accept_ra",
        "conf/eth1/accept_ra",
        "conf/default/accept_ra",
        "conf/all/forwarding",
        "conf/eth0/forwarding",
        "conf/all/proxy_ndp",
        "conf/eth0/proxy_ndp",
        "neigh/eth0/proxy_delay",
    ]


@pytest.mark.parametrize(("now", "changed"), [("0", False), ("1", True), ("2", False)])
def test_accept_ra_is_changed_only_from_one(now: str, changed: bool) -> None:
    """A link on which it is 0, for never, stays so."""
    wanted = [("conf/eth0/accept_ra", "2", "1")]
    assert bool(plan_sysctls(wanted, {"conf/eth0/accept_ra": now})) is changed


@pytest.mark.parametrize(
    ("all_links", "changed"), [("0", "conf/all/forwarding"), ("1", "conf/eth0/forwarding")]
)
def test_an_uplinks_own_forwarding_is_set_only_where_the_hosts_is_on_already(
    all_links: str, changed: str
) -> None:
    """Where a link does not forward, the kernel does not answer for its proxy entries."""
    wanted = wanted_sysctls([], [builders.UPLINK], routing=True, proxying=True)
    current: dict[str, str | None] = {key: value for key, value, _ in wanted}
    current |= {"conf/all/forwarding": all_links, "conf/eth0/forwarding": "0"}
    assert [each.key for each in plan_sysctls(wanted, current)] == [changed]


def test_a_tunnel_needs_forwarding_and_no_proxy_ndp() -> None:
    """There is no Neighbour Discovery on a point-to-point link."""
    wanted = wanted_sysctls([], [builders.TUNNEL], routing=True, proxying=True)
    assert [key for key, *_ in wanted] == ["conf/default/accept_ra", "conf/all/forwarding"]


def test_accept_ra_is_left_alone_on_the_engines_bridges_and_their_ports() -> None:
    """A container there could pose as a router. A port of a bond or of another bridge may have a real one."""
    given = facts(
        networks=(network(bridge="mapped0"),),
        of_host=host(LOOPBACK, builders.UPLINK, OTHER, BRIDGE, NAMED_BRIDGE, VETH, BOND_PORT),
    )
    assert advertised_links(given) == ("eth0", "eth1", "eth2")


def test_forwarding_is_needed_only_where_a_container_is_reached_through_the_host() -> None:
    """By then the engine has switched it on, and has set the policy of its FORWARD chain."""
    assert not needs_forwarding(facts())
    assert not needs_forwarding(facts(container()))
    assert not needs_forwarding(facts(container(network="he_ipv6"), networks=(network(driver="macvlan"),)))
    assert needs_forwarding(facts(container(network="he_ipv6")))


def needs_forwarding(given: Facts) -> bool:
    """Whether the sysctls for these facts hold forwarding, with `--proxy off`."""
    settings = Settings(proxy=ProxyMode.OFF)
    desired = Desired(settings)
    desired.update(given, given.containers)
    return "conf/all/forwarding" in [key for key, *_ in sysctls_for(desired, given, settings)]


def test_a_link_that_lost_its_default_route_to_forwarding_is_named() -> None:
    """It is an uplink that needs repair. This host is not one without an uplink."""
    current = {"conf/all/forwarding": "1", "conf/eth0/accept_ra": "1", "conf/eth1/accept_ra": "0"}
    given = replace(facts(of_host=host(builders.UPLINK, OTHER)), sysctls=current)
    assert list(routes_lost(given)) == ["eth0"]
    assert not list(routes_lost(replace(given, sysctls={**current, "conf/all/forwarding": "0"})))
    elsewhere = replace(given, host=replace(given.host, default_route_links=("eth1",)))
    assert not list(routes_lost(elsewhere))


PHYSICAL = Link("eth0", 2, neighbour_discovery=True)
GUESTS = Link("virbr0", 20, neighbour_discovery=True, kind="bridge")
TAP = Link("vnet0", 21, neighbour_discovery=True, kind="tun", master=20)
PODMAN = Link("veth7", 22, neighbour_discovery=True, kind="veth", master=20)
LAN = Link("vmbr0", 23, neighbour_discovery=True, kind="bridge")
LAN_PORT = Link("eth3", 24, neighbour_discovery=True, master=23)
LAN_TAP = Link("tap8", 25, neighbour_discovery=True, kind="tun", master=23)
POD = Link("cali1234", 26, neighbour_discovery=True, kind="veth")
VLAN = Link("eth0.7", 27, neighbour_discovery=True, kind="vlan")
EMPTY = Link("virbr1", 28, neighbour_discovery=True, kind="bridge")
ALL = (PHYSICAL, GUESTS, TAP, PODMAN, LAN, LAN_PORT, LAN_TAP, POD, VLAN, EMPTY)


def test_accept_ra_is_left_alone_on_links_to_guests() -> None:
    """A guest could pose as a router. A bridge with a physical port has the LAN's routers."""
    assert advertised_links(facts(of_host=host(*ALL))) == ("eth0", "vmbr0", "eth3", "eth0.7")


def test_links_to_guests_count_where_the_only_default_route_or_a_name_makes_them_uplinks() -> None:
    """The host's router may be a virtual machine. A guest cannot make itself one beside another router."""
    assert "virbr0" in advertised_links(facts(of_host=host(*ALL, default=("virbr0",))))
    assert "virbr0" not in advertised_links(facts(of_host=host(*ALL, default=("eth0", "virbr0"))))
    assert "virbr0" in advertised_links(facts(of_host=host(*ALL, default=("eth0",))), [GUESTS])


def test_veth_counts_in_a_namespace_without_a_physical_link() -> None:
    """There it may be the way to the outside, as eth0 in an LXC container is."""
    veth, bridge = Link("eth0", 2, neighbour_discovery=True, kind="veth"), replace(GUESTS, name="lxcbr0")
    assert advertised_links(facts(of_host=host(LOOPBACK, veth, bridge, PODMAN))) == ("eth0",)


def test_accept_ra_that_a_guests_new_link_has_inherited_is_taken_back() -> None:
    """From `conf.default`, where the mapper sets it. A link that was there before keeps its value."""
    engines = Link("br-0123456789ab", 30, neighbour_discovery=True, kind="bridge")
    given = facts(of_host=host(*ALL, engines, default=("eth0",)))
    appeared = frozenset({GUESTS.index, TAP.index, LAN.index, POD.index, engines.index})
    wanted = sysctls_for(Desired(Settings()), replace(given, appeared=appeared), Settings())
    closing = [
        (key, value, only) for key, value, only in wanted if value == "1" and key.endswith("accept_ra")
    ]
    assert closing == [("conf/virbr0/accept_ra", "1", "2"), (f"conf/{POD.name}/accept_ra", "1", "2")]
    assert list(wanted[:2]) == closing  # before anything that may be refused
    assert not any(
        value == "1" and key.endswith("accept_ra")
        for key, value, _ in sysctls_for(Desired(Settings()), given, Settings())
    )


def test_route_lost_behind_the_engines_own_default_route_is_named() -> None:
    """A default route over the engine's bridge is no uplink's."""
    current = {"conf/all/forwarding": "1", "conf/eth0/accept_ra": "1"}
    given = replace(facts(of_host=host(builders.UPLINK, BRIDGE, default=(BRIDGE.name,))), sysctls=current)
    assert list(routes_lost(given)) == ["eth0"]
