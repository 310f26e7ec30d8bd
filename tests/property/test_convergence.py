"""Convergence: whatever a user does, and however late, mixed up or lost the news of it, all comes right.

The real controller with the real endpoints, on one thread: its workers work, and its clock moves, when the
machine says so. At the end whatever is under way is brought to its end, and the time of one full pass comes.
"""

from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv6Address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dockeripv6mapper.actions import EndpointAction, EndpointChange, Restore
from dockeripv6mapper.controller.messages import ResyncNow
from dockeripv6mapper.engine.events import Subscribed
from dockeripv6mapper.errors import EngineRefusedError
from dockeripv6mapper.mapping.desired import Desired, address_of
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.networks import Networks
from dockeripv6mapper.mapping.planner import ProxyPlan, plan_all
from dockeripv6mapper.settings import Scheme
from tests.property.daemon_by_hand import SETTINGS, Daemon
from tests.property.deadlock import waits_in_vain
from tests.property.fake_engine import GIFT, Box, Death, FakeEngine
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

some = st.integers(min_value=0, max_value=11)
"""Chooses one of however many there are."""


class Convergence(RuleBasedStateMachine):
    """What a user does, what becomes of the news of it, and what the engine and death do to the daemon."""

    def __init__(self) -> None:
        super().__init__()
        self.engine, self.kernel = FakeEngine(), World()
        self.directory = TemporaryDirectory()
        self.daemon = self._new_daemon()

    def _new_daemon(self) -> Daemon:
        return Daemon(self.engine, self.kernel, Path(self.directory.name))

    @initialize(on=st.booleans(), act=st.booleans())
    def begin(self, on: bool, act: bool) -> None:
        """Two containers, so that there is something to do from the beginning."""
        for name in NAMES[:2]:
            self.create(name, LABEL, on=on, at=None, run=True)
        self.settle(act=act)

    # --- the user -----------------------------------------------------------------------------------------

    @rule(
        name=st.sampled_from(NAMES),
        labels=st.sampled_from(ASKED),
        on=st.booleans(),
        at=st.none() | st.sampled_from(ADDRESSES),
        run=st.booleans(),
    )
    def create(self, name: str, labels: dict[str, str], on: bool, at: IPv6Address | None, run: bool) -> None:
        with suppress(EngineRefusedError):
            box = self.engine.create(name, labels, on=on, at=at)
            if run:
                self.engine.start(box)

    @precondition(lambda self: self.daemon.actions)
    @rule(number=some)
    def be_faster(self, number: int) -> None:
        """Somebody takes the address that the daemon is about to give to another."""
        action = one_of(self.daemon.actions, number)
        if isinstance(action, EndpointChange):
            name = f"{SPARE}-{len(self.engine.told)}"
            self.create(name, {}, on=True, at=action.address, run=True)

    @precondition(lambda self: self.engine.boxes)
    @rule(number=some, verb=st.sampled_from(["start", "stop", "remove", "plug", "unplug"]))
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

    # --- the news, and the daemon -------------------------------------------------------------------------

    @precondition(lambda self: self.engine.told)
    @rule(number=some, again=st.booleans())
    def hear(self, number: int, again: bool) -> None:
        message = one_of(self.engine.told, number)
        if not again:
            self.engine.told.remove(message)
        self.daemon.hear(message)

    @precondition(lambda self: self.engine.told)
    @rule()
    def lose_all(self) -> None:
        """The stream of events is cut, and subscribed to again."""
        self.engine.told[:] = [Subscribed()]

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
        self.daemon.hear(ResyncNow())

    @precondition(lambda self: self.daemon.waiting)
    @rule(number=some, calls=st.integers(min_value=0, max_value=4))
    def die(self, number: int, calls: int) -> None:
        """The daemon is killed at work, and started again; of what happened before, it hears nothing."""
        self.engine.calls_left = calls
        with suppress(Death):
            self.daemon.work(number)
        self.engine.calls_left = None
        self.engine.told.clear()
        self.daemon = self._new_daemon()

    @rule(act=st.booleans())
    def settle(self, act: bool) -> None:
        """All is heard and done that is to be, in its order; or all but the actions."""
        self.daemon.settle(act=act, after_each=self.nobody_loses_what_its_user_gave)

    # --- what must hold -----------------------------------------------------------------------------------

    @invariant()
    def nobody_loses_what_its_user_gave(self) -> None:
        for network in self.engine.networks().items:
            for box in self.engine.boxes.values():
                kept = GIFT.items() <= box.networks.get(HE_IPV6, {}).items()
                given = box.given == network.id and not self.daemon.endpoints.unfinished(box.id)
                assert kept or not given, box

    def teardown(self) -> None:
        with self.directory:
            while self.engine.told:
                self.daemon.hear(self.engine.told.pop())
            self.settle(act=True)
            self.daemon.full_pass()
            self.settle(act=True)
            self.check()
            for box in self.engine.boxes.values():
                self.start(box)
                self.settle(act=True)
                self.check()

    def start(self, box: Box) -> None:
        """Every container can be started, unless its user made that impossible."""
        try:
            self.engine.start(box)
        except EngineRefusedError:
            network = self.engine.network
            assert box.given, box
            assert box.address or network is None or box.given != network.id, box

    def waits_for_its_network(self, action: EndpointAction) -> bool:
        """Whether a container cannot be put back before its user makes the network again."""
        there = [network.id for network in self.engine.networks().items]
        return isinstance(action, Restore) and self.engine.boxes[action.container_id].given not in (
            None,
            *there,
        )

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
        desired.update(facts, facts.containers)
        unfinished = {each for each in facts.containers if self.daemon.endpoints.unfinished(each)}
        plan = plan_all(desired, facts, {}, SETTINGS, unfinished=unfinished)
        endpoints = [each for each in plan.endpoints if not self.waits_for_its_network(each)]
        assert (endpoints, plan.proxies) == ([], ProxyPlan()), facts
        for container in facts.containers.values():
            assert not waits_in_vain(container, facts, desired), facts


def one_of(items: Iterable[T], number: int) -> T:
    """One of some items, of which there is at least one."""
    there = list(items)
    return there[number % len(there)]


Convergence.TestCase.settings = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None)
TestConvergence = Convergence.TestCase
