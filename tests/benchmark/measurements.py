"""Measured values, and the limits that they must keep. Pure."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum


class Statistic(Enum):
    """A statistic of the values."""

    MEDIAN = "median"
    P95 = "p95"
    MEAN = "mean"
    """The share in per cent, where the values are 0 or 100."""

    def of(self, values: Sequence[float]) -> float:
        """Compute it, of at least one value."""
        return _FUNCTIONS[self](values)


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound of a statistic: the largest value allowed, or with `at_least` the smallest."""

    statistic: Statistic
    bound: float
    at_least: bool = False

    def holds(self, values: Sequence[float]) -> bool:
        """Whether the values keep the limit."""
        value = self.statistic.of(values)
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{self.statistic.value} {'≥' if self.at_least else '≤'} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Measurement:
    """The values of one quantity under one condition."""

    name: str
    condition: str
    """The engine, and the priority and load: `28.5, nice 0, loaded`."""
    unit: str
    values: tuple[float, ...]
    limits: tuple[Limit, ...] = ()
    """Empty for a value that is shown for comparison only."""

    @property
    def passed(self) -> bool | None:
        """Whether all limits hold; None where there are none."""
        return all(limit.holds(self.values) for limit in self.limits) if self.limits else None


def at_most(median: float, p95: float | None = None) -> tuple[Limit, ...]:
    """Limits of a duration, a size or a ratio."""
    limits = (Limit(Statistic.MEDIAN, median),)
    return limits if p95 is None else (*limits, Limit(Statistic.P95, p95))


def share_at_least(per_cent: float) -> tuple[Limit, ...]:
    """The limit of a share in per cent."""
    return (Limit(Statistic.MEAN, per_cent, at_least=True),)


def _p95(values: Sequence[float]) -> float:
    """The smallest value that at least 95 % of the values do not exceed."""
    return sorted(values)[-(-95 * len(values) // 100) - 1]


_FUNCTIONS: dict[Statistic, Callable[[Sequence[float]], float]] = {
    Statistic.MEDIAN: statistics.median,
    Statistic.P95: _p95,
    Statistic.MEAN: statistics.fmean,
}
