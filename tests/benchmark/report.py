"""Measurements as a table and as JSON."""

import json
from collections.abc import Iterable
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from tests.benchmark.measurements import Measurement, Statistic

VERDICTS = {True: "[green]pass", False: "[bold red]fail", None: ""}


def table(measurements: Iterable[Measurement]) -> Table:
    """The measurements with their targets."""
    columns = ("measurement", "condition", "target", "median", "p95", "mean", "unit", "n", "")
    shown = Table(*columns, box=SIMPLE_HEAD)
    for column in shown.columns[3:6]:
        column.justify = "right"
    for each in measurements:
        figures = (f"{statistic.of(each.values):.3g}" for statistic in Statistic)
        targets = ", ".join(map(str, each.limits))
        cells = (*figures, each.unit, str(len(each.values)), VERDICTS[each.passed])
        shown.add_row(each.name, each.condition, targets, *cells)
    return shown


def describe(measurement: Measurement) -> str:
    """One measurement in one line, printed before the table is complete."""
    median, p95, mean = (statistic.of(measurement.values) for statistic in Statistic)
    figures = f"median {median:.3g}, p95 {p95:.3g}, mean {mean:.3g} {measurement.unit}"
    return f"{measurement.name}: {figures}, n = {len(measurement.values)}"


def write_json(path: Path, machine: str, measurements: Iterable[Measurement]) -> None:
    """Write every value, to compare runs or to plot. The keys stay the same, so that runs can be compared."""
    rows = [
        {
            "what": each.name,
            "condition": each.condition,
            "unit": each.unit,
            "values": each.values,
            "limits": [str(limit) for limit in each.limits],
            "passed": each.passed,
        }
        for each in measurements
    ]
    path.write_text(json.dumps({"machine": machine, "outcomes": rows}, indent=1) + "\n")
