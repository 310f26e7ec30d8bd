"""Convergence: whatever a user does, and however late, mixed up or lost the news of it, all comes right.

The real controller with the real endpoints, on one thread: its workers work, and its clock moves, when the
machine says so. At the end whatever is under way is brought to its end, and the time of one full pass comes.
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
ASKED: tuple[dict[str, str], ...] = ({}, LABEL, LABEL, {**LABEL, "ipv6.mapper.suffix": "2"})
"""The suffix is also the first that the engine chooses."""

MAC = "02:11:22:33:44:55"
MAC_MATTERS = ("26.1", "29.7")

some = st.integers(min_value=0, max_value=11)
"""Chooses one of however many there are."""


class Convergence(RuleBasedStateMachine):
    """What a user does, what becomes of the news of it, and what the engine and death do to the daemon."""

    def __init__(self) -> None:
        super().__init__()
        self.engine, self.kernel = FakeEngine(), World()
        self.gifts = 0
        self.directory = TemporaryDirectory()
        self.daemon = self._new_daemon()

    def _new_daemon(self) -> SimulatedDaemon:
        return SimulatedDaemon(self.engine, self.kernel, Path(self.directory.name))

    @initialize(on=st.booleans(), act=st.booleans(), release=st.sampled_from(list(RELEASES.values())))
    def begin(self, on: bool, act: bool, release: Release) -> None:
        """Two containers, so that there is something to do from the beginning."""
        self.engine.release = release
        for name in NAMES[:2]:
            self.create(name=name, labels=LABEL, on=on, also=False, at=None, run=True)
        self.settle(act=act)

    def _gift(self, at: IPv6Address | None = None) -> dict[str, Any]:
        self.gifts += 1
        return all_settings(self.gifts, at)

    # --- the user -----------------------------------------------------------------------------------------

    @rule(
        name=st.sampled_from(NAMES),
        labels=st.sampled_from(ASKED),
        on=st.booleans(),
        also=st.booleans(),
        at=st.none() | st.sampled_from(ADDRESSES),
        run=st.booleans(),
    )
    def create(
        self, *, name: str, labels: dict[str, str], on: bool, also: bool, at: IPv6Address | None, run: bool
    ) -> None:
        """`also`: on another network, which is its first, too."""
        networks: dict[str, dict[str, Any]] = {OTHER: {"Aliases": ["there"]}} if also else {}
        networks |= {HE_IPV6: self._gift(at)} if on else {}
        # The other releases refuse to move an endpoint that has one, or do not show that it has.
        mac = f"{MAC[:-2]}{self.gifts % 100:02}" if self.engine.release.name in ("20.10", "29.7") else ""
        with suppress(EngineRefusedError):
            box = self.engine.create(name, labels, networks, mac)
            if run:
                self.engine.start(box)

    @precondition(lambda self: self.daemon.actions)
    @rule(number=some)
    def be_faster(self, number: int) -> None:
        """Somebody takes the address that the daemon is about to give to another."""
        action = one_of(self.daemon.actions, number)
        if isinstance(action, EndpointChange):
            name = f"{SPARE}-{len(self.engine.pending_events)}"
            self.create(name=name, labels={}, on=True, also=False, at=action.address, run=True)

    @precondition(lambda self: self.engine.boxes)
    @rule(number=some)
    def plug(self, number: int) -> None:
        with suppress(EngineRefusedError):
            self.engine.plug(one_of(self.engine.boxes.values(), number), self._gift())

    @precondition(lambda self: self.engine.boxes)
    @rule(number=some)
    def unplug(self, number: int) -> None:
        """Not in the middle of a move: that cannot be told from the move's own disconnect."""
        box = one_of(self.engine.boxes.values(), number)
        with suppress(EngineRefusedError):
            if not self.is_unfinished(box):
                self.engine.unplug(box)

    @precondition(lambda self: self.engine.boxes)
    @rule(number=some, verb=st.sampled_from(["start", "stop", "remove"]))
    def do(self, number: int, verb: str) -> None:
        with suppress(EngineRefusedError):
            getattr(self.engine, verb)(one_of(self.engine.boxes.values(), number))

    @precondition(lambda self: self.engine.boxes)
    @rule(number=some, name=st.sampled_from(NAMES))
    def rename(self, number: int, name: str) -> None:
        with suppress(EngineRefusedError):
            self.engine.rename(one_of(self.engine.boxes.values(), number), name)

    @precondition(lambda self: len(self.engine.boxes) > 1)
    @rule(length=st.integers(min_value=2, max_value=3))
    def turn_names_round(self, length: int) -> None:
        boxes = list(self.engine.boxes.values())[:length]
        *others, last = [box.name for box in boxes]
        self.engine.rename(boxes[-1], SPARE)
        for box, name in zip(reversed(boxes[:-1]), reversed([*others, last]), strict=False):
            self.engine.rename(box, name)
        self.engine.rename(boxes[-1], others[0])

    @rule(anew=st.booleans())
    def replace_network(self, anew: bool) -> None:
        with suppress(EngineRefusedError):
            self.engine.replace_network(anew=anew)

    @rule(live=st.booleans())
    def restart_engine(self, live: bool) -> None:
        self.engine.restart(live=live)

    # --- the news, and the daemon -------------------------------------------------------------------------

    @precondition(lambda self: self.engine.pending_events)
    @rule(number=some, again=st.booleans())
    def receive(self, number: int, again: bool) -> None:
        message = one_of(self.engine.pending_events, number)
        if not again:
            self.engine.pending_events.remove(message)
        self.daemon.receive(message)

    @precondition(lambda self: self.engine.pending_events)
    @rule()
    def lose_all(self) -> None:
        """The stream of events is cut, and subscribed to again."""
        self.engine.pending_events[:] = [Subscribed()]

    @precondition(lambda self: self.daemon.waiting)
    @rule(number=some)
    def work(self, number: int) -> None:
        self.daemon.work(number)

    @precondition(lambda self: self.daemon.finished)
    @rule(number=some)
    def report(self, number: int) -> None:
        self.daemon.report(number)

    @rule()
    def wait(self) -> None:
        self.daemon.wait()

    @rule()
    def ask_for_a_full_pass(self) -> None:
        self.daemon.receive(ResyncNow())

    @precondition(lambda self: self.daemon.waiting)
    @rule(number=some, calls=st.integers(min_value=0, max_value=7), fault=st.sampled_from(CallFault))
    def get_into_trouble(self, number: int, calls: int, fault: CallFault) -> None:
        """A call fails, or the daemon is killed at it and started again: then it hears of nothing before."""
        self.engine.injection = FaultInjection(calls, fault)
        try:
            self.daemon.work(number)
        except Killed:
            self.engine.pending_events.clear()
            self.daemon = self._new_daemon()
        self.engine.injection = None

    @rule(act=st.booleans())
    def settle(self, act: bool) -> None:
        """All is heard and done that is to be, in its order; or all but the actions."""
        self.daemon.settle(act=act, after_each=self.nobody_loses_what_its_user_gave)

    # --- what must hold -----------------------------------------------------------------------------------

    @invariant()
    def nobody_loses_what_its_user_gave(self) -> None:
        for box in self.engine.boxes.values():
            assert self.is_unfinished(box) or not lost_settings(self.engine, box), box

    def is_unfinished(self, box: FakeContainer) -> bool:
        """Whether what its user set stands in a note or in a mark for the moment."""
        return self.daemon.endpoints.unfinished(box.id) or bool(unfinished_marks(box))

    def teardown(self) -> None:
        with self.directory:
            while self.engine.pending_events:
                self.daemon.receive(self.engine.pending_events.pop())
            self.settle(act=True)
            self.daemon.full_pass()
            self.settle(act=True)
            if any(map(self.engine.has_leaked_address, self.engine.boxes.values())):
                # Before that, nobody can have such an address.
                self.engine.restart(live=True)
                self.settle(act=True)
            self.check()
            for box in self.engine.boxes.values():
                self.start(box)
                self.settle(act=True)
                self.check()

    def start(self, box: FakeContainer) -> None:
        """Every container can be started, unless its user made that impossible.

        Or the engine did: a start that was refused for an IPv6 address cost the container its IPv4 address
        until the engine restarts.
        """
        try:
            self.engine.start(box)
        except EngineRefusedError:
            there = {network.name: network.id for network in self.engine.networks().items}
            of_user = (
                there.get(name) != each.network_id or "IPv6Address" in each.settings.get("IPAMConfig", {})
                for name, each in box.given.items()
            )
            assert any(of_user) or self.engine.has_leaked_address(box), box

    def waits_for_its_network(self, box: FakeContainer) -> bool:
        """Whether a container cannot be put back before its user makes the network again."""
        there = {network.id for network in self.engine.networks().items}
        return any(each.network_id not in there for each in box.given.values())

    def waits(self, action: EndpointAction) -> bool:
        """Whether an action cannot be carried out yet.

        Where a connect can keep a MAC address, and where all moves of a chosen one are refused, a stopped
        container must run first: its MAC address is not shown.
        """
        box = self.engine.boxes[action.container_id]
        if isinstance(action, Restore):
            return self.waits_for_its_network(box)
        return isinstance(action, Reconnect) and self.engine.release.name in MAC_MATTERS and box.has_run

    def check(self) -> None:
        """Nothing is left to do, and nobody waits for somebody who waits for it."""
        containers = {each: self.engine.container(each) for each in self.engine.boxes}
        facts = Facts(
            {container_id: each for container_id, each in containers.items() if each is not None},
            Networks(self.engine.networks().items),
            self.engine.images(),
            self.kernel.observe(),
        )
        desired = Desired(SETTINGS)
        scope = desired.update(facts, facts.containers)
        begun = {each for each in facts.containers if self.daemon.endpoints.unfinished(each)}
        todo = plan(desired, facts, SETTINGS, scope, whole=True, unfinished=begun)
        endpoints = [each for each in todo.endpoints if not self.waits(each)]
        assert (endpoints, todo.proxies) == ([], ProxyPlan()), facts
        for box in self.engine.boxes.values():
            if self.waits_for_its_network(box):
                continue
            assert not lost_settings(self.engine, box), box
            assert not self.is_unfinished(box), box
        for container in facts.containers.values():
            assert not is_deadlocked(container, facts, desired), facts


def one_of(items: Iterable[T], number: int) -> T:
    """One of some items, of which there is at least one."""
    there = list(items)
    return there[number % len(there)]


Convergence.TestCase.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None)
TestConvergence = Convergence.TestCase
