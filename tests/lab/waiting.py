"""Poll a condition until it is true; nothing in the lab sleeps for a fixed time."""

import time
from collections.abc import Callable
from typing import TypeVar

from tests.lab.commands import CommandError

T = TypeVar("T")


def eventually(condition: Callable[[], T], within: float = 10.0, every: float = 0.02) -> T:
    """Return the first true value of `condition`, polled every `every` seconds.

    `within` and `every` are seconds. An `AssertionError` or `CommandError` of the condition counts as false.
    Raises `AssertionError` with the last value, or from the last failure, after `within` seconds. The
    condition is evaluated at least once, and once more after the deadline.
    """
    deadline = time.monotonic() + within
    while True:
        late = time.monotonic() >= deadline
        failure: Exception | None = None
        try:
            value = condition()
        except (AssertionError, CommandError) as error:
            failure = error
        else:
            if value:
                return value
        if late:
            last = failure or f"the last value was {value!r}"
            raise AssertionError(f"not within {within:g} s: {last}") from failure
        time.sleep(every)
