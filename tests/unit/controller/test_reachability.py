"""The warning about a network that lets no traffic in from outside."""

import threading
from dataclasses import replace

import pytest

from dockeripv6mapper.model import Network
from dockeripv6mapper.settings import Settings
from tests.unit.controller.world import World, running_controller
from tests.unit.doctor.builders import HE_IPV6, mapped

NAT = replace(HE_IPV6, gateway_mode="nat")
OFTEN = Settings(resync=0.05)


def world_on(network: Network, ports: str | None = None) -> World:
    """Return a world with one container mapped to `network`."""
    web = mapped(network=network)
    if ports is not None:
        web = replace(web, labels={**web.labels, "ipv6.mapper.ports": ports})
    return World(containers={web.id: web}, engine_networks=(network,))


def warnings(there: World, caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings about the network after three full passes."""
    passes = threading.Semaphore(0)
    there.before_list = passes.release
    with running_controller(there, OFTEN):
        for _ in range(3):
            assert passes.acquire(timeout=10)
    return [each.message for each in caplog.records if "is unreachable from outside" in each.message]


@pytest.mark.parametrize("network", [NAT, replace(HE_IPV6, internal=True)], ids=["nat", "internal"])
def test_a_network_that_lets_nothing_in_causes_one_short_warning(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    """It is one line of at most 200 characters, and names `doctor`."""
    there = world_on(network)
    (line,) = warnings(there, caplog)
    assert "DockerIPV6Mapper.py doctor" in line
    assert len(line) <= 200


def test_ports_that_stay_shut_behind_an_engine_with_nftables_cause_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In gateway mode `nat`, its raw rule drops a packet whatever mark it has."""
    there = world_on(NAT, "80")
    there.filters_with_nftables = True
    (line,) = warnings(there, caplog)
    assert "nftables" in line
    assert len(line) <= 200


@pytest.mark.parametrize(
    ("network", "ports"), [(replace(NAT, gateway_mode="routed"), None), (HE_IPV6, None), (NAT, "80")]
)
def test_a_network_that_lets_traffic_in_causes_no_warning(
    network: Network, ports: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """A routed network, an engine without gateway modes, and a label that opens a port."""
    assert warnings(world_on(network, ports), caplog) == []
