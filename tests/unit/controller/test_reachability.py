"""What the daemon says of a network that it maps into and that lets nothing in."""

import threading
from dataclasses import replace

import pytest

from dockeripv6mapper.model import Network
from dockeripv6mapper.settings import Settings
from tests.unit.controller.world import World, running
from tests.unit.doctor.builders import HE_IPV6, mapped

NAT = replace(HE_IPV6, gateway_mode="nat")
OFTEN = Settings(resync=0.05)


def world(network: Network, ports: str | None = None) -> World:
    """A world with one mapped container on a network."""
    web = mapped(network=network)
    if ports is not None:
        web = replace(web, labels={**web.labels, "ipv6.mapper.ports": ports})
    return World(containers={web.id: web}, networks_there=(network,))


def warnings(there: World, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged of the network after several full passes."""
    passes = threading.Semaphore(0)
    there.listing = passes.release
    with running(there, OFTEN):
        for _ in range(3):
            assert passes.acquire(timeout=10)
    return [each.message for each in caplog.records if "nothing from outside gets in" in each.message]


@pytest.mark.parametrize("network", [NAT, replace(HE_IPV6, internal=True)], ids=["nat", "internal"])
def test_a_network_that_lets_nothing_in_is_warned_of_once(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    """In one line that can be read at a glance, and that names what shows the fix."""
    there = world(network)
    (line,) = warnings(there, caplog)
    assert "DockerIPV6Mapper.py doctor" in line
    assert len(line) <= 200


@pytest.mark.parametrize(
    ("network", "ports"), [(replace(NAT, gateway_mode="routed"), None), (HE_IPV6, None), (NAT, "80")]
)
def test_a_network_that_lets_something_in_is_not_warned_of(
    network: Network, ports: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """In another mode, on an engine that has no modes, or where a label opens ports."""
    assert warnings(world(network, ports), caplog) == []
