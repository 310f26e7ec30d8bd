"""Ports by label, seen from the controller: open while the container runs, and not a moment longer."""

import threading
from dataclasses import replace

import pytest

from dockeripv6mapper.actions import Connect
from dockeripv6mapper.controller.queue import Stop
from dockeripv6mapper.engine.events import Change
from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.model import FirewallRules, Opening, ProxyEntry
from dockeripv6mapper.settings import DEFAULT_FWMARK, FirewallMode, Settings
from tests.lab.waiting import eventually
from tests.unit.builders import MON_CONTAINER, container, endpoint
from tests.unit.controller.world import NEVER, World, event, running

WEB = Opening(MON_CONTAINER, "tcp", 80, 80)
SERVING = container(
    network="he_ipv6", ports="80", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),)
)

SUCCESSOR = container("later", network="he_ipv6", suffix="3d:7a:30", created=2000, running=True)
"""Wants the same address, and no port."""
ENTRY = ProxyEntry(MON_CONTAINER, "eth0")


def test_ports_are_open_while_the_container_runs() -> None:
    """From its start to its death."""
    world = World(containers={SERVING.id: SERVING})
    with running(world) as controller:
        eventually(lambda: world.firewall.openings == {WEB})
        controller.post(event(SERVING, Change.DIED))
        eventually(lambda: not world.firewall.openings)


def test_ports_are_closed_before_the_address_goes_to_another() -> None:
    """A successor that asks for none has none open for an instant."""
    world = World(containers={SERVING.id: SERVING, SUCCESSOR.id: SUCCESSOR})
    open_at_connect: list[frozenset[Opening]] = []
    with running(world) as controller:
        eventually(lambda: world.firewall.openings == {WEB})
        world.failing = lambda _: open_at_connect.append(world.firewall.openings)
        del world.containers[SERVING.id]
        controller.post(event(SERVING, Change.DESTROYED))
        eventually(lambda: any(isinstance(action, Connect) for action in world.actions))
    assert open_at_connect == [frozenset()]


def test_an_address_goes_to_nobody_while_its_ports_are_being_closed() -> None:
    """However long that takes."""
    world = World(containers={SERVING.id: SERVING, SUCCESSOR.id: SUCCESSOR})
    closing, closed = threading.Event(), threading.Event()

    def close_slowly(rules: FirewallRules) -> None:
        if world.firewall.openings and not rules.openings:
            closing.set()
            closed.wait(timeout=10)

    world.filtering = close_slowly
    with running(world, NEVER) as controller:
        eventually(lambda: world.firewall.openings == {WEB})
        del world.containers[SERVING.id]
        controller.post(event(SERVING, Change.DESTROYED))
        assert closing.wait(timeout=10)
        eventually(lambda: not world.entries)
        assert not world.actions
        closed.set()
        eventually(lambda: any(isinstance(action, Connect) for action in world.actions))


def test_an_address_goes_to_nobody_while_its_ports_cannot_be_closed(caplog: pytest.LogCaptureFixture) -> None:
    """Where closing fails they may be open still; it is tried again."""
    world = World(containers={SERVING.id: SERVING, SUCCESSOR.id: SUCCESSOR})
    failed, mended = threading.Event(), threading.Event()

    def fail_to_close(rules: FirewallRules) -> None:
        if world.firewall.openings and not rules.openings and not mended.is_set():
            failed.set()
            raise KernelRefusedError("running nft: timed out")

    world.filtering = fail_to_close
    with running(world, NEVER) as controller:
        eventually(lambda: world.firewall.openings == {WEB})
        del world.containers[SERVING.id]
        controller.post(event(SERVING, Change.DESTROYED))
        assert failed.wait(timeout=10)
        eventually(lambda: not world.entries)
        assert not world.actions
        eventually(lambda: "container later waits: what was open at" in caplog.text)
        mended.set()
        eventually(lambda: any(isinstance(action, Connect) for action in world.actions))


def test_what_an_earlier_process_opened_is_known_before_an_address_is_given_to_anybody() -> None:
    """The container that had it may be gone."""
    world = World(
        containers={SUCCESSOR.id: SUCCESSOR}, firewall=FirewallRules(DEFAULT_FWMARK, frozenset({WEB}))
    )
    looking, seen = threading.Event(), threading.Event()

    def look_slowly() -> None:
        looking.set()
        seen.wait(timeout=10)

    world.looking_at_firewall = look_slowly
    open_at_connect: list[frozenset[Opening]] = []
    world.failing = lambda _: open_at_connect.append(world.firewall.openings)
    with running(world, NEVER):
        assert looking.wait(timeout=10)
        assert not world.actions
        seen.set()
        eventually(lambda: world.actions)
    assert open_at_connect == [frozenset()]


def test_a_firewall_that_takes_long_keeps_no_container_from_being_proxied() -> None:
    """With `--firewall engine`, where no address has to be closed first."""
    world = World(containers={SERVING.id: SERVING})
    opened = threading.Event()

    def open_slowly(_: FirewallRules) -> None:
        opened.wait(timeout=10)

    world.filtering = open_slowly
    with running(world, NEVER):
        eventually(lambda: ENTRY in world.entries)
        assert not world.firewall.openings
        opened.set()
        eventually(lambda: world.firewall.openings == {WEB})


@pytest.mark.parametrize("trouble", ["slow", "failing"])
def test_nothing_answers_for_an_address_that_is_not_closed_yet(trouble: str) -> None:
    """With `--firewall closed`, whatever the firewall's trouble is."""
    world = World(containers={SERVING.id: SERVING})
    tried, mended = threading.Event(), threading.Event()

    def have_trouble(_: FirewallRules) -> None:
        tried.set()
        if trouble == "slow":
            mended.wait(timeout=10)
        elif not mended.is_set():
            raise KernelRefusedError("running nft: timed out")

    world.filtering = have_trouble
    with running(world, Settings(firewall=FirewallMode.CLOSED, resync=86400)):
        assert tried.wait(timeout=10)
        assert not world.entries
        mended.set()
        eventually(lambda: ENTRY in world.entries)
        assert world.firewall.closed == {MON_CONTAINER}


def test_a_port_that_is_being_closed_is_closed_before_the_daemon_ends() -> None:
    """Nobody would close it until the next one starts."""
    world = World(containers={SERVING.id: SERVING})
    opening, go_on = threading.Event(), threading.Event()

    def open_slowly(rules: FirewallRules) -> None:
        if rules.openings:
            opening.set()
            go_on.wait(timeout=10)

    world.filtering = open_slowly
    with running(world, NEVER) as controller:
        assert opening.wait(timeout=10)
        controller.post(event(SERVING, Change.DIED))
        controller.post(Stop())
        eventually(lambda: not world.entries)
        go_on.set()
    assert not world.firewall.openings


def test_looks_that_take_longer_than_a_full_pass_keep_no_port_from_being_opened() -> None:
    """A change goes before the next look."""
    world = World(containers={SERVING.id: replace(SERVING, running=False)})
    looks = threading.Semaphore(0)
    world.looking_at_firewall = lambda: looks.acquire(timeout=10)
    with running(world, Settings(resync=0.02)) as controller:
        looks.release()
        eventually(lambda: world.written)
        world.containers[SERVING.id] = SERVING
        controller.post(event(SERVING, Change.STARTED))
        for _ in range(3):
            looks.release()
        eventually(lambda: world.firewall.openings == {WEB})
        looks.release(100)


def test_forwarding_that_cannot_be_closed_for_long_keeps_no_container_waiting() -> None:
    """It is switched on when that is done, and all else goes on meanwhile."""
    world = World(containers={SERVING.id: SERVING})
    closed = threading.Event()
    world.closing = lambda: closed.wait(timeout=10)
    with running(world, NEVER):
        eventually(lambda: ENTRY in world.entries)
        assert "conf/all/forwarding" not in world.written
        closed.set()
        eventually(lambda: "conf/all/forwarding" in world.written)


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
