"""Changes of the host by other programs: plans use the host's state at the time of the change."""

import logging
import threading
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from dockeripv6mapper.actions import SysctlChange
from dockeripv6mapper.controller.host import HostState
from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.controller.queue import ResyncNow
from dockeripv6mapper.controller.sysctls import SOLICITATION_SECONDS, SOLICITATIONS, HostSysctls
from dockeripv6mapper.controller.timers import Timers
from dockeripv6mapper.engine.events import Change, NetworksChanged
from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.kernel.proxies import Outcome
from dockeripv6mapper.mapping.planner import ProxyPlan
from dockeripv6mapper.model import FirewallRules, Link, ProxyEntry
from dockeripv6mapper.settings import FirewallMode, Settings
from tests.lab.waiting import eventually
from tests.unit import builders
from tests.unit.builders import MON_CONTAINER, container, endpoint
from tests.unit.controller.test_observers import RecordingMeter
from tests.unit.controller.world import NEVER, World, event, running_controller

FORWARDING, ACCEPT_RA = "conf/all/forwarding", "conf/eth0/accept_ra"
ROUTED = container(network="he_ipv6")
RUNNING = container(network="he_ipv6", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
ENTRY = ProxyEntry(MON_CONTAINER, "eth0")


def fail_to_observe() -> None:
    """Fail as netlink does when its buffer is full."""
    raise KernelRefusedError("observing links: no buffer space")


def test_accept_ra_changed_during_the_policy_command_is_corrected_before_forwarding() -> None:
    """Otherwise the kernel deletes the default route (networkd sets accept_ra to 1 at boot)."""
    world = World(sysctls={ACCEPT_RA: "0"}, containers={ROUTED.id: ROUTED})
    world.on_close_forwarding = lambda: world.sysctls.update({ACCEPT_RA: "1"})
    with running_controller(world, NEVER):
        eventually(lambda: FORWARDING in world.kernel_writes)
    assert world.kernel_writes.index(ACCEPT_RA) < world.kernel_writes.index(FORWARDING)


def test_no_sysctl_is_written_before_the_host_was_observed() -> None:
    """The links and their accept_ra are unknown, and the host may forward by its own policy."""
    world = World(sysctls={ACCEPT_RA: "1"}, containers={RUNNING.id: RUNNING}, on_observe=fail_to_observe)
    meter = RecordingMeter()
    with running_controller(world, Settings(resync=0.05), meter=meter):
        eventually(lambda: meter.passes.count(True) > 3)
    assert world.kernel_writes == []


def test_with_firewall_closed_no_container_is_connected_before_the_host_was_observed() -> None:
    """The uplinks on which the address must be closed are unknown."""
    world = World(containers={ROUTED.id: ROUTED}, on_observe=fail_to_observe)
    meter = RecordingMeter()
    with running_controller(world, Settings(resync=0.05, firewall=FirewallMode.CLOSED), meter=meter):
        eventually(lambda: meter.passes.count(True) > 3)
        assert world.actions == []
        world.on_observe = lambda: None
        eventually(lambda: world.actions)


def test_a_refused_sysctl_is_not_retried_by_each_firewall_command() -> None:
    """Containers with ports start and stop often; retries have their own backoff."""
    serving = replace(RUNNING, labels={**RUNNING.labels, "ipv6.mapper.ports": "80"})
    refused: list[str] = []

    def refuse(change: SysctlChange) -> None:
        refused.append(change.key)
        raise KernelRefusedError("read-only file system")

    world = World(containers={serving.id: serving}, sysctls={ACCEPT_RA: "1"}, on_write_sysctl=refuse)
    written: list[FirewallRules] = []
    world.on_write_firewall = written.append
    with running_controller(world, NEVER) as controller:
        eventually(lambda: world.firewall.openings)
        before, commands = len(refused), len(written)
        world.on_observe = fail_to_observe
        for _ in range(5):
            controller.post(event(serving, Change.DIED))
            eventually(lambda: not world.firewall.openings)
            controller.post(event(serving, Change.STARTED))
            eventually(lambda: world.firewall.openings)
    assert len(written) >= commands + 10
    assert len(refused) <= before + 1


def test_the_sysctls_of_an_uplink_from_a_new_network_label_are_read_before_they_are_written() -> None:
    """They already have the right value, so none is written."""
    eth1 = Link("eth1", 3, neighbour_discovery=True)
    host = replace(builders.host(), links={"eth0": builders.UPLINK, "eth1": eth1})
    right = {
        f"conf/{link}/{key}": "1" for link in ("all", "eth0", "eth1") for key in ("forwarding", "proxy_ndp")
    }
    world = World(host=host, sysctls=right, containers={RUNNING.id: RUNNING})
    labelled = builders.network(
        "other", IPv6Network("2001:db8:1::/80"), labels={"ipv6.mapper.uplink": "eth1"}
    )
    meter = RecordingMeter()
    with running_controller(world, NEVER, meter=meter) as controller:
        eventually(lambda: ENTRY in world.entries)
        world.engine_networks = (*world.engine_networks, labelled)
        before = len(meter.passes)
        controller.post(NetworksChanged())
        eventually(lambda: len(meter.passes) > before)
    assert world.kernel_writes == []


def test_with_no_sysctl_each_wrong_sysctl_causes_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    """However many containers are created and destroyed."""
    world, meter = World(), RecordingMeter()
    with running_controller(world, replace(NEVER, sysctl=False), meter=meter) as controller:
        eventually(lambda: meter.passes)
        for number in range(3):
            one = replace(ROUTED, id=f"container-{number}")
            world.containers[one.id] = one
            controller.post(event(one, Change.CREATED))
            eventually(lambda one=one: one.id in {each.container_id for each in world.actions})  # type: ignore[misc]
            del world.containers[one.id]
            controller.post(event(one, Change.DESTROYED))
    lines = [each for each in caplog.records if f"{FORWARDING} is 0" in each.message]
    assert [each.levelno for each in lines] == [logging.WARNING]


class RefusingKernel(World):
    """A kernel that refuses every proxy entry."""

    def add_proxies(self, entries: Iterable[ProxyEntry]) -> Outcome:
        """Refuse every entry."""
        return Outcome(failed={entry: KernelRefusedError("no") for entry in entries})


def host_state(world: World) -> HostState:
    """Return the `HostState` of a world."""
    return HostState(world, Settings(), LogChanges(), Timers(), watch=lambda _: None, ask=lambda _: None)


def test_a_refused_entry_of_an_undecided_container_still_counts_as_failing() -> None:
    """A full pass plans nothing for that container."""
    host = host_state(RefusingKernel())
    host.apply(ProxyPlan(add=(ENTRY,)), lambda _: True, set())
    host.apply(ProxyPlan(), lambda _: False, set())
    assert host.failing


def test_an_entry_withheld_for_the_firewall_is_added_once() -> None:
    """A second attempt would find the entry, treat it as foreign, and never remove it."""
    host = host_state(World())
    host.apply(ProxyPlan(add=(ENTRY,)), lambda _: True, {MON_CONTAINER})
    host.apply(ProxyPlan(add=(ENTRY,)), lambda _: True, set())
    host.add_withheld({ENTRY}, set())
    assert host.count == 1


def test_a_containers_event_is_handled_by_the_delivering_thread_while_the_loop_is_idle() -> None:
    """While the loop is busy, the loop handles the event, in order."""
    world = World(lists_images=True)
    threads: list[str] = []

    class ThreadRecorder(RecordingMeter):
        def event(self, _lag: float) -> None:
            threads.append(threading.current_thread().name)

    created = replace(event(ROUTED, Change.CREATED), at=0.0)
    with running_controller(world, NEVER, meter=ThreadRecorder()) as controller:
        eventually(lambda: world.kernel_writes)
        world.containers[ROUTED.id] = ROUTED

        def is_handled_here() -> bool:
            controller.deliver(created)
            return threads[-1] == threading.current_thread().name

        eventually(is_handled_here)
        eventually(lambda: world.actions)
        may_resume, loop_blocked = threading.Event(), threading.Event()

        def block(_known: object) -> None:
            loop_blocked.set()
            may_resume.wait(timeout=10)

        world.on_prune = block
        controller.post(ResyncNow())
        assert loop_blocked.wait(timeout=10)
        before = len(threads)
        controller.deliver(created)
        assert len(threads) == before
        world.on_prune = lambda _: None
        may_resume.set()
        eventually(lambda: len(threads) > before)
        assert threads[-1] != threading.current_thread().name


def test_missing_uplink_is_named_while_entries_stay_on_the_renamed_link(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And a missing default route once, when no solicitation is left that could bring it back."""
    caplog.set_level(logging.INFO)
    world = World(containers={RUNNING.id: RUNNING}, entries={replace(ENTRY, uplink="lan0"): True})
    world.host = builders.host(Link("lan0", 2, neighbour_discovery=True))
    with running_controller(world, Settings(resync=86400, uplinks=("eth0",))):
        eventually(lambda: "there is no link eth0, which --uplink names" in caplog.text)
        eventually(lambda: "uplink lan0: proxying neighbour discovery (it has proxy entries" in caplog.text)
    assert world.entries == {replace(ENTRY, uplink="lan0"): True}
    assert not world.removed_entries


def test_exhausted_solicitations_end_in_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    """While one may be answered, the host's uplink is one that needs repair."""
    world = World(sysctls={FORWARDING: "1", ACCEPT_RA: "1"})
    kernel_host = replace(builders.host(), default_route_links=())
    now = 0.0
    state = HostState(world, Settings(), LogChanges(), Timers(), watch=lambda _: None, ask=lambda _: None)
    state.sysctls = HostSysctls(world, Settings(), LogChanges(), lambda _: None, clock=lambda: now)
    world.host = kernel_host
    given = builders.facts(of_host=kernel_host)
    for look in range(SOLICITATIONS + 2):
        state.observe(given)
        state.sysctls.solicit()
        state.log_uplinks(given)
        assert ("no uplink" in caplog.text) is (look >= SOLICITATIONS)
        now += SOLICITATION_SECONDS
    assert caplog.text.count("no uplink") == 1
