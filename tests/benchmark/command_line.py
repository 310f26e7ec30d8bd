"""Run time of commands that need neither engine nor kernel, compared with importing their libraries."""

import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial

from tests.benchmark.environment import Environment
from tests.benchmark.measurements import Measurement, at_most

PROGRAM = ("-m", "dockeripv6mapper")
MINIMAL = ("-c", "import typer, rich; typer.run(lambda name: None)")
"""A typer program with one argument that does nothing: the lower bound for any typer program."""
COMMANDS = {
    "--help": (*PROGRAM, "--help"),
    "address": (*PROGRAM, "address", "nginx", "--subnet", "2001:db8:103::/64"),
}
MINIMAL_COMMANDS = {"--help": (*MINIMAL, "--help"), "address": (*MINIMAL, "nginx")}
LIBRARIES = ("-c", "import typer, rich")


def commands(environment: Environment, n: int) -> Iterator[Measurement]:
    """Wall time, divided by that of an import right afterwards."""
    for name, command in COMMANDS.items():
        minimal = environment.repeat(partial(_ratio, MINIMAL_COMMANDS[name]), n)
        yield Measurement(
            f"minimal typer program like {name}, compared with importing typer and rich", "", "ratio", minimal
        )
        ratios = environment.repeat(partial(_ratio, command), n)
        yield Measurement(
            f"{name}, compared with importing typer and rich", "", "ratio", ratios, at_most(1.5)
        )


def _ratio(command: tuple[str, ...]) -> float:
    return _seconds(command) / _seconds(LIBRARIES)


def _seconds(argv: tuple[str, ...]) -> float:
    began = time.perf_counter()
    subprocess.run((sys.executable, *argv), check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began
