"""Workers: a pool of threads that run calls and deliver what they return."""

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from dockeripv6mapper.controller.jobs import Finished

T = TypeVar("T")


class Workers(Generic[T]):
    """A pool of `count` threads that run jobs in the order of their submission.

    Not `concurrent.futures`: its threads are joined at exit, and one call that hangs in the engine would keep
    the daemon from stopping.
    """

    def __init__(self, count: int, deliver: Callable[[Finished[T]], None]) -> None:
        self._deliver = deliver
        self._jobs: SimpleQueue[tuple[T, Callable[[], Any]] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"worker-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: T, call: Callable[[], Any]) -> None:
        """Have a thread make `call`, and deliver `Finished(job, …)` from that thread."""
        self._jobs.put((job, call))

    def stop(self) -> None:
        """Let every thread end after its current job. Does not wait."""
        for _ in self._threads:
            self._jobs.put(None)

    def _work(self) -> None:
        while (task := self._jobs.get()) is not None:
            job, call = task
            began = time.monotonic()
            try:
                finished = Finished(job, call(), None, time.monotonic() - began)
            except Exception as error:  # noqa: BLE001 - delivered, not swallowed: the loop logs it
                finished = Finished(job, None, error, time.monotonic() - began)
            self._deliver(finished)
