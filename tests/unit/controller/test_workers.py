"""Workers: each job's result or error comes back, whoever runs it."""

from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from dockeripv6mapper.controller.workqueue import Finished, Workers

Finish = Callable[[Callable[[], Any]], Finished[str]]


@pytest.fixture
def finish() -> Iterator[Finish]:
    """Has a worker do a job, and returns what it delivers of it."""
    finished: SimpleQueue[Finished[str]] = SimpleQueue()
    workers: Workers[str] = Workers(1, finished.put)

    def submitted(call: Callable[[], Any]) -> Finished[str]:
        workers.submit("job", call)
        return finished.get(timeout=10)

    yield submitted
    workers.stop()


def test_a_jobs_result_is_delivered(finish: Finish) -> None:
    """With the job that it is of."""
    finished = finish(lambda: 7)
    assert (finished.job, finished.result, finished.error) == ("job", 7, None)


def test_an_error_of_any_kind_is_delivered_and_the_next_job_is_done(
    finish: Finish,
) -> None:
    """It is for the controller to say, not the end of the thread."""
    failed = finish(lambda: 1 / 0)
    assert isinstance(failed.error, ZeroDivisionError)
    assert finish(lambda: 7).result == 7
