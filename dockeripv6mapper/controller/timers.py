"""Timers: what the loop does later, and when."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resync:
    """List everything, and make a full pass."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Retry what failed for a container. Until then no action is started on it."""

    container_id: str


@dataclass(frozen=True, slots=True)
class Verify:
    """Inspect a container that died: it may have been started again."""

    container_id: str


@dataclass(frozen=True, slots=True)
class RetryImage:
    """Retry the inspection of an image."""

    image: str


@dataclass(frozen=True, slots=True)
class RetryHost:
    """Retry what the kernel or the firewall refused."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """Report readiness, even though there was no full pass yet."""

    listed: bool
    """False: only if the engine has not been listed yet."""


@dataclass(frozen=True, slots=True)
class Report:
    """Update the status and the metrics."""


@dataclass(frozen=True, slots=True)
class Recount:
    """Count containers by what gets in to them, for the metrics."""


@dataclass(frozen=True, slots=True)
class LookAtHost:
    """Observe the host, since it changed or a router was solicited."""


@dataclass(frozen=True, slots=True)
class Announce:
    """Send the announcements that are due."""


@dataclass(frozen=True, slots=True)
class LookAtFirewall:
    """List our nft table, and check our accept rules: another program changed them."""


Timer = (
    Resync
    | LookAtHost
    | LookAtFirewall
    | Announce
    | Retry
    | RetryHost
    | RetryImage
    | Verify
    | Deadline
    | Report
    | Recount
)


class Timers:
    """At most one timer of each kind and subject, by a monotonic clock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._when: dict[Timer, float] = {}

    def __contains__(self, timer: Timer) -> bool:
        return timer in self._when

    def set(self, timer: Timer, seconds: float) -> None:
        """Set a timer, in place of an earlier one."""
        self._when[timer] = self._clock() + seconds

    def hasten(self, timer: Timer, seconds: float) -> None:
        """Set a timer, unless an earlier one is due sooner."""
        soon = self._clock() + seconds
        self._when[timer] = min(self._when.get(timer, soon), soon)

    def cancel(self, *timers: Timer) -> None:
        """Cancel these timers."""
        for timer in timers:
            self._when.pop(timer, None)

    def cancel_retries(self) -> None:
        """Cancel all retries of containers and images: what failed may succeed now."""
        self.cancel(*[timer for timer in self._when if isinstance(timer, Retry | RetryImage)])

    @property
    def now(self) -> float:
        """The clock's time, in seconds."""
        return self._clock()

    def take_due(self, now: float) -> Timer | None:
        """Remove and return one of the timers that are due at `now`, the one that has been due longest."""
        timer = min(self._when, key=self._when.__getitem__, default=None)
        if timer is None or self._when[timer] > now:
            return None
        del self._when[timer]
        return timer

    def next_in(self) -> float:
        """Seconds until the next timer is due. At least one must be set."""
        return max(0.0, min(self._when.values()) - self._clock())
