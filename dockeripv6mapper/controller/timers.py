"""Timers: what the loop does later, and when."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resync:
    """Time for a full pass."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Time to try again what failed for a container; until then nothing is tried for it."""

    container_id: str


@dataclass(frozen=True, slots=True)
class Verify:
    """Time to see whether a container that died is dead."""

    container_id: str


@dataclass(frozen=True, slots=True)
class RetryImage:
    """Time to look again at an image that could not be looked at."""

    image: str


@dataclass(frozen=True, slots=True)
class RetryHost:
    """Time to try again what the kernel refused, for whomever."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """Time to be ready, whatever is not done yet."""

    listed: bool
    """False: only where the first list has not been made."""


@dataclass(frozen=True, slots=True)
class Report:
    """Time to say how things are."""


@dataclass(frozen=True, slots=True)
class LookAtHost:
    """Time to look at the host, since it changed or a router was asked for."""


Timer = Resync | LookAtHost | Retry | RetryHost | RetryImage | Verify | Deadline | Report


class Timers:
    """At most one of each, by a clock that never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._when: dict[Timer, float] = {}

    def __contains__(self, timer: Timer) -> bool:
        return timer in self._when

    def set(self, timer: Timer, seconds: float) -> None:
        """Ring `timer` in so many seconds, whatever was set before."""
        self._when[timer] = self._clock() + seconds

    def hasten(self, timer: Timer, seconds: float) -> None:
        """Ring `timer` in so many seconds, unless it rings sooner anyway."""
        soon = self._clock() + seconds
        self._when[timer] = min(self._when.get(timer, soon), soon)

    def cancel(self, *timers: Timer) -> None:
        """Do not ring these."""
        for timer in timers:
            self._when.pop(timer, None)

    def cancel_retries(self) -> None:
        """Nothing that failed before need wait any longer."""
        self.cancel(*[timer for timer in self._when if isinstance(timer, Retry | RetryImage)])

    @property
    def now(self) -> float:
        """The time by the clock."""
        return self._clock()

    def take_due(self, now: float) -> Timer | None:
        """One of the timers that were due at `now`, the longest due first; it is no longer set then."""
        timer = min(self._when, key=self._when.__getitem__, default=None)
        if timer is None or self._when[timer] > now:
            return None
        del self._when[timer]
        return timer

    def next_in(self) -> float:
        """Seconds until the next one rings. At least one must be set."""
        return max(0.0, min(self._when.values()) - self._clock())
