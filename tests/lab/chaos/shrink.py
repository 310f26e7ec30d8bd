"""Shrinking: from a sequence that breaks something to a shorter one that still does.

Delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002), reduced to
its removals. What is slow here is each try, so their number is bounded.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def shrink(steps: Sequence[T], breaks: Callable[[Sequence[T]], bool], tries: int) -> list[T]:
    """Return a part of `steps`, in their order, for which `breaks` holds as it does for all of them.

    Pieces are left out, half of the sequence at first and single steps at last; `breaks` is asked at most
    `tries` times, and where it holds only now and then, what it said last counts.
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
