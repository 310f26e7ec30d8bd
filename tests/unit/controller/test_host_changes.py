"""Changes of the host by others: a plan is made from what is there when it is carried out."""

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
from dockeripv6mapper.engine.events import Change, NetworksChanged
from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.kernel.proxies import Outcome
from dockeripv6mapper.mapping.planner import ProxyPlan
from dockeripv6mapper.model import FirewallRules, Link, ProxyEntry
from dockeripv6mapper.settings import FirewallMode, Settings
from tests.lab.waiting import eventually
from tests.unit import builders
from tests.unit.builders import MON_CONTAINER, container, endpoint
from tests.unit.controller.test_observers import Counter
from tests.unit.controller.world import NEVER, World, event, running

FORWARDING, ACCEPT_RA = "conf/all/forwarding", "conf/eth0/accept_ra"
ROUTED = container(network="he_ipv6")
RUNNING = container(network="he_ipv6", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
ENTRY = ProxyEntry(MON_CONTAINER, "eth0")


def fail_to_observe() -> None:
    """As where netlink fails."""
    raise KernelRefusedError("observing links: no buffer space")


def test_accept_ra_that_changes_while_the_policy_is_set_is_set_before_forwarding() -> None:
    """The kernel would delete the host's default route (networkd sets it to 1 at boot)."""
    world = World(sysctls={ACCEPT_RA: "0"}, containers={ROUTED.id: ROUTED})
    world.closing = lambda: world.sysctls.update({ACCEPT_RA: "1"})
    with running(world, NEVER):
        eventually(lambda: FORWARDING in world.written)
    assert world.written.index(ACCEPT_RA) < world.written.index(FORWARDING)


def test_nothing_is_changed_on_a_host_that_was_never_observed() -> None:
    """It may forward already, by a policy of its own; and its links' accept_ra are not known."""
    world = World(sysctls={ACCEPT_RA: "1"}, containers={RUNNING.id: RUNNING}, observing=fail_to_observe)
    passes = Counter()
    with running(world, Settings(resync=0.05), meter=passes):
        eventually(lambda: passes.passes.count(True) > 3)
    assert world.written == []


def test_with_firewall_closed_no_address_is_given_before_the_host_was_observed() -> None:
    """On which uplinks it has to be closed is not known."""
    world = World(containers={ROUTED.id: ROUTED}, observing=fail_to_observe)
    passes = Counter()
    with running(world, Settings(resync=0.05, firewall=FirewallMode.CLOSED), meter=passes):
        eventually(lambda: passes.passes.count(True) > 3)
        assert world.actions == []
        world.observing = lambda: None
        eventually(lambda: world.actions)


def test_a_refused_sysctl_is_not_retried_by_each_firewall_command() -> None:
    """Containers with ports start and stop all the time; retries have their own backoff."""
    serving = replace(RUNNING, labels={**RUNNING.labels, "ipv6.mapper.ports": "80"})
    refused: list[str] = []

    def refuse(change: SysctlChange) -> None:
        refused.append(change.key)
        raise KernelRefusedError("read-only file system")

    world = World(containers={serving.id: serving}, sysctls={ACCEPT_RA: "1"}, writing=refuse)
    written: list[FirewallRules] = []
    world.filtering = written.append
    with running(world, NEVER) as controller:
        eventually(lambda: world.firewall.openings)
        before, commands = len(refused), len(written)
        world.observing = fail_to_observe
        for _ in range(5):
            controller.post(event(serving, Change.DIED))
            eventually(lambda: not world.firewall.openings)
            controller.post(event(serving, Change.STARTED))
            eventually(lambda: world.firewall.openings)
    assert len(written) >= commands + 10
    assert len(refused) <= before + 1


def test_a_sysctl_of_a_link_that_a_new_network_names_is_read_before_it_is_written() -> None:
    """It is right already."""
    eth1 = Link("eth1", 3, neighbour_discovery=True)
    host = replace(builders.host(), links={"eth0": builders.UPLINK, "eth1": eth1})
    right = {
        f"conf/{link}/{key}": "1" for link in ("all", "eth0", "eth1") for key in ("forwarding", "proxy_ndp")
    }
    world = World(host=host, sysctls=right, containers={RUNNING.id: RUNNING})
    labelled = builders.network(
        "other", IPv6Network("2001:db8:1::/80"), labels={"ipv6.mapper.uplink": "eth1"}
    )
    passes = Counter()
    with running(world, NEVER, meter=passes) as controller:
        eventually(lambda: ENTRY in world.entries)
        world.networks_there = (*world.networks_there, labelled)
        before = len(passes.passes)
        controller.post(NetworksChanged())
        eventually(lambda: len(passes.passes) > before)
    assert world.written == []


def test_without_the_right_to_set_sysctls_each_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    """However many containers come and go."""
    world, passes = World(), Counter()
    with running(world, replace(NEVER, sysctl=False), meter=passes) as controller:
        eventually(lambda: passes.passes)
        for number in range(3):
            one = replace(ROUTED, id=f"container-{number}")
            world.containers[one.id] = one
            controller.post(event(one, Change.CREATED))
            eventually(lambda one=one: one.id in {each.container_id for each in world.actions})  # type: ignore[misc]
            del world.containers[one.id]
            controller.post(event(one, Change.DESTROYED))
    lines = [each for each in caplog.records if f"{FORWARDING} is 0" in each.message]
    assert [each.levelno for each in lines] == [logging.WARNING]


class Refusing(World):
    """A kernel that adds no proxy entry."""

    def add_proxies(self, entries: Iterable[ProxyEntry]) -> Outcome:
        """Refuse each."""
        return Outcome(failed={entry: KernelRefusedError("no") for entry in entries})


def state(world: World) -> HostState:
    """The host of a world."""
    return HostState(world, Settings(), LogChanges(), watch=lambda _: None, ask=lambda _: None)


def test_a_refused_entry_of_a_held_container_still_counts_as_failing() -> None:
    """A full pass plans nothing for it."""
    host = state(Refusing())
    host.apply(ProxyPlan(add=(ENTRY,)), lambda _: True, set())
    host.apply(ProxyPlan(), lambda _: False, set())
    assert host.failing


def test_an_entry_that_waited_for_the_firewall_is_added_once() -> None:
    """A second try would take it for another program's, and it would never be removed."""
    host = state(World())
    host.apply(ProxyPlan(add=(ENTRY,)), lambda _: True, {MON_CONTAINER})
    host.apply(ProxyPlan(add=(ENTRY,)), lambda _: True, set())
    host.add_withheld({ENTRY}, set())
    assert host.count == 1


def test_a_creation_is_handled_by_the_thread_that_delivers_it_while_the_loop_waits() -> None:
    """And by the loop, in order, while that is at work."""
    world = World(lists_images=True)
    threads: list[str] = []

    class Where(Counter):
        def event(self, _lag: float) -> None:
            threads.append(threading.current_thread().name)

    created = replace(event(ROUTED, Change.CREATED), at=0.0)
    with running(world, NEVER, meter=Where()) as controller:
        eventually(lambda: world.written)
        world.containers[ROUTED.id] = ROUTED

        def is_handled_here() -> bool:
            controller.deliver(created)
            return threads[-1] == threading.current_thread().name

        eventually(is_handled_here)
        eventually(lambda: world.actions)
        resume, stopped = threading.Event(), threading.Event()

        def hold(_known: object) -> None:
            stopped.set()
            resume.wait(timeout=10)

        world.pruning = hold
        controller.post(ResyncNow())
        assert stopped.wait(timeout=10)
        before = len(threads)
        controller.deliver(created)
        assert len(threads) == before
        world.pruning = lambda _: None
        resume.set()
        eventually(lambda: len(threads) > before)
        assert threads[-1] != threading.current_thread().name
