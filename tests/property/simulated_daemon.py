"""The daemon, moved by hand: its workers work, and its clock goes on, when a test says so. On one thread."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dockeripv6mapper.actions import EndpointAction, EndpointChange, Restore
from dockeripv6mapper.controller.loop import Controller
from dockeripv6mapper.controller.queue import Message
from dockeripv6mapper.controller.timers import Resync, Timers
from dockeripv6mapper.controller.workqueue import Finished, Job, Workers
from dockeripv6mapper.engine.endpoints import Endpoints
from dockeripv6mapper.engine.events import Subscribed
from dockeripv6mapper.engine.journal import Journal
from dockeripv6mapper.settings import Settings
from tests.property.fake_engine import FakeEngine
from tests.unit.controller.world import World

NEVER = 1e6
"""Seconds after which the daemon would make a full pass by itself."""
A_WHILE = 60.0
"""Seconds in which all rings that was set, but for that."""
ROUNDS = 20
"""How often a while may pass before all has to be at rest."""
TASKS_IN_A_ROUND = 200
"""More than that, without any time that passes, is a loop."""
SETTINGS = Settings(resync=NEVER)


class ManualWorkers(Workers[Job]):
    """Workers that do nothing before they are told to."""

    def __init__(self, waiting: list[tuple[Job, Callable[[], Any]]]) -> None:
        self._waiting = waiting

    def submit(self, job: Job, call: Callable[[], Any]) -> None:
        """Take a job, and leave it."""
        self._waiting.append((job, call))


class SimulatedDaemon:
    """The real controller and the real endpoints, with what their workers are to do and have done."""

    def __init__(self, engine: FakeEngine, kernel: World, state_dir: Path) -> None:
        self._engine = engine
        self.waiting: list[tuple[Job, Callable[[], Any]]] = []
        self.finished: list[Finished[Job]] = []
        self._now = 0.0
        self._timers = Timers(lambda: self._now)
        self._timers.set(Resync(), NEVER)
        self.endpoints = Endpoints(engine, Journal(state_dir, lambda: time.time() + self._now))
        self._controller = Controller(
            *(engine, self.endpoints, kernel, SETTINGS),
            timers=self._timers,
            employ=lambda _count, _deliver: ManualWorkers(self.waiting),
        )
        self.receive(Subscribed())

    def receive(self, message: Message) -> None:
        """Take up one message."""
        self._controller.post(message)
        self._controller.turn()

    @property
    def actions(self) -> list[EndpointAction]:
        """Those of the jobs that wait which change something."""
        return [job for job, _ in self.waiting if isinstance(job, EndpointChange | Restore)]

    def work(self, number: int, *, act: bool = True) -> bool:
        """Do one of the jobs that wait, by what is there now, if there is one; without `act`, a question."""
        actions = () if act else self.actions
        there = sorted((each for each in self.waiting if each[0] not in actions), key=repr)
        if not there:
            return False
        self._finish(*there[number % len(there)])
        return True

    def make(self, kind: type[Job]) -> None:
        """Do the one job of a kind that waits, by what is there now; what it brings is heard later."""
        ((job, call),) = (each for each in self.waiting if isinstance(each[0], kind))
        self._finish(job, call)

    def do(self, kind: type[Job]) -> None:
        """Do the one job of a kind that waits, and hear at once what it brings."""
        self.make(kind)
        self.report(-1)

    def _finish(self, job: Job, call: Callable[[], Any]) -> None:
        self.waiting.remove((job, call))
        try:
            self.finished.append(Finished(job, call()))
        except Exception as error:  # noqa: BLE001 - as the real workers do
            self.finished.append(Finished(job, None, error))

    def report(self, number: int) -> None:
        """Hear what one of the jobs brought, however long ago it was done."""
        self.receive(self.finished.pop(number % len(self.finished)))

    def wait(self) -> None:
        """Let a while pass."""
        self._now += A_WHILE
        while self._timers.next_in() == 0:
            self._controller.turn()

    def full_pass(self) -> None:
        """Come to the time of a full pass: everything is asked for, and nothing was heard."""
        self._timers.set(Resync(), 0.0)
        self._controller.turn()

    def settle(self, *, act: bool = True, after_each: Callable[[], None] = lambda: None) -> None:
        """Hear and do all that is to be, in its order; or all but the actions."""
        for _ in range(ROUNDS if act else 1):
            for _ in range(TASKS_IN_A_ROUND):
                if self._engine.pending_events:
                    self.receive(self._engine.pending_events.pop(0))
                elif self.finished:
                    self.report(0)
                elif self.work(0, act=act):
                    after_each()
                else:
                    break
            else:
                raise AssertionError(f"no end to it: {self.waiting}")
            self.wait()
