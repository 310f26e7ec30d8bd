"""Output of the demo: headings, commands, progress of slow steps, and checked claims."""

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
"""Seconds between two progress lines if the output is not a terminal."""

console = Console(highlight=False, emoji=False)
"""Without emoji: `:ab:` in an address would become one."""


class Claims:
    """Checks the claims of the demo; prints and counts the results."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0

    def check(self, claim: str, condition: Callable[[], object], within: float = 5.0) -> None:
        """Wait up to `within` seconds for `condition`, and print `claim` with the result."""
        try:
            eventually(condition, within)
        except AssertionError as error:
            self.failed += 1
            console.print(f"[bold red]✗[/] {claim}\n  [red]{escape(str(error))}")
        else:
            self.passed += 1
            console.print(f"[bold green]✓[/] {claim}")


@contextmanager
def step(title: str) -> Iterator[Progress]:
    """Show that a slow step is running. Yields a function that shows one line of progress."""
    started = printed = time.monotonic()

    def print_at_intervals(line: str) -> None:
        nonlocal printed
        if time.monotonic() - printed > PLAIN_PERIOD:
            printed = time.monotonic()
            console.print(f"  {escape(line)}")

    if console.is_terminal:
        with console.status(title) as status:
            yield lambda line: status.update(Text(f"{title}: {line}", no_wrap=True, overflow="ellipsis"))
    else:
        console.print(f"… {title}")
        yield print_at_intervals
    console.print(f"[bold green]✓[/] {title} [dim]({time.monotonic() - started:.1f} s)")


def heading(text: str) -> None:
    """Print the heading of a new part."""
    console.print(f"\n[bold cyan]{text}[/]\n")


def command(text: str) -> None:
    """Print a command as typed at a shell prompt."""
    prompt = Table.grid(padding=(0, 1))
    prompt.add_row(Text("$", "dim"), Text(text, "bold"))
    console.print(prompt)


def output(text: str) -> None:
    """Print the output of a command, indented."""
    console.print(Padding(Text.from_ansi(text.rstrip()), (0, 0, 1, 2)))
