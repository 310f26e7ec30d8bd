"""Workers: the few threads on which engine calls wait, so that the controller never does.

Not `concurrent.futures`: its threads are joined at exit, and one call that hangs in the engine would keep
the daemon from stopping.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

Job = TypeVar("Job")


@dataclass(frozen=True, slots=True)
class Finished(Generic[Job]):
    """A job came to its end: with a result, or with an error of any kind."""

    job: Job
    result: Any = None
    error: Exception | None = None
    seconds: float = 0.0
    """How long it took, without its time in the queue."""


class Workers(Generic[Job]):
    """Runs jobs in the order of their submission, `count` at a time."""

    def __init__(self, count: int, deliver: Callable[[Finished[Job]], None]) -> None:
        self._deliver = deliver
        self._jobs: SimpleQueue[tuple[Job, Callable[[], Any]] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"engine-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job, call: Callable[[], Any]) -> None:
        """Have `call` made; `Finished(job, …)` is delivered, from the worker's thread."""
        self._jobs.put((job, call))

    def stop(self) -> None:
        """Let every thread end after what it is doing now. Does not wait."""
        for _ in self._threads:
            self._jobs.put(None)

    def _work(self) -> None:
        while (task := self._jobs.get()) is not None:
            job, call = task
            began = time.monotonic()
            try:
                finished = Finished(job, call(), None, time.monotonic() - began)
            except Exception as error:  # noqa: BLE001 - handed over, not swallowed: the controller logs it
                finished = Finished(job, None, error, time.monotonic() - began)
            self._deliver(finished)
