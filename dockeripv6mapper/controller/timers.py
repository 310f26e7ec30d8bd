"""Timers: what the loop does later, and when."""

import time
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
class Report:
    """Time to say how things are."""


Timer = Resync | Retry | RetryImage | Verify | Report


class Timers:
    """At most one of each, by the monotonic clock."""

    def __init__(self) -> None:
        self._when: dict[Timer, float] = {}

    def __contains__(self, timer: Timer) -> bool:
        return timer in self._when

    def set(self, timer: Timer, seconds: float) -> None:
        """Ring `timer` in so many seconds, whatever was set before."""
        self._when[timer] = time.monotonic() + seconds

    def hasten(self, timer: Timer, seconds: float) -> None:
        """Ring `timer` in so many seconds, unless it rings sooner anyway."""
        soon = time.monotonic() + seconds
        self._when[timer] = min(self._when.get(timer, soon), soon)

    def cancel(self, *timers: Timer) -> None:
        """Do not ring these."""
        for timer in timers:
            self._when.pop(timer, None)

    def cancel_retries(self) -> None:
        """Nothing that failed before need wait any longer."""
        self.cancel(*[timer for timer in self._when if isinstance(timer, Retry | RetryImage)])

    def due(self) -> list[Timer]:
        """The timers whose time has come; they are no longer set then."""
        now = time.monotonic()
        due = [timer for timer, when in self._when.items() if when <= now]
        self.cancel(*due)
        return due

    def next_in(self) -> float:
        """Seconds until the next one rings. At least one must be set."""
        return max(0.0, min(self._when.values()) - time.monotonic())
