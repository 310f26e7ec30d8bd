"""What the controller tells those who watch it: when it is ready, that it lives, and how many are mapped."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from dockeripv6mapper.controller.loop import Controller
from dockeripv6mapper.controller.observers import Meter, ServiceManager
from dockeripv6mapper.controller.queue import HostChanged, ResyncNow, Stop
from dockeripv6mapper.controller.timers import Timers
from dockeripv6mapper.engine.events import Change, StreamLost, Subscribed
from dockeripv6mapper.errors import EngineRefusedError, EngineUnavailableError
from dockeripv6mapper.mapping.state import State, Tally
from dockeripv6mapper.model import Reason
from tests.lab.waiting import eventually
from tests.unit.builders import MON_CONTAINER, container, endpoint
from tests.unit.controller.world import NEVER, World, event, running

CREATED = container(network="he_ipv6")
RUNNING = replace(CREATED, running=True)
STARTED = replace(RUNNING, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))


class Pause:
    """A call that does not return before it is `over`."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.over = threading.Event()

    def __call__(self, _: object) -> None:
        """Say that it was reached, and wait."""
        self.reached.set()
        assert self.over.wait(10)


@dataclass
class Listener(ServiceManager):
    """A service manager that keeps what it hears."""

    beat_seconds: float = 0.01
    said: list[str] = field(default_factory=list)
    beats: int = 0

    def ready(self, missing: str) -> None:
        """Hear that it is ready, and what is missing."""
        self.said.append(f"ready: {missing}" if missing else "ready")

    def beat(self) -> None:
        """Hear that it lives."""
        self.beats += 1

    def status(self, text: str) -> None:
        """Hear how things are."""
        self.said.append(text)

    def stopping(self) -> None:
        """Hear that it ends."""
        self.said.append("stopping")


@dataclass
class Counter(Meter):
    """A meter that keeps what it is told."""

    connected: list[bool] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    passes: list[bool] = field(default_factory=list)
    actions: list[tuple[str, bool]] = field(default_factory=list)
    races: list[bool] = field(default_factory=list)
    retries: int = 0
    tally: Tally = field(default_factory=Tally)

    def engine_connected(self, connected: bool) -> None:
        """Keep it."""
        self.connected.append(connected)

    def event(self, lag: float) -> None:
        """Keep it."""
        self.lags.append(lag)

    def passed(self, seconds: float, *, whole: bool) -> None:
        """Keep what kind of pass it was."""
        assert seconds >= 0
        self.passes.append(whole)

    def acted(self, action: str, seconds: float, *, failed: bool) -> None:
        """Keep what was done, and how it ended."""
        assert seconds >= 0
        self.actions.append((action, failed))

    def raced(self, *, won: bool) -> None:
        """Keep it."""
        self.races.append(won)

    def retrying(self) -> None:
        """Keep how many."""
        self.retries += 1

    def tallied(self, tally: Tally) -> None:
        """Keep the last."""
        self.tally = tally


def test_it_is_ready_when_what_followed_from_the_first_full_pass_is_done() -> None:
    """Not while the engine is still connecting somebody; and it is said once."""
    world = World(containers={RUNNING.id: RUNNING})
    connecting, listener = Pause(), Listener()
    world.failing = connecting
    with running(world, service=listener) as controller:
        assert connecting.reached.wait(10)
        eventually(lambda: listener.beats > 10)
        assert "ready" not in listener.said
        connecting.over.set()
        eventually(lambda: "ready" in listener.said)
        controller.post(event(RUNNING, Change.OTHER))
    assert listener.said[-1] == "stopping"
    assert listener.said.count("ready") == 1
    assert "1 mapped, 0 pending, 0 refused; 1 proxy entries" in listener.said


def test_a_loop_that_hangs_gives_no_sign_of_life() -> None:
    """So that whoever watches it can tell; it does so by itself, without any event."""
    world, hanging, listener = World(), Pause(), Listener()
    with running(world, service=listener) as controller:
        eventually(lambda: listener.beats > 10)
        world.pruning = hanging
        controller.post(ResyncNow())
        assert hanging.reached.wait(10)
        beats = listener.beats
        assert not hanging.over.wait(10 * listener.beat_seconds)
        assert listener.beats == beats
        hanging.over.set()
        eventually(lambda: listener.beats > beats)


def test_an_engine_that_goes_away_is_said_and_counted() -> None:
    """The counts of what is there go on."""
    listener, counter = Listener(), Counter()
    with running(World(containers={STARTED.id: STARTED}), service=listener, meter=counter) as controller:
        eventually(lambda: counter.tally.mappings == {(State.MAPPED, "he_ipv6"): 1})
        controller.post(StreamLost(EngineUnavailableError("away")))
        eventually(lambda: counter.connected == [True, False])
        eventually(lambda: listener.said[-1].startswith("the engine is away; 1 mapped"))


def test_a_race_is_won_where_the_connect_was_answered_before_the_start() -> None:
    """The other way round it is lost, and a container that was there before the daemon ran in none."""
    world, counter = World(), Counter()
    with running(world, meter=counter) as controller:
        eventually(lambda: world.written)
        world.containers[CREATED.id] = CREATED
        controller.post(event(CREATED, Change.CREATED))
        eventually(lambda: counter.actions == [("connect", False)])
        world.containers[CREATED.id] = STARTED
        controller.post(event(CREATED, Change.STARTED))
        eventually(lambda: counter.races == [True])

        late = container("nginx", network="he_ipv6")
        world.containers[late.id] = late
        acting = Pause()
        world.failing = acting
        controller.post(event(late, Change.CREATED))
        assert acting.reached.wait(10)
        controller.post(event(late, Change.STARTED))
        eventually(lambda: counter.races == [True, False])
        acting.over.set()
        controller.post(event(late, Change.STARTED))
        eventually(lambda: len(counter.actions) == 2)
    assert counter.races == [True, False]
    assert set(counter.passes) == {True, False}


def test_failures_and_lags_are_counted() -> None:
    """A failed action as such, and the retry that it leads to."""

    def refuse(_: object) -> None:
        raise EngineRefusedError("no")

    world, counter = World(containers={RUNNING.id: RUNNING}, failing=refuse), Counter()
    with running(world, meter=counter) as controller:
        eventually(lambda: ("connect", True) in counter.actions)
        eventually(lambda: counter.retries)
        controller.post(replace(event(RUNNING, Change.OTHER), at=0.0))
        eventually(lambda: counter.lags)
    assert counter.lags[0] > 1e9


def test_what_a_label_says_is_no_networks_name_unless_the_engine_has_it() -> None:
    """Labels are anybody's, and without end."""
    stray = container("stray", network="no-such-network", running=True)
    counter = Counter()
    with running(World(containers={stray.id: stray}), meter=counter):
        eventually(lambda: counter.tally.refusals == {Reason.NETWORK_NOT_FOUND: 1})
    assert counter.tally.mappings == {(State.REFUSED, ""): 1}


def test_it_is_ready_as_soon_as_the_engine_is_known_to_be_away() -> None:
    """A service manager would kill it, and start it again and again; once is enough, and it goes on."""
    world, listener = World(containers={RUNNING.id: RUNNING}), Listener()
    gone = EngineUnavailableError("subscribing to events: connection refused")
    with silent(world, listener) as controller:
        controller.post(StreamLost(gone))
        eventually(lambda: any(said.startswith("the engine is away; 0 mapped") for said in listener.said))
        assert (
            listener.said[0]
            == f"ready: the engine is away: {gone}; its containers are mapped when it is back"
        )
        controller.post(Subscribed())
        eventually(lambda: "1 mapped, 0 pending, 0 refused; 1 proxy entries" in listener.said)
    assert sum(said.startswith("ready") for said in listener.said) == 1


def test_it_is_ready_when_the_first_list_fails() -> None:
    """Events may flow from an engine, or a proxy in front of it, that answers nothing else."""
    world, listener = World(), Listener()

    def fail() -> None:
        raise EngineRefusedError("listing containers: 503 Service Unavailable")

    world.listing = fail
    with running(world, service=listener):
        eventually(
            lambda: (
                "ready: listing containers: 503 Service Unavailable; containers are mapped later"
                in listener.said
            )
        )


def test_it_is_ready_when_the_engine_has_answered_nothing_for_as_long_as_it_may_take() -> None:
    """The subscription itself may hang, or a name that cannot be resolved."""
    now, listener = [0.0], Listener()
    with silent(World(), listener, Timers(lambda: now[0])) as controller:
        controller.post(HostChanged())
        now[0] += 29
        controller.post(HostChanged())
        eventually(lambda: listener.beats > 5)
        assert not listener.said
        now[0] += 2
        controller.post(HostChanged())
        eventually(lambda: listener.said)
    assert listener.said[0] == "ready: the engine has not answered for 30 s; containers are mapped later"


def test_it_is_ready_though_the_engine_hangs_on_a_container() -> None:
    """Everything else was looked at long ago; 60 s are less than a service manager waits."""
    now, hanging, listener = [0.0], Pause(), Listener()
    world = World(containers={RUNNING.id: RUNNING})
    world.failing = hanging
    with running(world, service=listener, timers=Timers(lambda: now[0])) as controller:
        assert hanging.reached.wait(10)
        now[0] += 59
        controller.post(HostChanged())
        beats = listener.beats
        eventually(lambda: listener.beats > beats + 5)
        assert not any(said.startswith("ready") for said in listener.said)
        now[0] += 2
        controller.post(HostChanged())
        eventually(lambda: any(said.startswith("ready: the engine takes more") for said in listener.said))
        hanging.over.set()


@contextmanager
def silent(world: World, listener: Listener, timers: Timers | None = None) -> Iterator[Controller]:
    """A controller at work that has not heard of the engine yet."""
    controller = Controller(
        *(world, world, world, NEVER),
        service=listener,
        timers=timers,
    )
    thread = threading.Thread(target=controller.run)
    thread.start()
    try:
        yield controller
    finally:
        controller.post(Stop())
        thread.join(timeout=20)
        assert not thread.is_alive()
