"""Outcomes: what was measured, and what it has to keep within. Pure."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum


class Statistic(Enum):
    """What is asked of the values."""

    MEDIAN = "median"
    P95 = "p95"
    MEAN = "mean"
    """Of values that are 0 or 100, the share in per cent."""

    def of(self, values: Sequence[float]) -> float:
        """Of at least one value."""
        return _FUNCTIONS[self](values)


@dataclass(frozen=True, slots=True)
class Limit:
    """What a statistic must not be above; with `at_least`, below."""

    statistic: Statistic
    bound: float
    at_least: bool = False

    def holds(self, values: Sequence[float]) -> bool:
        """Whether the values keep within."""
        value = self.statistic.of(values)
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        return f"{self.statistic.value} {'≥' if self.at_least else '≤'} {self.bound:g}"


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one row measured of one thing, under one condition."""

    what: str
    condition: str
    """The engine, and what else was not as always: `28.5, Nice=0`."""
    unit: str
    values: tuple[float, ...]
    limits: tuple[Limit, ...] = ()
    """None: only to be compared with."""

    @property
    def passed(self) -> bool | None:
        """Whether all limits hold; None where there are none."""
        return all(limit.holds(self.values) for limit in self.limits) if self.limits else None


def at_most(median: float, p95: float | None = None) -> tuple[Limit, ...]:
    """Limits of a duration, a size or a ratio."""
    limits = (Limit(Statistic.MEDIAN, median),)
    return limits if p95 is None else (*limits, Limit(Statistic.P95, p95))


def share_at_least(per_cent: float) -> tuple[Limit, ...]:
    """The limit of a share."""
    return (Limit(Statistic.MEAN, per_cent, at_least=True),)


def _p95(values: Sequence[float]) -> float:
    """The least value that 95 % of all do not exceed."""
    return sorted(values)[-(-95 * len(values) // 100) - 1]


_FUNCTIONS: dict[Statistic, Callable[[Sequence[float]], float]] = {
    Statistic.MEDIAN: statistics.median,
    Statistic.P95: _p95,
    Statistic.MEAN: statistics.fmean,
}
