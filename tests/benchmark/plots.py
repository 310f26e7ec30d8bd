"""Plots: the distribution of start latency, and the cost of a full pass over the number of containers."""

import re
import statistics
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from tests.benchmark.measurements import Measurement

LATENCY = "start event → first echo reply at the router"
PASSES = "full pass that changes nothing, CPU time"
DOTS_PER_INCH = 120


def write_plots(directory: Path, measurements: Sequence[Measurement]) -> list[Path]:
    """Draw the two plots, where `measurements` has their values, as PNG; returns the files."""
    files = []
    latencies = [each for each in measurements if each.name == LATENCY]
    if latencies:
        files.append(_save(_distribution(latencies), directory / "latency.png"))
    passes = [each for each in measurements if each.name == PASSES]
    if passes:
        files.append(_save(_growth(passes), directory / "passes.png"))
    return files


def _distribution(measurements: Sequence[Measurement]) -> Figure:
    """The cumulative distribution of a latency, one line for each condition."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for each in measurements:
        values = sorted(each.values)
        shares = [100 * (number + 1) / len(values) for number in range(len(values))]
        axes.step(values, shares, where="post", label=each.condition)
    axes.set(xscale="log", xlabel="ms", ylabel="% of containers", title=LATENCY)
    axes.legend()
    axes.grid(alpha=0.3)
    return figure


def _growth(measurements: Sequence[Measurement]) -> Figure:
    """The median over the number of containers, which the condition begins with."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    medians = {_size(each): statistics.median(each.values) for each in measurements}
    axes.plot(
        [size for size in medians if size], [each for size, each in medians.items() if size], marker="o"
    )
    axes.set(xscale="log", yscale="log", xlabel="containers", ylabel="ms", title=PASSES)
    axes.grid(alpha=0.3)
    return figure


def _size(measurement: Measurement) -> int:
    match = re.match(r"\d+", measurement.condition)
    assert match is not None
    return int(match[0])


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=DOTS_PER_INCH)
    return path
