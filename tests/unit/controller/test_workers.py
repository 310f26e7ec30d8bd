"""Worker threads: each job's result or error is delivered."""

from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from dockeripv6mapper.controller.jobs import Finished
from dockeripv6mapper.controller.workers import Workers

Finish = Callable[[Callable[[], Any]], Finished[str]]


@pytest.fixture
def finish() -> Iterator[Finish]:
    """Return a function that runs a job on a worker and returns the delivered result."""
    finished: SimpleQueue[Finished[str]] = SimpleQueue()
    workers: Workers[str] = Workers(1, finished.put)

    def submitted(call: Callable[[], Any]) -> Finished[str]:
        workers.submit("job", call)
        return finished.get(timeout=10)

    yield submitted
    workers.stop()


def test_a_jobs_result_is_delivered(finish: Finish) -> None:
    """The message also names the job."""
    finished = finish(lambda: 7)
    assert (finished.job, finished.result, finished.error) == ("job", 7, None)


def test_an_unexpected_error_of_a_job_does_not_end_the_worker(
    finish: Finish,
) -> None:
    """The error is delivered to the controller, and the next job runs."""
    failed = finish(lambda: 1 / 0)
    assert isinstance(failed.error, ZeroDivisionError)
    assert finish(lambda: 7).result == 7
