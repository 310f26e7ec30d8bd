"""Observers: readiness and watchdog for the service manager, counters for the metrics."""

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
from tests.unit.controller.world import NEVER, World, event, running_controller

CREATED = container(network="he_ipv6")
RUNNING = replace(CREATED, running=True)
STARTED = replace(RUNNING, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))


class BlockingCall:
    """A hook that sets `entered`, and returns after `released` is set."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.released = threading.Event()

    def __call__(self, _: object) -> None:
        """Set `entered`; wait for `released`."""
        self.entered.set()
        assert self.released.wait(10)


@dataclass
class RecordingServiceManager(ServiceManager):
    """A service manager that records every notification."""

    beat_seconds: float = 0.01
    notifications: list[str] = field(default_factory=list)
    beats: int = 0

    def ready(self, missing: str) -> None:
        """Record readiness, with the reason if something is missing."""
        self.notifications.append(f"ready: {missing}" if missing else "ready")

    def beat(self) -> None:
        """Count watchdog notifications."""
        self.beats += 1

    def status(self, text: str) -> None:
        """Record a status text."""
        self.notifications.append(text)

    def stopping(self) -> None:
        """Record the shutdown."""
        self.notifications.append("stopping")


@dataclass
class RecordingMeter(Meter):
    """A meter that records every call."""

    connected: list[bool] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)
    passes: list[bool] = field(default_factory=list)
    actions: list[tuple[str, bool]] = field(default_factory=list)
    races: list[bool] = field(default_factory=list)
    retries: int = 0
    tally: Tally = field(default_factory=Tally)

    def engine_connected(self, connected: bool) -> None:
        """Record the value."""
        self.connected.append(connected)

    def event(self, lag: float) -> None:
        """Record the value."""
        self.lags.append(lag)

    def passed(self, seconds: float, *, whole: bool) -> None:
        """Record whether the pass was a full one."""
        assert seconds >= 0
        self.passes.append(whole)

    def acted(self, action: str, seconds: float, *, failed: bool) -> None:
        """Record the action and whether it failed."""
        assert seconds >= 0
        self.actions.append((action, failed))

    def raced(self, *, won: bool) -> None:
        """Record the value."""
        self.races.append(won)

    def retrying(self) -> None:
        """Count retries."""
        self.retries += 1

    def tallied(self, tally: Tally) -> None:
        """Record the last tally."""
        self.tally = tally


def test_ready_is_sent_once_after_the_actions_of_the_first_full_pass() -> None:
    """It is not sent while a connect is still in progress."""
    world = World(containers={RUNNING.id: RUNNING})
    connecting, listener = BlockingCall(), RecordingServiceManager()
    world.on_action = connecting
    with running_controller(world, service=listener) as controller:
        assert connecting.entered.wait(10)
        eventually(lambda: listener.beats > 10)
        assert "ready" not in listener.notifications
        connecting.released.set()
        eventually(lambda: "ready" in listener.notifications)
        controller.post(event(RUNNING, Change.OTHER))
    assert listener.notifications[-1] == "stopping"
    assert listener.notifications.count("ready") == 1
    assert "1 mapped, 0 pending, 0 refused; 1 proxy entries" in listener.notifications


def test_a_hanging_loop_sends_no_watchdog_notification() -> None:
    """An idle loop sends them without any event."""
    world, hanging, listener = World(), BlockingCall(), RecordingServiceManager()
    with running_controller(world, service=listener) as controller:
        eventually(lambda: listener.beats > 10)
        world.on_prune = hanging
        controller.post(ResyncNow())
        assert hanging.entered.wait(10)
        beats = listener.beats
        assert not hanging.released.wait(10 * listener.beat_seconds)
        assert listener.beats == beats
        hanging.released.set()
        eventually(lambda: listener.beats > beats)


def test_an_unreachable_engine_appears_in_status_and_metrics() -> None:
    """The counts of mapped containers stay."""
    listener, counter = RecordingServiceManager(), RecordingMeter()
    with running_controller(
        World(containers={STARTED.id: STARTED}), service=listener, meter=counter
    ) as controller:
        eventually(lambda: counter.tally.mappings == {(State.MAPPED, "he_ipv6"): 1})
        controller.post(StreamLost(EngineUnavailableError("away")))
        eventually(lambda: counter.connected == [True, False])
        eventually(lambda: listener.notifications[-1].startswith("the engine is unreachable; 1 mapped"))


def test_a_race_is_won_if_the_connect_returns_before_the_start_event() -> None:
    """Otherwise it is lost; a second start event is no race."""
    world, counter = World(), RecordingMeter()
    with running_controller(world, meter=counter) as controller:
        eventually(lambda: world.kernel_writes)
        world.containers[CREATED.id] = CREATED
        controller.post(event(CREATED, Change.CREATED))
        eventually(lambda: counter.actions == [("connect", False)])
        world.containers[CREATED.id] = STARTED
        controller.post(event(CREATED, Change.STARTED))
        eventually(lambda: counter.races == [True])

        late = container("nginx", network="he_ipv6")
        world.containers[late.id] = late
        acting = BlockingCall()
        world.on_action = acting
        controller.post(event(late, Change.CREATED))
        assert acting.entered.wait(10)
        controller.post(event(late, Change.STARTED))
        eventually(lambda: counter.races == [True, False])
        acting.released.set()
        controller.post(event(late, Change.STARTED))
        eventually(lambda: len(counter.actions) == 2)
    assert counter.races == [True, False]
    assert set(counter.passes) == {True, False}


def test_failed_actions_retries_and_event_lags_are_counted() -> None:
    """The event has a timestamp of 1970, so its lag is large."""

    def refuse(_: object) -> None:
        raise EngineRefusedError("no")

    world, counter = World(containers={RUNNING.id: RUNNING}, on_action=refuse), RecordingMeter()
    with running_controller(world, meter=counter) as controller:
        eventually(lambda: ("connect", True) in counter.actions)
        eventually(lambda: counter.retries)
        controller.post(replace(event(RUNNING, Change.OTHER), at=0.0))
        eventually(lambda: counter.lags)
    assert counter.lags[0] > 1e9


def test_the_name_of_an_unknown_network_does_not_become_a_metric_label() -> None:
    """Any user can set a label, so the number of names is unbounded."""
    stray = container("stray", network="no-such-network", running=True)
    counter = RecordingMeter()
    with running_controller(World(containers={stray.id: stray}), meter=counter):
        eventually(lambda: counter.tally.refusals == {Reason.NETWORK_NOT_FOUND: 1})
    assert counter.tally.mappings == {(State.REFUSED, ""): 1}


def test_ready_is_sent_once_when_the_engine_is_unreachable() -> None:
    """Otherwise the service manager would kill and restart the daemon again and again."""
    world, listener = World(containers={RUNNING.id: RUNNING}), RecordingServiceManager()
    gone = EngineUnavailableError("subscribing to events: connection refused")
    with controller_before_subscription(world, listener) as controller:
        controller.post(StreamLost(gone))
        eventually(
            lambda: any(
                text.startswith("the engine is unreachable; 0 mapped") for text in listener.notifications
            )
        )
        assert (
            listener.notifications[0]
            == f"ready: the engine is unreachable: {gone}; containers are mapped once it answers"
        )
        controller.post(Subscribed())
        eventually(lambda: "1 mapped, 0 pending, 0 refused; 1 proxy entries" in listener.notifications)
    assert sum(text.startswith("ready") for text in listener.notifications) == 1


def test_ready_is_sent_when_the_first_list_fails() -> None:
    """Events may arrive from an engine, or a proxy in front of it, that answers nothing else."""
    world, listener = World(), RecordingServiceManager()

    def fail() -> None:
        raise EngineRefusedError("listing containers: 503 Service Unavailable")

    world.before_list = fail
    with running_controller(world, service=listener):
        eventually(
            lambda: (
                "ready: listing containers: 503 Service Unavailable; containers are mapped later"
                in listener.notifications
            )
        )


def test_ready_is_sent_after_30_s_without_an_answer_from_the_engine() -> None:
    """The subscription may hang, or the name resolution."""
    now, listener = [0.0], RecordingServiceManager()
    with controller_before_subscription(World(), listener, Timers(lambda: now[0])) as controller:
        controller.post(HostChanged())
        now[0] += 29
        controller.post(HostChanged())
        eventually(lambda: listener.beats > 5)
        assert not listener.notifications
        now[0] += 2
        controller.post(HostChanged())
        eventually(lambda: listener.notifications)
    assert (
        listener.notifications[0]
        == "ready: the engine has not answered for 30 s; containers are mapped later"
    )


def test_ready_is_sent_after_60_s_although_an_action_hangs() -> None:
    """A service manager waits longer than 60 s, and all other containers are mapped."""
    now, hanging, listener = [0.0], BlockingCall(), RecordingServiceManager()
    world = World(containers={RUNNING.id: RUNNING})
    world.on_action = hanging
    with running_controller(world, service=listener, timers=Timers(lambda: now[0])) as controller:
        assert hanging.entered.wait(10)
        now[0] += 59
        controller.post(HostChanged())
        beats = listener.beats
        eventually(lambda: listener.beats > beats + 5)
        assert not any(text.startswith("ready") for text in listener.notifications)
        now[0] += 2
        controller.post(HostChanged())
        eventually(
            lambda: any(text.startswith("ready: the engine takes more") for text in listener.notifications)
        )
        hanging.released.set()


@contextmanager
def controller_before_subscription(
    world: World, listener: RecordingServiceManager, timers: Timers | None = None
) -> Iterator[Controller]:
    """Run a controller that has not subscribed to the engine's events yet."""
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
