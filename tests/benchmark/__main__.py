"""The benchmark's command line: `python -m tests.benchmark [ROW …]`."""

import os
import platform
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tests.benchmark.environment import Environment
from tests.benchmark.measurements import Measurement
from tests.benchmark.plots import write_plots
from tests.benchmark.report import describe, table, write_json
from tests.benchmark.rows import ROWS
from tests.lab.__main__ import Engines
from tests.lab.prerequisites import missing
from tests.lab.topology import Lab

PIPED_COLUMNS = 160
"""Width of the table where the output is no terminal."""

console = Console(highlight=False)
if not console.is_terminal:
    console = Console(highlight=False, width=PIPED_COLUMNS)


def main(
    row: Annotated[list[str] | None, typer.Argument(help=f"{', '.join(ROWS)}; default: all")] = None,
    *,
    engine: Annotated[Engines, typer.Option(help="on which engines")] = Engines.ALL,
    repetitions: Annotated[int | None, typer.Option("-n", min=1, help="default: each row's own")] = None,
    plots: Annotated[Path | None, typer.Option(metavar="DIRECTORY", help="write the plots there")] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="write every value there")] = None,
) -> None:
    """Measure the mapper on real engines. The lab is removed at the end."""
    names = row or list(ROWS)
    if unknown := [name for name in names if name not in ROWS]:
        raise typer.BadParameter(f"no such row: {', '.join(unknown)}")
    if lack := missing():
        console.print(f"the benchmark needs {lack}: run tests/bench as root, which installs it")
        raise typer.Exit(1)
    measurements: list[Measurement] = []
    with Lab(*engine.flavours, purpose="bench", progress=console.print) as lab:
        machine = describe_machine(lab)
        console.print(machine)
        for name in names:
            environment = Environment(lab, tuple(lab.hosts), partial(console.print, f"{name}:"))
            for measurement in ROWS[name].measure(environment, repetitions or ROWS[name].repetitions):
                measurements.append(measurement)
                console.print(f"  {describe(measurement)}")
    console.print(table(measurements))
    console.print(machine)
    if plots is not None:
        write_plots(plots, measurements)
    if json is not None:
        write_json(json, machine, measurements)
    raise typer.Exit(1 if any(each.passed is False for each in measurements) else 0)


def describe_machine(lab: Lab) -> str:
    """One line about the machine: date, cores, load, kernel, Python, engines."""
    engines = (host.engine.docker("version", "--format", "{{.Server.Version}}") for host in lab.hosts)
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {len(os.sched_getaffinity(0))} cores, "
        f"load {os.getloadavg()[0]:.1f} before, Linux {platform.release()}, "
        f"Python {platform.python_version()}, Docker Engine {' and '.join(engines)}"
    )


if __name__ == "__main__":
    typer.run(main)
