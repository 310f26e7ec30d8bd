"""Ports by label, in the controller: a port is open only while its container runs."""

import threading
from dataclasses import replace

import pytest

from dockeripv6mapper.actions import Connect
from dockeripv6mapper.controller.queue import FirewallChanged, Stop
from dockeripv6mapper.engine.events import Change
from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.model import FirewallRules, Opening, ProxyEntry
from dockeripv6mapper.settings import DEFAULT_FWMARK, FirewallMode, Settings
from tests.lab.waiting import eventually
from tests.unit.builders import MON_CONTAINER, container, endpoint
from tests.unit.controller.world import NEVER, World, event, running_controller

WEB = Opening(MON_CONTAINER, "tcp", 80, 80)
SERVING = container(
    network="he_ipv6", ports="80", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),)
)

SUCCESSOR = container("later", network="he_ipv6", suffix="3d:7a:30", created=2000, running=True)
"""Wants the same address, and opens no port."""
ENTRY = ProxyEntry(MON_CONTAINER, "eth0")


def test_ports_are_open_while_the_container_runs() -> None:
    """The die event closes them."""
    world = World(containers={SERVING.id: SERVING})
    with running_controller(world) as controller:
        eventually(lambda: world.firewall.openings == {WEB})
        controller.post(event(SERVING, Change.DIED))
        eventually(lambda: not world.firewall.openings)


def test_ports_are_closed_before_the_successor_gets_the_address() -> None:
    """No port is open when the successor, which opens none, is connected."""
    world = World(containers={SERVING.id: SERVING, SUCCESSOR.id: SUCCESSOR})
    open_at_connect: list[frozenset[Opening]] = []
    with running_controller(world) as controller:
        eventually(lambda: world.firewall.openings == {WEB})
        world.on_action = lambda _: open_at_connect.append(world.firewall.openings)
        del world.containers[SERVING.id]
        controller.post(event(SERVING, Change.DESTROYED))
        eventually(lambda: any(isinstance(action, Connect) for action in world.actions))
    assert open_at_connect == [frozenset()]


def test_the_successor_waits_while_the_ports_of_its_address_are_being_closed() -> None:
    """The firewall command takes long."""
    world = World(containers={SERVING.id: SERVING, SUCCESSOR.id: SUCCESSOR})
    closing, closed = threading.Event(), threading.Event()

    def close_slowly(rules: FirewallRules) -> None:
        if world.firewall.openings and not rules.openings:
            closing.set()
            closed.wait(timeout=10)

    world.on_write_firewall = close_slowly
    with running_controller(world, NEVER) as controller:
        eventually(lambda: world.firewall.openings == {WEB})
        del world.containers[SERVING.id]
        controller.post(event(SERVING, Change.DESTROYED))
        assert closing.wait(timeout=10)
        eventually(lambda: not world.entries)
        assert not world.actions
        closed.set()
        eventually(lambda: any(isinstance(action, Connect) for action in world.actions))


def test_the_successor_waits_while_closing_the_ports_of_its_address_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After a failed command the ports may still be open; the command is retried."""
    world = World(containers={SERVING.id: SERVING, SUCCESSOR.id: SUCCESSOR})
    failed, repaired = threading.Event(), threading.Event()

    def fail_to_close(rules: FirewallRules) -> None:
        if world.firewall.openings and not rules.openings and not repaired.is_set():
            failed.set()
            raise KernelRefusedError("running nft: timed out")

    world.on_write_firewall = fail_to_close
    with running_controller(world, NEVER) as controller:
        eventually(lambda: world.firewall.openings == {WEB})
        del world.containers[SERVING.id]
        controller.post(event(SERVING, Change.DESTROYED))
        assert failed.wait(timeout=10)
        eventually(lambda: not world.entries)
        assert not world.actions
        eventually(lambda: "waiting to connect container later" in caplog.text)
        repaired.set()
        eventually(lambda: any(isinstance(action, Connect) for action in world.actions))


def test_no_container_is_connected_before_the_firewall_table_was_read() -> None:
    """An earlier process may have opened ports for a container that is gone."""
    world = World(
        containers={SUCCESSOR.id: SUCCESSOR}, firewall=FirewallRules(DEFAULT_FWMARK, frozenset({WEB}))
    )
    read_began, read_may_return = threading.Event(), threading.Event()

    def read_slowly() -> None:
        read_began.set()
        read_may_return.wait(timeout=10)

    world.on_read_firewall = read_slowly
    open_at_connect: list[frozenset[Opening]] = []
    world.on_action = lambda _: open_at_connect.append(world.firewall.openings)
    with running_controller(world, NEVER):
        assert read_began.wait(timeout=10)
        assert not world.actions
        read_may_return.set()
        eventually(lambda: world.actions)
    assert open_at_connect == [frozenset()]


def test_a_slow_firewall_command_does_not_delay_proxy_entries() -> None:
    """With `--firewall engine`, an address need not be closed first."""
    world = World(containers={SERVING.id: SERVING})
    opened = threading.Event()

    def open_slowly(_: FirewallRules) -> None:
        opened.wait(timeout=10)

    world.on_write_firewall = open_slowly
    with running_controller(world, NEVER):
        eventually(lambda: ENTRY in world.entries)
        assert not world.firewall.openings
        opened.set()
        eventually(lambda: world.firewall.openings == {WEB})


@pytest.mark.parametrize("trouble", ["slow", "failing"])
def test_an_entry_is_added_only_after_its_address_was_closed(trouble: str) -> None:
    """With `--firewall closed`, whether the command is slow or fails."""
    world = World(containers={SERVING.id: SERVING})
    tried, repaired = threading.Event(), threading.Event()

    def fail_or_block(_: FirewallRules) -> None:
        tried.set()
        if trouble == "slow":
            repaired.wait(timeout=10)
        elif not repaired.is_set():
            raise KernelRefusedError("running nft: timed out")

    world.on_write_firewall = fail_or_block
    with running_controller(world, Settings(firewall=FirewallMode.CLOSED, resync=86400)):
        assert tried.wait(timeout=10)
        assert not world.entries
        repaired.set()
        eventually(lambda: ENTRY in world.entries)
        assert world.firewall.closed == {MON_CONTAINER}


def test_the_daemon_closes_pending_ports_before_it_exits() -> None:
    """Otherwise the port would stay open until the next start of the daemon."""
    world = World(containers={SERVING.id: SERVING})
    opening, command_may_end = threading.Event(), threading.Event()

    def open_slowly(rules: FirewallRules) -> None:
        if rules.openings:
            opening.set()
            command_may_end.wait(timeout=10)

    world.on_write_firewall = open_slowly
    with running_controller(world, NEVER) as controller:
        assert opening.wait(timeout=10)
        controller.post(event(SERVING, Change.DIED))
        controller.post(Stop())
        eventually(lambda: not world.entries)
        command_may_end.set()
    assert not world.firewall.openings


def test_a_firewall_change_goes_before_the_next_read_of_the_table() -> None:
    """Reading the table takes longer than the interval between full passes."""
    world = World(containers={SERVING.id: replace(SERVING, running=False)})
    reads_allowed = threading.Semaphore(0)
    world.on_read_firewall = lambda: reads_allowed.acquire(timeout=10)
    with running_controller(world, Settings(resync=0.02)) as controller:
        reads_allowed.release()
        eventually(lambda: world.kernel_writes)
        world.containers[SERVING.id] = SERVING
        controller.post(event(SERVING, Change.STARTED))
        for _ in range(3):
            reads_allowed.release()
        eventually(lambda: world.firewall.openings == {WEB})
        reads_allowed.release(100)


def test_slow_setting_of_the_forward_policy_does_not_delay_proxy_entries() -> None:
    """Forwarding is switched on only after the policy was set."""
    world = World(containers={SERVING.id: SERVING})
    closed = threading.Event()
    world.on_close_forwarding = lambda: closed.wait(timeout=10)
    with running_controller(world, NEVER):
        eventually(lambda: ENTRY in world.entries)
        assert "conf/all/forwarding" not in world.kernel_writes
        closed.set()
        eventually(lambda: "conf/all/forwarding" in world.kernel_writes)


def test_a_starting_daemon_keeps_the_ports_of_the_last_process_open() -> None:
    """Until image labels are known and the plan is certain."""
    world = World(containers={SERVING.id: SERVING}, firewall=FirewallRules(DEFAULT_FWMARK, frozenset({WEB})))
    applied: list[FirewallRules] = []
    world.on_write_firewall = applied.append
    with running_controller(world, Settings(resync=0.05)):
        eventually(lambda: world.kernel_writes)
        passes = threading.Event()
        world.before_list = passes.set
        assert passes.wait(timeout=10)
    assert applied
    assert all(rules.openings == {WEB} for rules in applied)


def test_a_failing_firewall_does_not_prevent_the_mapping(caplog: pytest.LogCaptureFixture) -> None:
    """The failure is logged once and retried."""
    world = World(containers={SERVING.id: replace(SERVING, endpoints=())})
    tries = 0

    def fail_three_times(_: FirewallRules) -> None:
        nonlocal tries
        if (tries := tries + 1) <= 3:
            raise KernelRefusedError("running nft: not installed")

    world.on_write_firewall = fail_three_times
    with running_controller(world, Settings(resync=0.05)):
        eventually(lambda: world.entries)
        eventually(lambda: world.firewall.openings == {WEB})
    assert caplog.text.count("running nft: not installed") == 1


def test_an_invalid_ports_label_causes_one_warning_and_opens_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The container is still mapped."""
    labels = {"ipv6.mapper.network": "he_ipv6", "ipv6.mapper.ports": "80,80-79"}
    world = World(containers={SERVING.id: replace(SERVING, labels=labels)})
    with running_controller(world, Settings(resync=0.05)):
        eventually(lambda: world.entries)
        passes = threading.Event()
        world.before_list = passes.set
        assert passes.wait(timeout=10)
    assert not world.firewall.openings
    assert caplog.text.count("opening no port: label ipv6.mapper.ports='80-79'") == 1


@pytest.mark.parametrize(
    ("mode", "openings", "closed"),
    [
        (FirewallMode.ENGINE, {WEB}, set()),
        (FirewallMode.CLOSED, {WEB}, {MON_CONTAINER}),
        (FirewallMode.OFF, set(), set()),
    ],
)
def test_the_firewall_mode_decides_what_is_opened_and_closed(
    mode: FirewallMode, openings: set[Opening], closed: set[object]
) -> None:
    """`engine` only opens, `closed` opens and closes, `off` does neither."""
    world = World(containers={SERVING.id: SERVING})
    with running_controller(world, Settings(firewall=mode)):
        eventually(lambda: world.entries)
        eventually(lambda: world.firewall.openings == openings and world.firewall.closed == closed)


def test_a_dry_run_logs_an_opening_and_does_not_carry_it_out(caplog: pytest.LogCaptureFixture) -> None:
    """The log line names the address and port."""
    world = World(containers={SERVING.id: SERVING})
    with caplog.at_level("INFO"), running_controller(world, Settings(dry_run=True)):
        eventually(lambda: f"would open {WEB}" in caplog.text)
    assert not world.firewall.openings


def test_a_flushed_table_is_written_again_between_two_full_passes() -> None:
    """A burst of notifications causes one look, and the restored table causes none."""
    world = World(containers={SERVING.id: SERVING})
    reads: list[None] = []
    with running_controller(world, NEVER) as controller:
        eventually(lambda: world.firewall.openings == {WEB})
        world.on_read_firewall = lambda: reads.append(None)
        world.firewall = FirewallRules()
        for _ in range(100):
            controller.post(FirewallChanged())
        eventually(lambda: world.firewall.openings == {WEB}, within=1)
    assert len(reads) == 1
