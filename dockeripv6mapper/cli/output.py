"""What every command shares: its exit codes, and where its results go."""

import sys
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PIPED_COLUMNS = 250
"""Width of a table that a program reads, which must not be cut."""


class Exit(IntEnum):
    """Exit codes, as every command's help names them."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    DEGRADED = 3


def console() -> "Console":
    """Where tables go: as wide as the terminal, and wide enough for anything where there is none."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPED_COLUMNS)
