"""Exponential backoff with jitter."""

import random

FIRST_SECONDS = 0.25
LONGEST_SECONDS = 30.0

_random = random.SystemRandom()


def delay(failures: int, *, longest: float = LONGEST_SECONDS) -> float:
    """Seconds to wait after `failures` failures in a row (1 or more): doubled each time, at most `longest`.

    A random factor of 0.5 to 1 spreads the retries of actions that failed at the same time.
    """
    most = min(longest, FIRST_SECONDS * 2.0 ** min(failures - 1, 32))
    return most * _random.uniform(0.5, 1)
