"""The daemon in a deterministic simulation: the test runs its jobs and advances its clock, on one thread."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dockeripv6mapper.actions import EndpointAction, EndpointChange, Restore
from dockeripv6mapper.controller.jobs import Finished, Job
from dockeripv6mapper.controller.loop import Controller
from dockeripv6mapper.controller.queue import Message
from dockeripv6mapper.controller.timers import Resync, Timers
from dockeripv6mapper.controller.workers import Workers
from dockeripv6mapper.engine.endpoints import Endpoints
from dockeripv6mapper.engine.events import Subscribed
from dockeripv6mapper.engine.journal import Journal
from dockeripv6mapper.settings import Settings
from tests.property.fake_engine import FakeEngine
from tests.unit.controller.world import World

NEVER = 1e6
"""Seconds until a periodic full pass: not before the test asks for it."""
CLOCK_STEP = 60.0
"""Seconds. Longer than every other timer of the daemon."""
CLOCK_STEPS = 20
"""After as many steps of the clock, the daemon must be idle."""
JOBS_IN_A_STEP = 200
"""More jobs and messages at one time mean an endless loop."""
SETTINGS = Settings(resync=NEVER)


class ManualWorkers(Workers[Job]):
    """Workers that only queue their jobs."""

    def __init__(self, queued: list[tuple[Job, Callable[[], Any]]]) -> None:
        self._queued = queued

    def submit(self, job: Job, call: Callable[[], Any]) -> None:
        """Queue a job."""
        self._queued.append((job, call))


class SimulatedDaemon:
    """The real controller and endpoints, with a queue of jobs and a queue of results."""

    def __init__(self, engine: FakeEngine, kernel: World, state_dir: Path) -> None:
        self._engine = engine
        self.queued: list[tuple[Job, Callable[[], Any]]] = []
        self.results: list[Finished[Job]] = []
        self._now = 0.0
        self._timers = Timers(lambda: self._now)
        self._timers.set(Resync(), NEVER)
        self.endpoints = Endpoints(engine, Journal(state_dir, lambda: time.time() + self._now))
        self._controller = Controller(
            *(engine, self.endpoints, kernel, SETTINGS),
            timers=self._timers,
            employ=lambda _count, _deliver: ManualWorkers(self.queued),
        )
        self.receive(Subscribed())

    def receive(self, message: Message) -> None:
        """Deliver one message to the controller."""
        self._controller.post(message)
        self._controller.turn()

    @property
    def actions(self) -> list[EndpointAction]:
        """The queued jobs that change an endpoint."""
        return [job for job, _ in self.queued if isinstance(job, EndpointChange | Restore)]

    def run_job(self, number: int, *, act: bool = True) -> bool:
        """Run one queued job, if there is one; without `act`, no action. `number` chooses among them."""
        actions = () if act else self.actions
        jobs = sorted((each for each in self.queued if each[0] not in actions), key=repr)
        if not jobs:
            return False
        self._finish(*jobs[number % len(jobs)])
        return True

    def run_only(self, kind: type[Job]) -> None:
        """Run the one queued job of this type. Its result is delivered later."""
        ((job, call),) = (each for each in self.queued if isinstance(each[0], kind))
        self._finish(job, call)

    def run(self, kind: type[Job]) -> None:
        """Run the one queued job of this type, and deliver its result at once."""
        self.run_only(kind)
        self.deliver_result(-1)

    def _finish(self, job: Job, call: Callable[[], Any]) -> None:
        self.queued.remove((job, call))
        try:
            self.results.append(Finished(job, call()))
        except Exception as error:  # noqa: BLE001 - as the real workers do
            self.results.append(Finished(job, None, error))

    def deliver_result(self, number: int) -> None:
        """Deliver one result. `number` chooses among them."""
        self.receive(self.results.pop(number % len(self.results)))

    def advance_clock(self) -> None:
        """Advance the clock, and let all due timers ring."""
        self._now += CLOCK_STEP
        while self._timers.next_in() == 0:
            self._controller.turn()

    def full_pass(self) -> None:
        """Let the periodic full pass begin."""
        self._timers.set(Resync(), 0.0)
        self._controller.turn()

    def run_until_idle(self, *, act: bool = True, after_each: Callable[[], None] = lambda: None) -> None:
        """Deliver events and results and run jobs, in order, until idle; without `act`, run no actions."""
        for _ in range(CLOCK_STEPS if act else 1):
            for _ in range(JOBS_IN_A_STEP):
                if self._engine.pending_events:
                    self.receive(self._engine.pending_events.pop(0))
                elif self.results:
                    self.deliver_result(0)
                elif self.run_job(0, act=act):
                    after_each()
                else:
                    break
            else:
                raise AssertionError(f"endless loop: {self.queued}")
            self.advance_clock()
