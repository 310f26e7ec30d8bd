"""Ports by label, seen from the controller: open while the container runs, and not a moment longer."""

import threading
from dataclasses import replace

import pytest

from dockeripv6mapper.actions import Connect
from dockeripv6mapper.engine.events import Change
from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.model import FirewallRules, Opening
from dockeripv6mapper.settings import DEFAULT_FWMARK, FirewallMode, Settings
from tests.lab.waiting import eventually
from tests.unit.builders import MON_CONTAINER, container, endpoint
from tests.unit.controller.world import World, event, running

WEB = Opening(MON_CONTAINER, "tcp", 80, 80)
SERVING = container(
    network="he_ipv6", ports="80", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),)
)


def test_ports_are_open_while_the_container_runs() -> None:
    """From its start to its death."""
    world = World(containers={SERVING.id: SERVING})
    with running(world) as controller:
        eventually(lambda: world.firewall.openings == {WEB})
        controller.post(event(SERVING, Change.DIED))
        eventually(lambda: not world.firewall.openings)


def test_ports_are_closed_before_the_address_goes_to_another() -> None:
    """A successor that asks for none has none open for an instant."""
    successor = container("later", network="he_ipv6", suffix="3d:7a:30", created=2000, running=True)
    world = World(containers={SERVING.id: SERVING, successor.id: successor})
    open_at_connect: list[frozenset[Opening]] = []
    with running(world) as controller:
        eventually(lambda: world.firewall.openings == {WEB})
        world.failing = lambda _: open_at_connect.append(world.firewall.openings)
        del world.containers[SERVING.id]
        controller.post(event(SERVING, Change.DESTROYED))
        eventually(lambda: any(isinstance(action, Connect) for action in world.actions))
    assert open_at_connect == [frozenset()]


def test_a_starting_daemon_closes_nothing_for_a_moment() -> None:
    """What the last process opened stays open until it is known what is wanted."""
    world = World(containers={SERVING.id: SERVING}, firewall=FirewallRules(DEFAULT_FWMARK, frozenset({WEB})))
    applied: list[FirewallRules] = []
    world.filtering = applied.append
    with running(world, Settings(resync=0.05)):
        eventually(lambda: world.written)
        passes = threading.Event()
        world.listing = passes.set
        assert passes.wait(timeout=10)
    assert applied
    assert all(rules.openings == {WEB} for rules in applied)


def test_a_firewall_that_fails_keeps_no_container_from_being_mapped(caplog: pytest.LogCaptureFixture) -> None:
    """It is said once, and tried again."""
    world = World(containers={SERVING.id: replace(SERVING, endpoints=())})
    tries = 0

    def fail_three_times(_: FirewallRules) -> None:
        nonlocal tries
        if (tries := tries + 1) <= 3:
            raise KernelRefusedError("running nft: not installed")

    world.filtering = fail_three_times
    with running(world, Settings(resync=0.05)):
        eventually(lambda: world.entries)
        eventually(lambda: world.firewall.openings == {WEB})
    assert caplog.text.count("running nft: not installed") == 1


def test_ports_that_cannot_be_understood_are_one_warning_and_no_opening(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The mapping stands."""
    labels = {"ipv6.mapper.network": "he_ipv6", "ipv6.mapper.ports": "80,80-79"}
    world = World(containers={SERVING.id: replace(SERVING, labels=labels)})
    with running(world, Settings(resync=0.05)):
        eventually(lambda: world.entries)
        passes = threading.Event()
        world.listing = passes.set
        assert passes.wait(timeout=10)
    assert not world.firewall.openings
    assert caplog.text.count("no port is opened: label ipv6.mapper.ports='80-79'") == 1


@pytest.mark.parametrize(
    ("mode", "openings", "closed"),
    [
        (FirewallMode.ENGINE, {WEB}, set()),
        (FirewallMode.CLOSED, {WEB}, {MON_CONTAINER}),
        (FirewallMode.OFF, set(), set()),
    ],
)
def test_the_mode_says_what_is_touched(
    mode: FirewallMode, openings: set[Opening], closed: set[object]
) -> None:
    """Only openings, also what is closed, or nothing at all."""
    world = World(containers={SERVING.id: SERVING})
    with running(world, Settings(firewall=mode)):
        eventually(lambda: world.entries)
        eventually(lambda: world.firewall.openings == openings and world.firewall.closed == closed)


def test_a_dry_run_opens_nothing_and_says_what_it_would(caplog: pytest.LogCaptureFixture) -> None:
    """As with everything else."""
    world = World(containers={SERVING.id: SERVING})
    with caplog.at_level("INFO"), running(world, Settings(dry_run=True)):
        eventually(lambda: f"would open {WEB}" in caplog.text)
    assert not world.firewall.openings
