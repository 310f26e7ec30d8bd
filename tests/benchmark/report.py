"""Outcomes as a table and as JSON."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tests.benchmark.measurements import Measurement, Statistic

VERDICTS = {True: "[green]pass", False: "[bold red]fail", None: ""}


def table(measurements: Iterable[Measurement]) -> Table:
    """What was measured, with its targets."""
    columns = ("what", "condition", "target", "median", "p95", "mean", "unit", "n", "")
    shown = Table(*columns, box=SIMPLE_HEAD)
    for column in shown.columns[3:6]:
        column.justify = "right"
    for each in measurements:
        figures = (f"{statistic.of(each.values):.3g}" for statistic in Statistic)
        targets = ", ".join(map(str, each.limits))
        known = (*figures, each.unit, str(len(each.values)), VERDICTS[each.passed])
        shown.add_row(each.what, each.condition, targets, *known)
    return shown


def describe(measurement: Measurement) -> str:
    """What was measured in one line, for whoever waits for the table."""
    median, p95, mean = (statistic.of(measurement.values) for statistic in Statistic)
    figures = f"median {median:.3g}, p95 {p95:.3g}, mean {mean:.3g} {measurement.unit}"
    return f"{measurement.what}: {figures}, n = {len(measurement.values)}"


def write_json(path: Path, machine: str, measurements: Iterable[Measurement]) -> None:
    """Every value, for whoever wants to compare or plot."""
    rows = [
        {**asdict(each), "limits": [str(limit) for limit in each.limits], "passed": each.passed}
        for each in measurements
    ]
    path.write_text(json.dumps({"machine": machine, "outcomes": rows}, indent=1) + "\n")
