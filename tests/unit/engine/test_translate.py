"""The engine's JSON → `model`. The JSON is as the two engines of the lab send it."""

from copy import deepcopy
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network
from typing import Any

import pytest

from dockeripv6mapper.engine import translate
from dockeripv6mapper.model import Endpoint, Network

CONTAINER: dict[str, Any] = {
    "Id": "6ba22eb23747",
    "Names": ["/other/alias", "/mon_container"],
    "ImageID": "sha256:9975",
    "Created": 1732473593,
    "State": "running",
    "Labels": {
        "ipv6.mapper.network": "he_ipv6",
        "com.docker.swarm.task.id": "t",
        "description": "long " * 1000,
    },
    "HostConfig": {"NetworkMode": "default"},
    "NetworkSettings": {
        "Networks": {
            "bridge": {"IPAMConfig": None, "NetworkID": "37c4", "GlobalIPv6Address": "", "DriverOpts": None},
            "he_ipv6": {
                "IPAMConfig": {"IPv6Address": "2001:db8::5"},
                "NetworkID": "0253",
                "GlobalIPv6Address": "2001:db8::5",
                "DriverOpts": None,
            },
            "gone": None,
        }
    },
}

NETWORK: dict[str, Any] = {
    "Id": "0253",
    "Name": "he_ipv6",
    "Driver": "bridge",
    "EnableIPv6": True,
    "IPAM": {"Config": []},
    "Internal": False,
    "Options": {},
    "Labels": {},
}


def test_a_listed_container_has_its_name_labels_and_endpoints() -> None:
    """Its own name among aliases, the relevant labels, an endpoint for each network."""
    container = translate.container_from_list(CONTAINER)
    assert container.name == "mon_container"
    assert container.labels == {"ipv6.mapper.network": "he_ipv6", "com.docker.swarm.task.id": "t"}
    assert container.running
    address = IPv6Address("2001:db8::5")
    assert container.endpoints == (
        Endpoint("bridge", "37c4", None, None),
        Endpoint("he_ipv6", "0253", address, address),
    )


def test_an_inspected_container_equals_a_listed_one_but_for_its_marks() -> None:
    """The same facts in another shape. Only an inspection shows driver options."""
    networks = deepcopy(CONTAINER["NetworkSettings"]["Networks"])
    networks["he_ipv6"]["DriverOpts"] = {translate.MARK: "added"}
    inspected = {
        "Id": CONTAINER["Id"],
        "Name": "/mon_container",
        "Image": CONTAINER["ImageID"],
        "Created": "2024-11-24T18:39:53.437865464Z",
        "State": {"Status": "running"},
        "Config": {"Labels": CONTAINER["Labels"]},
        "HostConfig": CONTAINER["HostConfig"],
        "NetworkSettings": {"Networks": networks},
    }
    by_inspection = translate.container_from_inspection(inspected)
    by_list = translate.container_from_list(CONTAINER)
    assert [each.ours for each in by_inspection.endpoints] == [False, True]
    assert replace(by_inspection, endpoints=()) == replace(by_list, endpoints=())


def test_only_a_few_unknown_labels_are_kept_and_shortened() -> None:
    """A hostile image may have any number. They are kept only for a warning."""
    hostile = {f"ipv6.mapper.{'x' * 10_000}{number}": "y" * 10_000 for number in range(1000)}
    labels = translate.relevant_labels({**hostile, "ipv6.mapper.network": "he_ipv6"})
    assert labels["ipv6.mapper.network"] == "he_ipv6"
    assert len(labels) <= 11
    assert sum(map(len, [*labels, *labels.values()])) < 5000


@pytest.mark.parametrize("state", ["restarting", "removing", "dead"])
def test_a_container_that_restarts_or_is_removed_is_in_transition(state: str) -> None:
    """The engine may carry out only part of an action then."""
    container = translate.container_from_list({**CONTAINER, "State": state})
    assert container.in_transition
    assert not container.running


@pytest.mark.parametrize("state", ["running", "paused"])
def test_a_paused_container_counts_as_running(state: str) -> None:
    """It has its addresses, and its neighbours go on soliciting them."""
    assert translate.container_from_list({**CONTAINER, "State": state}).running


def test_a_create_event_makes_a_container_that_does_not_run() -> None:
    """Name, labels and image are in the event's attributes."""
    attributes = {"name": "web", "image": "nginx:1", "ipv6.mapper.network": "he_ipv6"}
    container = translate.container_from_event("6ba2", attributes, 1732473593_500000000)
    assert (container.name, container.image, container.created) == ("web", "nginx:1", 1732473593)
    assert container.labels == {"ipv6.mapper.network": "he_ipv6"}
    assert not container.running


def network(config: list[dict[str, object]]) -> Network:
    """A network with this IPAM configuration."""
    return translate.network_from_list({**NETWORK, "IPAM": {"Config": config}}, (1, 41))


def test_the_ipv6_subnet_is_found_at_any_place_of_the_ipam_list() -> None:
    """Engine 20.10 lists IPv4 first, 28 IPv6 first. A network may have no IPv4 subnet."""
    ipv4: dict[str, object] = {"Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1"}
    ipv6: dict[str, object] = {"Subnet": "2001:db8::/80"}
    for config in ([ipv4, ipv6], [ipv6, ipv4], [ipv6]):
        assert network(config).subnets == (IPv6Network("2001:db8::/80"),)


def test_an_unlisted_gateway_is_the_first_address() -> None:
    """The engine takes that address where the user sets none, and does not list it."""
    assert network([{"Subnet": "2001:db8::/80"}]).gateways == {IPv6Address("2001:db8::1")}


def test_a_listed_gateway_and_auxiliary_addresses_are_read() -> None:
    """With or without a prefix length: the engine writes both."""
    config: dict[str, object] = {
        "Subnet": "2001:db8::/80",
        "Gateway": "2001:db8::fe/80",
        "AuxAddress": {"printer": "2001:db8::a"},
    }
    translated = network([config])
    assert translated.gateways == {IPv6Address("2001:db8::fe")}
    assert translated.auxiliary == {IPv6Address("2001:db8::a")}


@pytest.mark.parametrize(
    ("api_version", "options", "mode"),
    [
        ((1, 51), {}, "nat"),
        ((1, 51), {translate.GATEWAY_MODE_OPTION: "routed"}, "routed"),
        ((1, 47), {translate.GATEWAY_MODE_OPTION: "routed"}, None),
        ((1, 9), {}, None),
    ],
)
def test_a_network_has_a_gateway_mode_only_since_engine_28(
    api_version: tuple[int, int], options: dict[str, str], mode: str | None
) -> None:
    """Older engines accept the option and ignore it. 1.9 is older than 1.48."""
    item = {**NETWORK, "Options": options}
    assert translate.network_from_list(item, api_version).gateway_mode == mode


def test_the_gateway_of_a_128_subnet_is_its_only_address() -> None:
    """There is no first address after the network's own."""
    assert network([{"Subnet": "2001:db8::5/128"}]).gateways == {IPv6Address("2001:db8::5")}


def test_a_container_has_the_key_of_its_images_labels() -> None:
    """The image's ID alone where that is a manifest's, as recorded; else with the container's platform."""
    assert translate.image_key("sha256:1", None) == "sha256:1"
    assert translate.image_key("sha256:1", {"digest": "sha256:1"}) == "sha256:1"
    arm = {"digest": "sha256:2", "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}}
    assert translate.image_key("sha256:1", arm) == "sha256:1 linux/arm64/v8"
    assert translate.image_key("sha256:1", {"digest": "sha256:2"}) == "sha256:1 unknown"
