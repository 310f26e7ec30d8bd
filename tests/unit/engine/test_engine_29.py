"""Answers that an engine 29.7 printed, to each call that the mapper makes; in `fixtures`.

Recorded with the containerd store, the iptables backend and API 1.56. What the client speaks is API 1.51: by
moby's source (`daemon/server/router/container/inspect.go`) its inspections have `Config.MacAddress`, too.
"""

import json
import logging
from ipaddress import IPv6Address, IPv6Network
from typing import Any

import pytest

from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.engine.config import (
    container_config_from_inspection,
    engine_from_info,
    network_config_from_list,
)
from dockeripv6mapper.engine.connection import read_range
from dockeripv6mapper.engine.endpoint_settings import user_settings
from dockeripv6mapper.engine.errors import refused_error
from dockeripv6mapper.engine.events import Change, ContainerChanged, ImagesChanged, translate
from dockeripv6mapper.engine.mac_addresses import Mac, MacOrigin, mac_of
from dockeripv6mapper.engine.translate import (
    container_from_inspection,
    container_from_list,
    network_from_list,
)
from dockeripv6mapper.engine_config import EndpointConfig, EngineInfo
from dockeripv6mapper.errors import AddressNotAcceptedError
from tests.unit.engine.test_renamed_fields import FIXTURES, answer
from tests.unit.engine.wire import Wire
from tests.unit.engine.wire import answer as reply

API = (1, 51)
MAPPED = IPv6Address("2001:db8:103:0:41:e:1:2")
CHOSEN = "02:11:22:33:44:55"
IMAGE = "sha256:a00c9f9ea8fa61c115b5936a3269a840369c041b5c9d10e8736120a9a1959fde"


def only_endpoint(inspected: Any) -> Any:  # noqa: ANN401 - JSON
    """The endpoint of a container with one network."""
    (endpoint,) = inspected["NetworkSettings"]["Networks"].values()
    return endpoint


def test_the_newest_tested_version_of_the_api_is_spoken() -> None:
    """Also with 29.0 to 29.2, which do not offer the versions before 1.44."""
    offered = read_range(answer("version"))
    assert (offered.engine, offered.newest, offered.oldest) == ("29.7.1-lab", (1, 56), (1, 40))
    assert offered.platform == ("linux", "amd64")
    assert offered.spoken == API
    assert read_range({**answer("version"), "ApiVersion": "1.52", "MinAPIVersion": "1.44"}).spoken == API


def test_a_newer_version_of_the_api_is_logged_once(
    wire: Wire, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Not at each subscription."""
    wire.version = "1.56"
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            client.events().close()
    assert [each.getMessage() for each in caplog.records] == [
        "engine of an unknown version offers API 1.56: using 1.51, the newest tested version"
    ]


def test_the_engine_describes_itself() -> None:
    """It chooses default routes by family. Its default firewall backend is iptables."""
    engine = engine_from_info(answer("info"), API, None)
    assert engine == EngineInfo("29.7.1-lab", API, firewall_backend="iptables")
    assert engine.routes_by_family
    assert not engine.filters_with_nftables


def test_the_firewall_backend_is_asked_for_once_for_each_connection(wire: Wire, client: Client) -> None:
    """And not at all of an engine before 28.1. A proxy of the socket may forbid it."""
    for version, calls in (("1.47", 0), ("1.56", 1)):
        wire.version = version
        client.close()
        for _ in range(2):
            assert not client.snapshot().filters_with_nftables
        assert len([each for each in wire.asked if each.endswith("/info")]) == calls
    client.close()
    wire.spoils = {"/info": reply(403, "{}")}
    assert not client.snapshot().filters_with_nftables
    client.close()
    nftables = {**answer("info"), "FirewallBackend": {"Driver": "nftables+firewalld"}}
    wire.spoils = {"/info": reply(200, json.dumps(nftables))}
    assert client.snapshot().filters_with_nftables


def test_each_event_is_a_message() -> None:
    """From a creation with a connect, over restart, disconnect and rename, to a removal."""
    lines = (FIXTURES / "events.jsonl").read_text().splitlines()
    messages = [translate(json.loads(line)) for line in lines]
    created = [each for each in messages if isinstance(each, ContainerChanged) and each.created]
    assert [each.created.name for each in created if each.created] == ["created", "withmac"]
    assert [each.created.image for each in created if each.created] == ["busybox:lab"] * 2
    ids = {each.container_id[:12]: [] for each in created}  # type: dict[str, list[Change]]
    for each in messages:
        if isinstance(each, ContainerChanged):
            ids[each.container_id[:12]].append(each.change)
    start = [Change.CREATED, Change.ATTACHED, Change.ATTACHED, Change.STARTED]
    end = [Change.OTHER, Change.DETACHED, Change.DETACHED, Change.DIED, Change.DESTROYED]
    assert ids["b7a7968bf300"] == [*start, *end]
    assert ids["de5a633f2e93"].count(Change.STARTED) == 3
    assert [each for each in messages if not isinstance(each, ContainerChanged)] == [ImagesChanged()] * 2


def test_containers_and_networks_are_read_from_lists() -> None:
    """A container with its endpoints, and networks with each gateway mode, with and without IPv4."""
    containers = [container_from_list(item) for item in answer("containers")]
    created = next(each for each in containers if each.name == "created")
    assert (created.image, created.running, created.network_mode) == (IMAGE, True, "bridge")
    assert {each.network: each.address for each in created.endpoints} == {"bridge": None, "routed6": MAPPED}
    networks = {each.name: each for each in (network_from_list(item, API) for item in answer("networks"))}
    modes = {name: (each.gateway_mode, each.ipv4, each.ipv6) for name, each in networks.items()}
    assert modes["he_ipv6"] == ("nat", True, True)
    assert modes["routed6"] == ("routed", True, True)
    assert modes["v6only"] == ("routed", False, True)
    assert modes["bridge"] == ("nat", True, False)
    assert networks["auto6"].subnets == (IPv6Network("fd3c:cbaf:148b::/64"),)
    config = network_config_from_list(next(each for each in answer("networks") if each["Name"] == "v6only"))
    assert (config.ipv4, [pool.subnet for pool in config.pools]) == (False, ["2001:db8:103:0:42::/80"])


@pytest.mark.parametrize("name", ["inspect-created-connected", "inspect-running"])
def test_the_mark_of_an_endpoint_is_read_from_an_inspection(name: str) -> None:
    """Before and after the start, when the engine adds network and address."""
    container = container_from_inspection(answer(name))
    endpoint = next(each for each in container.endpoints if each.network == "routed6")
    assert (endpoint.ours, endpoint.requested) == (True, MAPPED)
    assert endpoint.address == (MAPPED if container.running else None)


def test_the_settings_of_a_user_are_read_from_an_inspection() -> None:
    """Neither the container's short ID nor the addresses that the engine chose are among them."""
    inspected = answer("inspect-mac")
    address = "2001:db8:103:0:40::77"
    assert user_settings(only_endpoint(inspected), inspected) == {
        "IPAMConfig": {"IPv6Address": address},
        "Aliases": ["foo"],
    }
    config = container_config_from_inspection(inspected)
    assert config.endpoints == {"he_ipv6": EndpointConfig(ipv6=address, aliases=("foo",))}


def test_a_chosen_mac_address_is_certain_only_by_the_field_of_older_apis() -> None:
    """A running container shows it as it shows a generated one, and a stopped one not at all."""
    running, stopped = answer("inspect-mac"), answer("inspect-mac-stopped")
    assert mac_of(only_endpoint(running), running, API) == Mac(MacOrigin.GENERATED)
    assert mac_of(only_endpoint(running), running, (1, 56)) == Mac(MacOrigin.UNKNOWN, CHOSEN)
    assert mac_of(only_endpoint(stopped), stopped, (1, 56)) == Mac(MacOrigin.HIDDEN)
    for inspected in (running, stopped):
        shown = {**inspected, "Config": {**inspected["Config"], "MacAddress": CHOSEN}}
        assert mac_of(only_endpoint(shown), shown, API) == Mac(MacOrigin.CHOSEN, CHOSEN)


def test_an_address_outside_of_the_subnets_is_refused_for_good() -> None:
    """The answer has two lines."""
    error = refused_error("connecting", answer("error-connect")["message"])
    assert isinstance(error, AddressNotAcceptedError)
