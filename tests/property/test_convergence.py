"""Convergence: after any operations, and with late, reordered or lost events, the expected state is reached.

The real controller and endpoints run on one thread; the state machine runs their jobs and advances their
clock. At the end of each example the daemon finishes everything in progress, and makes one full pass.
"""

from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv6Address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dockeripv6mapper.actions import EndpointAction, EndpointChange, Reconnect, Restore
from dockeripv6mapper.controller.queue import ResyncNow
from dockeripv6mapper.engine.events import Subscribed
from dockeripv6mapper.errors import EngineRefusedError
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.networks import Networks
from dockeripv6mapper.mapping.planner import ProxyPlan, plan
from dockeripv6mapper.mapping.resolution import address_of
from dockeripv6mapper.settings import Scheme
from tests.property.deadlock import is_deadlocked
from tests.property.fake_containers import RELEASES, FakeContainer, Release
from tests.property.fake_engine import OTHER, FakeEngine, all_settings
from tests.property.fault_injection import CallFault, FaultInjection, Killed
from tests.property.simulated_daemon import SETTINGS, SimulatedDaemon
from tests.property.user_settings import lost_settings, unfinished_marks
from tests.unit import builders
from tests.unit.builders import HE_IPV6
from tests.unit.controller.world import World

T = TypeVar("T")

EXAMPLES = 800
STEPS = 40

NAMES = ("a", "b", "c")
ADDRESSES = [address_of(name, builders.network(), None, Scheme.MD5_24) for name in NAMES]
SPARE = "between-names"
LABEL = {"ipv6.mapper.network": HE_IPV6}
LABELS: tuple[dict[str, str], ...] = ({}, LABEL, LABEL, {**LABEL, "ipv6.mapper.suffix": "2"})
"""The suffix 2 is also the first that the engine assigns itself."""

MAC = "02:11:22:33:44:55"
MUST_RUN_TO_MOVE = ("26.1", "29.7")
"""Releases on which a stopped container that has run is not moved: they do not show its MAC address."""

any_index = st.integers(min_value=0, max_value=11)
"""Chooses an element of a list of any length, modulo the length."""


class Convergence(RuleBasedStateMachine):
    """A user's operations, delivery of events and results, faults of engine calls and kills of the daemon."""

    def __init__(self) -> None:
        super().__init__()
        self.engine, self.kernel = FakeEngine(), World()
        self.serial = 0
        self.directory = TemporaryDirectory()
        self.daemon = self._new_daemon()

    def _new_daemon(self) -> SimulatedDaemon:
        return SimulatedDaemon(self.engine, self.kernel, Path(self.directory.name))

    @initialize(mapped=st.booleans(), act=st.booleans(), release=st.sampled_from(list(RELEASES.values())))
    def begin(self, mapped: bool, act: bool, release: Release) -> None:
        """Create two containers, so that there is work from the start."""
        self.engine.release = release
        for name in NAMES[:2]:
            self.create(name=name, labels=LABEL, mapped=mapped, other=False, ipv6=None, start=True)
        self.run_until_idle(act=act)

    def _settings(self, ipv6: IPv6Address | None = None) -> dict[str, Any]:
        self.serial += 1
        return all_settings(self.serial, ipv6)

    # --- the user -----------------------------------------------------------------------------------------

    @rule(
        name=st.sampled_from(NAMES),
        labels=st.sampled_from(LABELS),
        mapped=st.booleans(),
        other=st.booleans(),
        ipv6=st.none() | st.sampled_from(ADDRESSES),
        start=st.booleans(),
    )
    def create(
        self,
        *,
        name: str,
        labels: dict[str, str],
        mapped: bool,
        other: bool,
        ipv6: IPv6Address | None,
        start: bool,
    ) -> None:
        """With `other`, the other network is the container's first."""
        networks: dict[str, dict[str, Any]] = {OTHER: {"Aliases": ["there"]}} if other else {}
        networks |= {HE_IPV6: self._settings(ipv6)} if mapped else {}
        # The other releases refuse to move an endpoint with a chosen MAC address, or do not show it.
        mac = f"{MAC[:-2]}{self.serial % 100:02}" if self.engine.release.name in ("20.10", "29.7") else ""
        with suppress(EngineRefusedError):
            container = self.engine.create(name, labels, networks, mac)
            if start:
                self.engine.start(container)

    @precondition(lambda self: self.daemon.actions)
    @rule(number=any_index)
    def take_the_planned_address(self, number: int) -> None:
        """Another container takes an address that the daemon is about to assign."""
        action = one_of(self.daemon.actions, number)
        if isinstance(action, EndpointChange):
            name = f"{SPARE}-{len(self.engine.pending_events)}"
            self.create(name=name, labels={}, mapped=True, other=False, ipv6=action.address, start=True)

    @precondition(lambda self: self.engine.containers)
    @rule(number=any_index)
    def connect_by_user(self, number: int) -> None:
        with suppress(EngineRefusedError):
            self.engine.connect_by_user(one_of(self.engine.containers.values(), number), self._settings())

    @precondition(lambda self: self.engine.containers)
    @rule(number=any_index)
    def disconnect_by_user(self, number: int) -> None:
        """Not during a move: the daemon cannot distinguish it from the move's own disconnect."""
        container = one_of(self.engine.containers.values(), number)
        with suppress(EngineRefusedError):
            if not self.is_unfinished(container):
                self.engine.disconnect_by_user(container)

    @precondition(lambda self: self.engine.containers)
    @rule(number=any_index, command=st.sampled_from(["start", "stop", "remove"]))
    def run_command(self, number: int, command: str) -> None:
        with suppress(EngineRefusedError):
            getattr(self.engine, command)(one_of(self.engine.containers.values(), number))

    @precondition(lambda self: self.engine.containers)
    @rule(number=any_index, name=st.sampled_from(NAMES))
    def rename(self, number: int, name: str) -> None:
        with suppress(EngineRefusedError):
            self.engine.rename(one_of(self.engine.containers.values(), number), name)

    @precondition(lambda self: len(self.engine.containers) > 1)
    @rule(length=st.integers(min_value=2, max_value=3))
    def rotate_names(self, length: int) -> None:
        containers = list(self.engine.containers.values())[:length]
        *others, last = [container.name for container in containers]
        self.engine.rename(containers[-1], SPARE)
        for container, name in zip(reversed(containers[:-1]), reversed([*others, last]), strict=False):
            self.engine.rename(container, name)
        self.engine.rename(containers[-1], others[0])

    @rule(recreate=st.booleans())
    def replace_network(self, recreate: bool) -> None:
        with suppress(EngineRefusedError):
            self.engine.replace_network(recreate=recreate)

    @rule(live=st.booleans())
    def restart_engine(self, live: bool) -> None:
        self.engine.restart(live=live)

    # --- events, and the daemon --------------------------------------------------------------------------

    @precondition(lambda self: self.engine.pending_events)
    @rule(number=any_index, again=st.booleans())
    def deliver_event(self, number: int, again: bool) -> None:
        message = one_of(self.engine.pending_events, number)
        if not again:
            self.engine.pending_events.remove(message)
        self.daemon.receive(message)

    @precondition(lambda self: self.engine.pending_events)
    @rule()
    def lose_events(self) -> None:
        """The event stream ends, and the daemon subscribes again."""
        self.engine.pending_events[:] = [Subscribed()]

    @precondition(lambda self: self.daemon.queued)
    @rule(number=any_index)
    def run_job(self, number: int) -> None:
        self.daemon.run_job(number)

    @precondition(lambda self: self.daemon.results)
    @rule(number=any_index)
    def deliver_result(self, number: int) -> None:
        self.daemon.deliver_result(number)

    @rule()
    def advance_clock(self) -> None:
        self.daemon.advance_clock()

    @rule()
    def request_full_pass(self) -> None:
        self.daemon.receive(ResyncNow())

    @precondition(lambda self: self.daemon.queued)
    @rule(number=any_index, calls=st.integers(min_value=0, max_value=7), fault=st.sampled_from(CallFault))
    def inject_fault(self, number: int, calls: int, fault: CallFault) -> None:
        """A call fails, or the daemon is killed at it and replaced. A new daemon gets no earlier event."""
        self.engine.injection = FaultInjection(calls, fault)
        try:
            self.daemon.run_job(number)
        except Killed:
            self.engine.pending_events.clear()
            self.daemon = self._new_daemon()
        self.engine.injection = None

    @rule(act=st.booleans())
    def run_until_idle(self, act: bool) -> None:
        """Deliver events and results and run jobs, in order; without `act`, run no actions."""
        self.daemon.run_until_idle(act=act, after_each=self.no_user_setting_is_lost)

    # --- invariants ---------------------------------------------------------------------------------------

    @invariant()
    def no_user_setting_is_lost(self) -> None:
        for container in self.engine.containers.values():
            assert self.is_unfinished(container) or not lost_settings(self.engine, container), container

    def is_unfinished(self, container: FakeContainer) -> bool:
        """Whether the journal or a mark records an unfinished move, and with it the user's settings."""
        return self.daemon.endpoints.unfinished(container.id) or bool(unfinished_marks(container))

    def teardown(self) -> None:
        with self.directory:
            while self.engine.pending_events:
                self.daemon.receive(self.engine.pending_events.pop())
            self.run_until_idle(act=True)
            self.daemon.full_pass()
            self.run_until_idle(act=True)
            if any(map(self.engine.has_leaked_address, self.engine.containers.values())):
                # A leaked address is free after a restart only.
                self.engine.restart(live=True)
                self.run_until_idle(act=True)
            self.check()
            for container in self.engine.containers.values():
                self.start_if_possible(container)
                self.run_until_idle(act=True)
                self.check()

    def start_if_possible(self, container: FakeContainer) -> None:
        """Start a container. A failure must be due to its user's settings, or to a leaked IPv4 address.

        The engine leaks that address when it refuses a start because of the IPv6 address.
        """
        try:
            self.engine.start(container)
        except EngineRefusedError:
            existing = {network.name: network.id for network in self.engine.networks().items}
            due_to_user = (
                existing.get(name) != each.network_id or "IPv6Address" in each.settings.get("IPAMConfig", {})
                for name, each in container.user_settings.items()
            )
            assert any(due_to_user) or self.engine.has_leaked_address(container), container

    def lacks_a_network(self, container: FakeContainer) -> bool:
        """Whether a container cannot be restored, because its network no longer exists."""
        existing = {network.id for network in self.engine.networks().items}
        return any(each.network_id not in existing for each in container.user_settings.values())

    def is_impossible_now(self, action: EndpointAction) -> bool:
        """Whether the network of an action is missing, or its container must run first."""
        container = self.engine.containers[action.container_id]
        if isinstance(action, Restore):
            return self.lacks_a_network(container)
        return (
            isinstance(action, Reconnect)
            and self.engine.release.name in MUST_RUN_TO_MOVE
            and container.has_run
        )

    def check(self) -> None:
        """No user setting is lost, no action is planned, and no containers wait for each other."""
        containers = {each: self.engine.container(each) for each in self.engine.containers}
        facts = Facts(
            {container_id: each for container_id, each in containers.items() if each is not None},
            Networks(self.engine.networks().items),
            self.engine.images(),
            self.kernel.observe(),
        )
        desired = Desired(SETTINGS)
        scope = desired.update(facts, facts.containers)
        unfinished = {each for each in facts.containers if self.daemon.endpoints.unfinished(each)}
        remaining = plan(desired, facts, SETTINGS, scope, whole=True, unfinished=unfinished)
        endpoints = [each for each in remaining.endpoints if not self.is_impossible_now(each)]
        assert (endpoints, remaining.proxies) == ([], ProxyPlan()), facts
        for container in self.engine.containers.values():
            if self.lacks_a_network(container):
                continue
            assert not lost_settings(self.engine, container), container
            assert not self.is_unfinished(container), container
        for each in facts.containers.values():
            assert not is_deadlocked(each, facts, desired), facts


def one_of(items: Iterable[T], number: int) -> T:
    """The element at `number`, modulo the number of items, which is at least one."""
    elements = list(items)
    return elements[number % len(elements)]


Convergence.TestCase.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None)
TestConvergence = Convergence.TestCase
