"""The engine's JSON, as real engines send it → `EngineInfo`, `NetworkConfig`, `ContainerConfig`."""

from typing import Any

import pytest

from dockeripv6mapper.engine.config import (
    can_be_recreated,
    container_config_from_inspection,
    engine_from_info,
    filters_ipv6,
    network_config_from_list,
)
from dockeripv6mapper.engine.translate import has_ipv4
from dockeripv6mapper.engine_config import ContainerConfig, EndpointConfig, NetworkConfig, Pool

NETWORK_28: dict[str, Any] = {
    "Name": "nat",
    "Id": "5314cea3e4c9",
    "Scope": "local",
    "Driver": "bridge",
    "EnableIPv4": True,
    "EnableIPv6": True,
    "IPAM": {
        "Driver": "default",
        "Options": {},
        "Config": [
            {"Subnet": "2001:db8:103:0:78::/80"},
            {"Subnet": "172.19.0.0/16", "Gateway": "172.19.0.1"},
        ],
    },
    "Internal": False,
    "Attachable": False,
    "Ingress": False,
    "ConfigFrom": {"Network": ""},
    "ConfigOnly": False,
    "Options": {},
    "Labels": {},
}
NETWORK_20_10 = {key: value for key, value in NETWORK_28.items() if key != "EnableIPv4"}
POOLS = (Pool("2001:db8:103:0:78::/80"), Pool("172.19.0.0/16", "172.19.0.1"))


@pytest.mark.parametrize("item", [NETWORK_28, NETWORK_20_10])
def test_a_network_as_both_engines_list_it(item: dict[str, Any]) -> None:
    """20.10 has no field for IPv4; each of its networks has IPv4."""
    assert network_config_from_list(item) == NetworkConfig("nat", "bridge", POOLS, ipv4=True, ipv6=True)
    assert can_be_recreated(item)


@pytest.mark.parametrize("key", sorted(NETWORK_28.keys() - {"Name", "Id"}))
def test_a_field_that_is_null_or_missing_is_empty(key: str) -> None:
    """Go writes `null` for an empty list or map."""
    for item in ({**NETWORK_28, key: None}, {name: each for name, each in NETWORK_28.items() if name != key}):
        assert network_config_from_list(item).name == "nat"
        assert can_be_recreated(item)


def test_all_ipam_options_of_a_network_are_kept() -> None:
    """A gateway with a prefix length, auxiliary addresses under either name, another IPAM driver."""
    config = [
        {"Subnet": "2001:db8::/80", "Gateway": "2001:db8::fe/80", "AuxAddress": {"printer": "2001:db8::9"}},
        {"Subnet": "192.0.2.0/24", "IPRange": "192.0.2.128/25", "AuxiliaryAddresses": {"nas": "192.0.2.8"}},
        {"Subnet": None},
    ]
    ipam = {"Driver": "other", "Options": {"pool": "1"}, "Config": config}
    network = network_config_from_list({**NETWORK_28, "IPAM": ipam, "EnableIPv4": False})
    assert network.pools == (
        Pool("2001:db8::/80", "2001:db8::fe", auxiliary={"printer": "2001:db8::9"}),
        Pool("192.0.2.0/24", ip_range="192.0.2.128/25", auxiliary={"nas": "192.0.2.8"}),
    )
    assert (network.ipam_driver, network.ipam_options, network.ipv4) == ("other", {"pool": "1"}, False)


@pytest.mark.parametrize(
    "other", [{"Scope": "swarm"}, {"ConfigFrom": {"Network": "template"}}, {"ConfigOnly": True}]
)
def test_a_network_that_its_json_does_not_describe_cannot_be_recreated(other: dict[str, Any]) -> None:
    """A manager creates Swarm networks; a network made from a template has the template's options."""
    assert not can_be_recreated({**NETWORK_28, **other})


@pytest.mark.parametrize(("field", "has"), [(True, True), (False, False), (None, True)])
def test_a_network_has_ipv4_unless_the_field_is_false(field: object, *, has: bool) -> None:
    """Engines before 28 have no such field, or null in it."""
    assert has_ipv4({**NETWORK_28, "EnableIPv4": field}) is has


@pytest.mark.parametrize(
    ("info", "version", "nftables"),
    [
        ({"ServerVersion": "20.10.24+dfsg1"}, "20.10.24+dfsg1", False),
        ({"ServerVersion": "28.5.2", "FirewallBackend": {"Driver": "iptables"}}, "28.5.2", False),
        ({"ServerVersion": "29.0.0", "FirewallBackend": {"Driver": "nftables+firewalld"}}, "29.0.0", True),
        ({"ServerVersion": None, "FirewallBackend": None}, "unknown", False),
    ],
)
def test_an_engines_version_and_firewall_backend(
    info: dict[str, Any], version: str, *, nftables: bool
) -> None:
    """Engines name the backend since 28, and firewalld with it."""
    engine = engine_from_info(info, (1, 51), None)
    assert (engine.version, engine.filters_with_nftables) == (version, nftables)


def test_an_endpoint_has_what_the_user_set() -> None:
    """Not addresses that the engine chose, nor the alias that it adds."""
    inspected = {
        "Id": "4c24154f320485f35846f225e01c1be82297296233c0318a155de1f438da42fe",
        "HostConfig": {"AutoRemove": True},
        "NetworkSettings": {
            "Networks": {
                "he_ipv6": {
                    "IPAMConfig": {"IPv6Address": "2001:db8::5", "IPv4Address": "192.0.2.5"},
                    "Links": ["db:database"],
                    "Aliases": ["www", "4c24154f3204"],
                    "DriverOpts": {"ipv6.mapper.endpoint": "added"},
                    "GwPriority": 7,
                    "IPAddress": "192.0.2.5",
                },
                "bridge": {"IPAMConfig": None, "Aliases": None, "IPAddress": "172.17.0.2"},
                "gone": None,
            }
        },
    }
    config = container_config_from_inspection(inspected)
    assert config.auto_remove
    assert config.endpoints == {
        "he_ipv6": EndpointConfig(
            "192.0.2.5", "2001:db8::5", ("www",), ("db:database",), {"ipv6.mapper.endpoint": "added"}, 7
        ),
        "bridge": EndpointConfig(),
    }


def test_a_container_without_networks_has_no_endpoints() -> None:
    """The engine shows a container like this while it removes it."""
    assert (
        container_config_from_inspection({"Id": "4c24", "HostConfig": None, "NetworkSettings": None})
        == ContainerConfig()
    )


@pytest.mark.parametrize(
    ("arguments", "options", "api", "expected"),
    [
        ([], {}, (1, 45), False),
        ([], {}, (1, 46), True),
        (["dockerd", "--ip6tables", "--experimental"], {}, (1, 41), True),
        (["dockerd", "--ip6tables=true"], {}, (1, 41), True),
        (["dockerd", "--ip6tables=false"], {}, (1, 51), False),
        (["dockerd", "--iptables=false"], {}, (1, 51), False),
        ([], {"ip6tables": True}, (1, 41), True),
        ([], {"ip6tables": False}, (1, 51), False),
        ([], {"iptables": False}, (1, 51), False),
        ([], {"ip6tables": "no"}, (1, 51), True),
    ],
)
def test_whether_an_engine_filters_ipv6_is_read_from_its_options(
    arguments: list[str], options: dict[str, object], api: tuple[int, int], *, expected: bool
) -> None:
    """By default since engine 27."""
    assert filters_ipv6(arguments, options, api) is expected
