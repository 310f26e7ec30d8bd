"""Workers: each job's result, error and duration come back, whoever runs it."""

import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from dockeripv6mapper.engine.workers import Finished, Workers


@pytest.fixture
def finish() -> Iterator[Callable[..., Finished[str]]]:
    """Has a worker do a job, and returns what it delivers of it."""
    finished: SimpleQueue[Finished[str]] = SimpleQueue()
    workers: Workers[str] = Workers(1, finished.put)

    def submitted(call: Callable[[], Any], *, began: float | None = None) -> Finished[str]:
        workers.submit("job", call, began=began)
        return finished.get(timeout=10)

    yield submitted
    workers.stop()


def test_a_jobs_result_is_delivered(finish: Callable[..., Finished[str]]) -> None:
    """With the job that it is of."""
    finished = finish(lambda: 7)
    assert (finished.job, finished.result, finished.error) == ("job", 7, None)


def test_an_error_of_any_kind_is_delivered_and_the_next_job_is_done(
    finish: Callable[..., Finished[str]],
) -> None:
    """It is for the controller to say, not the end of the thread."""
    failed = finish(lambda: 1 / 0)
    assert isinstance(failed.error, ZeroDivisionError)
    assert finish(lambda: 7).result == 7


def test_a_job_that_was_begun_by_another_takes_its_time_from_then(
    finish: Callable[..., Finished[str]],
) -> None:
    """As the connect that the events' thread has asked for, which only remains to be answered."""
    assert finish(lambda: None, began=time.monotonic() - 60).seconds >= 60
