"""Unexpected errors: logged with a traceback, bounded in number, and nothing that was due is lost by them."""

import logging
from dataclasses import replace
from itertools import count

import pytest

from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.controller.observers import Meter
from dockeripv6mapper.controller.queue import HostChanged, ResyncNow
from dockeripv6mapper.controller.timers import Report, RetryHost, Timers, Verify
from dockeripv6mapper.engine.events import Change, StreamLost, Subscribed
from dockeripv6mapper.errors import EngineUnavailableError
from dockeripv6mapper.mapping.state import Tally
from dockeripv6mapper.model import ProxyEntry
from tests.lab.waiting import eventually
from tests.unit.builders import MON_CONTAINER, container, endpoint
from tests.unit.controller.test_observers import Counter, Listener
from tests.unit.controller.world import NEVER, World, event, running, world_with

RUNNING = container(network="he_ipv6", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
ENTRY = ProxyEntry(MON_CONTAINER, "eth0")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def raised(error: Exception) -> Exception:
    """The error as it comes from one line of the program's own: with a traceback."""
    try:
        Timers(clock=lambda: (_ for _ in ()).throw(error)).set(Report(), 0)
    except type(error) as caught:
        return caught
    raise AssertionError("not raised")


def errors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What was logged at ERROR."""
    return [each for each in caplog.records if each.levelno == logging.ERROR]


def test_a_new_unexpected_error_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """Each of another type or from another place, also where an earlier one has not ended."""
    log_changes = LogChanges(Clock())
    log_changes.failed("a", raised(KeyError("x")))
    log_changes.failed("a", raised(IndexError("x")))
    assert [each.exc_info is not None for each in errors(caplog)] == [True, True]
    assert "KeyError" in errors(caplog)[0].message
    assert "controller/timers.py:" in errors(caplog)[0].message


def test_repeats_are_logged_once_a_minute_with_their_number(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever their message says, and whatever failed by them: a message may hold a container's name."""
    clock = Clock()
    log_changes = LogChanges(clock)
    for number in range(1000):
        log_changes.failed(f"container {number % 7}", raised(KeyError(f"container {number}")))
        clock.now += 0.25
    shown = errors(caplog)
    assert len(shown) == 5
    assert [each.exc_info is not None for each in shown] == [True, False, False, False, False]
    assert "961 times" in shown[-1].message


def test_an_unexpected_error_that_ends_and_comes_again_does_not_flood_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each full pass that works ends it: a line a minute, and its end once for each of them."""
    clock = Clock()
    log_changes = LogChanges(clock)
    with caplog.at_level(logging.INFO):
        for _ in range(300):
            log_changes.failed("the loop", raised(KeyError("x")))
            log_changes.succeeded("the loop")
            clock.now += 0.5
    ends = [each for each in caplog.records if each.message.startswith("no longer failing")]
    assert len(errors(caplog)) == len(ends) == 3
    assert all(each.exc_info for each in errors(caplog))


def test_an_error_in_the_loop_ends_with_a_full_pass_that_worked(caplog: pytest.LogCaptureFixture) -> None:
    """It is said when it begins and when it ends."""
    world = world_with(RUNNING)
    with caplog.at_level(logging.INFO), running(world, NEVER) as controller:
        eventually(lambda: ENTRY in world.entries)
        failing = count()

        def fail(_: object) -> None:
            if next(failing) < 2:
                raise KeyError("an element with a comment")

        world.pruning = fail
        controller.post(ResyncNow())
        eventually(lambda: any("no longer failing: KeyError" in each.message for each in caplog.records))
    assert len(errors(caplog)) == 1
    assert errors(caplog)[0].exc_info


class Unfit(Counter):
    """A meter that fails once at each report when it is told to, and at other calls of the loop."""

    reports = 0

    def tallied(self, tally: Tally) -> None:
        """Fail, so many times."""
        if self.reports > 0:
            self.reports -= 1
            raise RuntimeError("a meter that fails")
        super().tallied(tally)


def test_a_timer_that_fails_keeps_no_other_from_ringing() -> None:
    """Of several that are due together, none is lost."""
    clock, world, meter = Clock(), world_with(RUNNING), Unfit()
    timers = Timers(clock)
    with running(world, NEVER, meter=meter, timers=timers) as controller:
        eventually(lambda: ENTRY in world.entries)
        world.containers[RUNNING.id] = replace(RUNNING, running=False)
        controller.post(event(RUNNING, Change.DIED))
        eventually(lambda: ENTRY not in world.entries and Verify(RUNNING.id) in timers)
        # It was started again by its restart policy, and that event was lost.
        world.containers[RUNNING.id] = RUNNING
        world.looked.clear()
        timers.cancel(Report())
        timers.set(Report(), -2)
        meter.reports = 1
        clock.now += 5
        controller.post(HostChanged())
        eventually(lambda: ENTRY in world.entries)
        assert meter.reports == 0


def test_a_death_whose_handling_failed_is_verified_all_the_same() -> None:
    """Else a container that runs again would count as dead until its next start."""
    world, failures = world_with(RUNNING), [KeyError("once")]

    class Failing(Meter):
        def passed(self, _seconds: float, *, whole: bool) -> None:
            if not whole and ENTRY not in world.entries and failures:
                raise failures.pop()

    with running(world, NEVER, meter=Failing()) as controller:
        eventually(lambda: ENTRY in world.entries)
        failures[:] = [KeyError("once")]
        world.containers[RUNNING.id] = replace(RUNNING, running=False)
        controller.post(event(RUNNING, Change.DIED))
        eventually(lambda: ENTRY not in world.entries and not failures)
        world.containers[RUNNING.id] = RUNNING
        eventually(lambda: ENTRY in world.entries)


def test_a_subscription_whose_handling_fails_is_taken_in_all_the_same() -> None:
    """What may have been missed is listed, images too."""
    world, meter = world_with(), Unfit()
    world.lists_images = True
    with running(world, NEVER, meter=meter) as controller:
        eventually(lambda: world.image_lists == 1)
        meter.reports = 1
        world.containers[RUNNING.id] = RUNNING
        controller.post(Subscribed())
        eventually(lambda: ENTRY in world.entries)
        eventually(lambda: world.image_lists == 2)


def test_the_service_manager_hears_of_ready_also_where_the_report_before_it_fails() -> None:
    """The status line is the lesser of the two."""
    listener, meter = Listener(), Unfit()
    meter.reports = 1000
    with running(World(), NEVER, service=listener, meter=meter):
        eventually(lambda: "ready" in listener.said)


def test_a_timer_that_fails_rings_again() -> None:
    """While the engine is away nothing else would."""
    clock, world, failures = Clock(), world_with(RUNNING), [KeyError("once")]
    timers = Timers(clock)
    with running(world, NEVER, timers=timers) as controller:
        eventually(lambda: ENTRY in world.entries)

        def fail() -> None:
            if failures:
                raise failures.pop()

        away = StreamLost(EngineUnavailableError("away"))
        world.observing = fail
        world.entries.clear()
        timers.set(RetryHost(), 0)
        controller.post(away)
        eventually(lambda: not failures and RetryHost() in timers)
        clock.now += 1
        controller.post(away)
        eventually(lambda: ENTRY in world.entries)


def test_timers_that_are_due_are_taken_one_at_a_time() -> None:
    """The longest due first; one that is set meanwhile waits for the next turn."""
    clock = Clock()
    timers = Timers(clock)
    timers.set(RetryHost(), 1)
    timers.set(Report(), 2)
    clock.now += 1
    assert timers.take_due(clock()) == RetryHost()
    assert timers.take_due(clock()) is None
    timers.set(RetryHost(), 0.5)
    assert timers.take_due(clock()) is None
    assert Report() in timers
