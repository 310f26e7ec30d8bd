"""Shrinking: from a failing sequence to a shorter one that still fails.

Delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002), only
its removals. Each try is slow here, so their number is bounded.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def shrink(steps: Sequence[T], breaks: Callable[[Sequence[T]], bool], tries: int) -> list[T]:
    """Return a subsequence of `steps` for which `breaks` is true, as it is for all of them.

    Pieces are left out, half of the sequence at first and single steps at the end. `breaks` is called at most
    `tries` times. It may be flaky: the last result counts.
    """
    shortest = list(steps)
    size = len(shortest) // 2
    while size:
        start = 0
        while start < len(shortest):
            if not tries:
                return shortest
            tries -= 1
            candidate = shortest[:start] + shortest[start + size :]
            if breaks(candidate):
                shortest = candidate
            else:
                start += size
        size //= 2
    return shortest
