"""The daemon, moved by hand: its workers work, and its clock goes on, when a test says so. On one thread."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dockeripv6mapper.actions import EndpointAction, EndpointChange, Restore
from dockeripv6mapper.controller.jobs import Job
from dockeripv6mapper.controller.loop import Controller
from dockeripv6mapper.controller.messages import Message
from dockeripv6mapper.controller.timers import Resync, Timers
from dockeripv6mapper.engine.endpoints import Endpoints
from dockeripv6mapper.engine.events import Subscribed
from dockeripv6mapper.engine.journal import Journal
from dockeripv6mapper.engine.workers import Finished, Workers
from dockeripv6mapper.settings import Settings
from dockeripv6mapper.surroundings import Surroundings
from tests.property.fake_engine import FakeEngine
from tests.unit.controller.world import World

NEVER = 1e6
"""Seconds after which the daemon would make a full pass by itself."""
A_WHILE = 60.0
"""Seconds in which all rings that was set, but for that."""
SETTINGS = Settings(resync=NEVER)


class Hands(Workers[Job]):
    """Workers that do nothing before they are told to."""

    def __init__(self, waiting: list[tuple[Job, Callable[[], Any]]]) -> None:
        self._waiting = waiting

    def submit(self, job: Job, call: Callable[[], Any]) -> None:
        """Take a job, and leave it."""
        self._waiting.append((job, call))


class Daemon:
    """The real controller and the real endpoints, with what their workers are to do and have done."""

    def __init__(self, engine: FakeEngine, kernel: World, state_dir: Path) -> None:
        self.waiting: list[tuple[Job, Callable[[], Any]]] = []
        self.finished: list[Finished[Job]] = []
        self._now = 0.0
        self._timers = Timers(lambda: self._now)
        self._timers.set(Resync(), NEVER)
        self.endpoints = Endpoints(engine, Journal(state_dir))
        self._controller = Controller(
            *(engine, self.endpoints, kernel, SETTINGS),
            survey=Surroundings,
            timers=self._timers,
            employ=lambda _count, _deliver: Hands(self.waiting),
        )
        self.hear(Subscribed())

    def hear(self, message: Message) -> None:
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
        job, call = there[number % len(there)]
        self.waiting.remove((job, call))
        try:
            self.finished.append(Finished(job, call()))
        except Exception as error:  # noqa: BLE001 - as the real workers do
            self.finished.append(Finished(job, None, error))
        return True

    def report(self, number: int) -> None:
        """Hear what one of the jobs brought, however long ago it was done."""
        self.hear(self.finished.pop(number % len(self.finished)))

    def wait(self) -> None:
        """Let a while pass."""
        self._now += A_WHILE
        while self._timers.next_in() == 0:
            self._controller.turn()
