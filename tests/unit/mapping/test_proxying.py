"""Proxying: which proxy entries a container needs, and each reason for having none."""

from ipaddress import IPv6Address

import pytest

from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.proxying import needs_proxy, proxy_entries
from dockeripv6mapper.model import Container, Host, Link, ProxyEntry
from dockeripv6mapper.settings import ProxyMode, Settings
from tests.unit import builders
from tests.unit.builders import MON_CONTAINER, NGINX, container, endpoint, facts, host, network

ENTRY = ProxyEntry(MON_CONTAINER, "eth0")
"""The entry of `mapped()`."""


def entries(given: Facts, which: Container, settings: Settings | None = None) -> frozenset[ProxyEntry]:
    """Return the proxy entries of one container, after all containers were decided."""
    settings = settings or Settings()
    desired = Desired(settings)
    desired.update(given, given.containers)
    return proxy_entries(which, desired.decision(which.id), given, settings)


def mapped(*, running: bool = True, proxy: str | None = None) -> Container:
    """Return `mon_container`, mapped and connected."""
    attached = endpoint(MON_CONTAINER if running else None, MON_CONTAINER)
    labels = {} if proxy is None else {"ipv6.mapper.proxy": proxy}
    return container(network="he_ipv6", running=running, endpoints=(attached,), other_labels=labels)


def test_a_mapped_running_container_is_proxied_on_the_uplink() -> None:
    """It has one proxy entry per uplink."""
    assert entries(facts(mapped()), mapped()) == {ProxyEntry(MON_CONTAINER, "eth0")}


def test_a_stopped_container_is_not_proxied() -> None:
    """A stale entry would attract traffic that no container receives."""
    assert not entries(facts(mapped(running=False)), mapped(running=False))


def test_an_uplink_without_neighbour_discovery_gets_no_entry() -> None:
    """The other end of a tunnel routes the prefix and sends no neighbour solicitation."""
    both = host(builders.UPLINK, builders.TUNNEL)
    assert entries(facts(mapped(), of_host=both), mapped()) == {ProxyEntry(MON_CONTAINER, "eth0")}


def test_a_network_whose_bridge_is_the_uplink_gets_no_entry_there() -> None:
    """Its containers are on the uplink's link, and answer there themselves."""
    on_uplink = network(bridge=builders.UPLINK.name)
    assert not entries(facts(mapped(), networks=(on_uplink,)), mapped())


def test_a_networks_uplink_label_restricts_proxying_to_that_link() -> None:
    """If the link does not exist, there is no entry."""
    eth1 = Link("eth1", 3, neighbour_discovery=True)
    with_eth1 = Host(links={"eth0": builders.UPLINK, "eth1": eth1}, default_route_links=("eth0",))
    for label, expected in (("eth1", {ProxyEntry(MON_CONTAINER, "eth1")}), ("eth9", set())):
        labelled = network(labels={"ipv6.mapper.uplink": label})
        assert entries(facts(mapped(), networks=(labelled,), of_host=with_eth1), mapped()) == expected


@pytest.mark.parametrize(
    ("driver", "internal", "ipvlan_mode", "needed"),
    [
        ("bridge", False, None, True),
        ("bridge", True, None, False),
        ("ipvlan", False, "l3", True),
        ("ipvlan", False, "l3s", True),
        ("ipvlan", False, "l2", False),
        ("ipvlan", False, None, False),
        ("macvlan", False, None, False),
        ("overlay", False, None, False),
    ],
)
def test_only_routed_networks_need_proxy_entries(
    driver: str, internal: bool, ipvlan_mode: str | None, needed: bool
) -> None:
    """Containers on macvlan and ipvlan L2 answer Neighbour Discovery on the uplink themselves."""
    network = builders.network(driver=driver, internal=internal, ipvlan_mode=ipvlan_mode)
    assert needs_proxy(network) is needed


def test_an_images_network_label_does_not_restrict_the_users_proxy_label() -> None:
    """The user's only label is `proxy`, so every address of the container is proxied."""
    image = {"ipv6.mapper.network": "he_ipv6"}
    which = container(running=True, network="he_ipv6", proxy="true", endpoints=(endpoint(NGINX),))
    assert entries(facts(which, images={builders.IMAGE: image}), which) == {ProxyEntry(NGINX, "eth0")}


def unlabelled() -> Container:
    """Return a container that runs on the network without any label."""
    return container("plain", running=True, endpoints=(endpoint(NGINX), endpoint(IPv6Address("fe80::5"))))


@pytest.mark.parametrize(
    ("mode", "which", "proxied"),
    [
        (ProxyMode.MAPPED, unlabelled(), set()),
        (ProxyMode.OFF, unlabelled(), set()),
        (ProxyMode.ALL, unlabelled(), {NGINX}),
        (ProxyMode.OFF, mapped(), set()),
        (ProxyMode.ALL, mapped(), {MON_CONTAINER}),
        (ProxyMode.MAPPED, mapped(proxy="false"), set()),
        (ProxyMode.ALL, mapped(proxy="false"), set()),
        (ProxyMode.OFF, mapped(proxy="true"), {MON_CONTAINER}),
        (ProxyMode.ALL, mapped(proxy="perhaps"), set()),
    ],
)
def test_the_proxy_mode_and_the_containers_proxy_label_decide_what_is_proxied(
    mode: ProxyMode, which: Container, proxied: set[IPv6Address]
) -> None:
    """The label overrides the mode; `all` acts as the older ndp daemon, without link-local addresses."""
    proxied_entries = entries(facts(which), which, Settings(proxy=mode))
    assert {entry.address for entry in proxied_entries} == proxied


def test_a_container_with_only_a_proxy_label_is_proxied() -> None:
    """Every address that it has is proxied."""
    asking = container("plain", running=True, proxy="true", endpoints=(endpoint(NGINX),))
    assert entries(facts(asking), asking) == {ProxyEntry(NGINX, "eth0")}


def test_the_routers_address_is_never_proxied() -> None:
    """Not even if a container has it and the mode is `all`."""
    given = facts(unlabelled(), of_host=host(next_hops=frozenset({NGINX})))
    assert not entries(given, unlabelled(), Settings(proxy=ProxyMode.ALL))


def test_an_address_other_than_the_mapped_one_is_not_proxied() -> None:
    """The user did not ask for this address to be reachable."""
    elsewhere = container(network="he_ipv6", running=True, endpoints=(endpoint(NGINX),))
    assert not entries(facts(elsewhere), elsewhere)


def test_an_endpoint_without_an_address_or_a_known_network_is_not_proxied() -> None:
    """The engine allocates the address at the start; a network may be gone, or unreadable."""
    starting = container(network="he_ipv6", running=True, endpoints=(endpoint(None, MON_CONTAINER),))
    assert not entries(facts(starting), starting)
    assert not entries(facts(unlabelled(), networks=()), unlabelled(), Settings(proxy=ProxyMode.ALL))


def test_a_container_with_a_proxy_label_is_not_proxied_before_its_images_labels_are_known() -> None:
    """The label may be the image's own."""
    asking = mapped(proxy="true")
    assert not entries(facts(asking, images={}), asking)


@pytest.mark.parametrize(
    ("present", "needed"),
    [({}, set()), ({ENTRY: False}, set()), ({ENTRY: True}, {ENTRY})],
    ids=["no entry", "another program's entry", "our entry"],
)
def test_only_an_entry_of_ours_stays_where_the_image_was_removed(
    present: dict[ProxyEntry, bool], needed: set[ProxyEntry]
) -> None:
    """It is not known whether the proxy label is the image's own, and what is reachable stays reachable."""
    which = mapped(proxy="false")
    given = facts(which, images={builders.IMAGE: None}, of_host=host(entries=present))
    assert entries(given, which) == needed
