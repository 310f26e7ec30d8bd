"""What a command takes that needs neither engine nor kernel, against the libraries that it needs."""

import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial

from tests.benchmark.environment import Environment
from tests.benchmark.measurements import Measurement, at_most

PROGRAM = ("-m", "dockeripv6mapper")
MINIMAL = ("-c", "import typer, rich; typer.run(lambda name: None)")
"""A program of typer's with one argument that does nothing: what no program of typer's can be faster than."""
COMMANDS = {
    "--help": (*PROGRAM, "--help"),
    "address": (*PROGRAM, "address", "nginx", "--subnet", "2001:db8:103::/64"),
}
MINIMAL_COMMANDS = {"--help": (*MINIMAL, "--help"), "address": (*MINIMAL, "nginx")}
LIBRARIES = ("-c", "import typer, rich")


def commands(environment: Environment, n: int) -> Iterator[Measurement]:
    """Wall time, each against an import right before it."""
    for name, command in COMMANDS.items():
        least = environment.repeat(partial(_ratio, MINIMAL_COMMANDS[name]), n)
        yield Measurement(f"the least program of typer's like {name}, against the same", "", "ratio", least)
        ratios = environment.repeat(partial(_ratio, command), n)
        yield Measurement(f"{name}, against importing typer and rich", "", "ratio", ratios, at_most(1.5))


def _ratio(command: tuple[str, ...]) -> float:
    return _took(command) / _took(LIBRARIES)


def _took(argv: tuple[str, ...]) -> float:
    began = time.perf_counter()
    subprocess.run((sys.executable, *argv), check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began
