"""Unexpected errors: logged with a traceback, at a limited rate, and without losing pending work."""

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
from tests.unit.controller.test_observers import RecordingMeter, RecordingServiceManager
from tests.unit.controller.world import NEVER, World, event, running_controller, world_with

RUNNING = container(network="he_ipv6", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
ENTRY = ProxyEntry(MON_CONTAINER, "eth0")


class Clock:
    """A clock that a test advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the current time in seconds."""
        return self.now


def with_traceback(error: Exception) -> Exception:
    """Return the error with a traceback that ends in one line of the program."""
    try:
        Timers(clock=lambda: (_ for _ in ()).throw(error)).set(Report(), 0)
    except type(error) as caught:
        return caught
    raise AssertionError("not raised")


def errors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return the records at level ERROR."""
    return [each for each in caplog.records if each.levelno == logging.ERROR]


def test_a_new_unexpected_error_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """New means another type or another place in the code, also while an earlier error lasts."""
    log_changes = LogChanges(Clock())
    log_changes.failed("a", with_traceback(KeyError("x")))
    log_changes.failed("a", with_traceback(IndexError("x")))
    assert [each.exc_info is not None for each in errors(caplog)] == [True, True]
    assert "KeyError" in errors(caplog)[0].message
    assert "controller/timers.py:" in errors(caplog)[0].message


def test_repeats_are_logged_once_a_minute_with_their_number(caplog: pytest.LogCaptureFixture) -> None:
    """Messages and subjects may differ: a message may contain a container's name."""
    clock = Clock()
    log_changes = LogChanges(clock)
    for number in range(1000):
        log_changes.failed(f"container {number % 7}", with_traceback(KeyError(f"container {number}")))
        clock.now += 0.25
    shown = errors(caplog)
    assert len(shown) == 5
    assert [each.exc_info is not None for each in shown] == [True, False, False, False, False]
    assert "961 times" in shown[-1].message


def test_an_unexpected_error_that_ends_and_comes_again_does_not_flood_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Both its start and its end are logged once a minute."""
    clock = Clock()
    log_changes = LogChanges(clock)
    with caplog.at_level(logging.INFO):
        for _ in range(300):
            log_changes.failed("the loop", with_traceback(KeyError("x")))
            log_changes.succeeded("the loop")
            clock.now += 0.5
    ends = [each for each in caplog.records if each.message.startswith("no longer failing")]
    assert len(errors(caplog)) == len(ends) == 3
    assert all(each.exc_info for each in errors(caplog))


def test_an_error_in_the_loop_ends_with_the_next_successful_full_pass(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is logged when it begins and when it ends."""
    world = world_with(RUNNING)
    with caplog.at_level(logging.INFO), running_controller(world, NEVER) as controller:
        eventually(lambda: ENTRY in world.entries)
        failing = count()

        def fail(_: object) -> None:
            if next(failing) < 2:
                raise KeyError("an element with a comment")

        world.on_prune = fail
        controller.post(ResyncNow())
        eventually(lambda: any("no longer failing: KeyError" in each.message for each in caplog.records))
    assert len(errors(caplog)) == 1
    assert errors(caplog)[0].exc_info


class FailingMeter(RecordingMeter):
    """A meter that fails at the next `failures_left` tallies."""

    failures_left = 0

    def tallied(self, tally: Tally) -> None:
        """Fail while `failures_left` is positive."""
        if self.failures_left > 0:
            self.failures_left -= 1
            raise RuntimeError("a meter that fails")
        super().tallied(tally)


def test_a_failing_timer_does_not_cancel_other_due_timers() -> None:
    """Several timers are due at the same time."""
    clock, world, meter = Clock(), world_with(RUNNING), FailingMeter()
    timers = Timers(clock)
    with running_controller(world, NEVER, meter=meter, timers=timers) as controller:
        eventually(lambda: ENTRY in world.entries)
        world.containers[RUNNING.id] = replace(RUNNING, running=False)
        controller.post(event(RUNNING, Change.DIED))
        eventually(lambda: ENTRY not in world.entries and Verify(RUNNING.id) in timers)
        # The restart policy started it again, and the start event was lost.
        world.containers[RUNNING.id] = RUNNING
        world.inspected.clear()
        timers.cancel(Report())
        timers.set(Report(), -2)
        meter.failures_left = 1
        clock.now += 5
        controller.post(HostChanged())
        eventually(lambda: ENTRY in world.entries)
        assert meter.failures_left == 0


def test_a_dead_container_is_inspected_later_although_handling_its_die_event_failed() -> None:
    """Otherwise a container that runs again would count as dead until its next start."""
    world, failures = world_with(RUNNING), [KeyError("once")]

    class Failing(Meter):
        def passed(self, _seconds: float, *, whole: bool) -> None:
            if not whole and ENTRY not in world.entries and failures:
                raise failures.pop()

    with running_controller(world, NEVER, meter=Failing()) as controller:
        eventually(lambda: ENTRY in world.entries)
        failures[:] = [KeyError("once")]
        world.containers[RUNNING.id] = replace(RUNNING, running=False)
        controller.post(event(RUNNING, Change.DIED))
        eventually(lambda: ENTRY not in world.entries and not failures)
        world.containers[RUNNING.id] = RUNNING
        eventually(lambda: ENTRY in world.entries)


def test_a_subscription_causes_full_lists_although_its_handling_failed() -> None:
    """Containers and images are listed, because events may have been missed."""
    world, meter = world_with(), FailingMeter()
    world.lists_images = True
    with running_controller(world, NEVER, meter=meter) as controller:
        eventually(lambda: world.image_lists == 1)
        meter.failures_left = 1
        world.containers[RUNNING.id] = RUNNING
        controller.post(Subscribed())
        eventually(lambda: ENTRY in world.entries)
        eventually(lambda: world.image_lists == 2)


def test_ready_is_sent_although_the_metrics_report_fails() -> None:
    """The report comes first."""
    listener, meter = RecordingServiceManager(), FailingMeter()
    meter.failures_left = 1000
    with running_controller(World(), NEVER, service=listener, meter=meter):
        eventually(lambda: "ready" in listener.notifications)


def test_a_failed_timer_fires_again() -> None:
    """While the engine is unreachable, no other event causes the retry."""
    clock, world, failures = Clock(), world_with(RUNNING), [KeyError("once")]
    timers = Timers(clock)
    with running_controller(world, NEVER, timers=timers) as controller:
        eventually(lambda: ENTRY in world.entries)

        def fail() -> None:
            if failures:
                raise failures.pop()

        away = StreamLost(EngineUnavailableError("away"))
        world.on_observe = fail
        world.entries.clear()
        timers.set(RetryHost(), 0)
        controller.post(away)
        eventually(lambda: not failures and RetryHost() in timers)
        clock.now += 1
        controller.post(away)
        eventually(lambda: ENTRY in world.entries)


def test_due_timers_are_taken_one_at_a_time() -> None:
    """The longest due comes first; one that is set meanwhile waits for the next turn."""
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
