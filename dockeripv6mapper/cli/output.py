"""Exit codes and output, the same for every command: results go to stdout, notes and errors to stderr."""

import json
import sys
from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

PIPED_COLUMNS = 250
"""Width of a table that is not written to a terminal. Wide enough that no column is cut."""


class Exit(IntEnum):
    """Exit codes. `--help` and the man page explain them."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    DEGRADED = 3


def console() -> "Console":
    """The console for tables on stdout: as wide as the terminal, or `PIPED_COLUMNS` without one."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPED_COLUMNS)


def print_json(report: dict[str, Any]) -> None:
    """Print `report` on stdout."""
    typer.echo(json.dumps(report, indent=2))


def print_notes(notes: Iterable[str]) -> None:
    """Print each note on stderr, on a line of its own."""
    for note in notes:
        typer.echo(note, err=True)
