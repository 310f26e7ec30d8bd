"""Narration: how the demo speaks: headings, commands, steps that take a while, claims that are checked."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tests.lab.prerequisites import Progress
from tests.lab.waiting import eventually

PLAIN_PERIOD = 5.0
"""Seconds between two lines of progress where the output is not a terminal."""

console = Console(highlight=False, emoji=False)
"""Without emoji: the `:ab:` of an address is none."""


class Claims:
    """What the demo says is so. Each is checked, and whether it held is shown and counted."""

    def __init__(self) -> None:
        self.held = 0
        self.failed = 0

    def check(self, claim: str, condition: Callable[[], object], within: float = 5.0) -> None:
        """Say `claim`, and whether `condition` came true."""
        try:
            eventually(condition, within)
        except AssertionError as error:
            self.failed += 1
            console.print(f"[bold red]✗[/] {claim}\n  [red]{escape(str(error))}")
        else:
            self.held += 1
            console.print(f"[bold green]✓[/] {claim}")


@contextmanager
def step(what: str) -> Iterator[Progress]:
    """Show that something goes on that takes a while; it may tell its progress line by line."""
    began = told = time.monotonic()

    def tell_plainly(line: str) -> None:
        nonlocal told
        if time.monotonic() - told > PLAIN_PERIOD:
            told = time.monotonic()
            console.print(f"  {escape(line)}")

    if console.is_terminal:
        with console.status(what) as status:
            yield lambda line: status.update(Text(f"{what}: {line}", no_wrap=True, overflow="ellipsis"))
    else:
        console.print(f"… {what}")
        yield tell_plainly
    console.print(f"[bold green]✓[/] {what} [dim]({time.monotonic() - began:.1f} s)")


def heading(text: str) -> None:
    """Begin a new part."""
    console.print(f"\n[bold cyan]{text}[/]\n")


def command(text: str) -> None:
    """Show a command as one would type it."""
    prompt = Table.grid(padding=(0, 1))
    prompt.add_row(Text("$", "dim"), Text(text, "bold"))
    console.print(prompt)


def output(text: str) -> None:
    """Show what a command printed."""
    console.print(Padding(Text.from_ansi(text.rstrip()), (0, 0, 1, 2)))
