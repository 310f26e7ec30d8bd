"""Backoff: how long to wait before a failing thing is tried again."""

import random

FIRST_SECONDS = 0.25
LONGEST_SECONDS = 30.0

_random = random.SystemRandom()


def delay(failures: int, *, longest: float = LONGEST_SECONDS) -> float:
    """Seconds to wait after so many failures in a row: doubled each time, capped, with jitter.

    The jitter, down to half, keeps what failed together from being tried again together.
    """
    most = min(longest, FIRST_SECONDS * 2.0 ** min(failures - 1, 32))
    return most * _random.uniform(0.5, 1)
