"""`status`: every labelled container as a table, a tree, JSON or lines of names; once, or until Ctrl-C."""

import logging
import socket
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from dockeripv6mapper.cli.options import option
from dockeripv6mapper.cli.output import Exit, console, print_json, print_notes
from dockeripv6mapper.daemon import lock
from dockeripv6mapper.errors import EngineUnavailableError
from dockeripv6mapper.report import exports
from dockeripv6mapper.report.exports import NameFormat
from dockeripv6mapper.settings import Settings

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dockeripv6mapper.model import Link
    from dockeripv6mapper.observation import Observation
    from dockeripv6mapper.report.status import Row

WATCH_SECONDS = 2.0
"""Interval between two observations of `--watch`."""


def status(
    context: typer.Context,
    as_json: Annotated[bool, option("--json", help="Print JSON.")] = False,
    as_tree: Annotated[bool, option("--tree", help="Group by uplinks and networks.")] = False,
    name_format: Annotated[
        NameFormat | None,
        option("--format", help="Mapped names as lines for /etc/hosts, or as records of a zone file."),
    ] = None,
    watch: Annotated[
        bool, option("--watch", help="Redraw the table or the tree every 2 s, until Ctrl-C.")
    ] = False,
) -> None:
    """Show every labelled container: its addresses, where proxied, what gets in, or why it is refused.

    "open" are the ports that a label opens, "from outside" is what the host's firewall rules let in, for
    any reason: everything, "ping, 80/tcp", "80/tcp only", nothing or unknown.

    Exit code 3 if anything is refused, not done yet or unreadable, nothing gets in to a container that runs
    at its address, or a container sends from another address and its user did not choose that. "unknown" does
    not count, and --format does not trace packets. 0 after --watch.
    """
    from dockeripv6mapper import observation
    from dockeripv6mapper.report import status as report

    settings: Settings = context.obj
    if as_json + as_tree + (name_format is not None) > 1:
        raise typer.BadParameter("--json, --tree and --format exclude each other")
    if watch and (as_json or name_format is not None or not sys.stdout.isatty()):
        raise typer.BadParameter("--watch draws the table or, with --tree, the tree on a terminal")
    observed = observation.observe(settings)
    if watch:
        _watch(observed, settings, as_tree=as_tree)
        return
    # Lines of names do not show what gets in.
    reachability = None if name_format is not None else observation.judge_reachability(observed, settings)
    rows = report.rows(observed.facts, observed.desired, observed.outgoing, reachability)
    print_notes(_notes(observed, settings))
    if as_json:
        print_json(report.as_json(rows, _uplinks(observed, settings), observed.sysctls))
    elif name_format is not None:
        _print_names(rows, name_format)
    else:
        console().print(_drawing(rows, observed, settings, as_tree=as_tree))
    if observed.plan or observed.unreadable or not all(row.is_well for row in rows):
        raise typer.Exit(Exit.DEGRADED)


def _print_names(rows: list["Row"], name_format: NameFormat) -> None:
    names = exports.names(rows)
    print_notes(f"left out: {note}" for note in names.left_out)
    for line in exports.lines(names, name_format):
        typer.echo(line)


def _watch(observed: "Observation", settings: Settings, *, as_tree: bool) -> None:
    """Redraw until Ctrl-C, which is the normal end and no error."""
    from rich.live import Live

    # The first observation has logged its warnings. Those of later ones would be written across the drawing.
    logging.disable(logging.WARNING)
    first = _screen(observed, settings, as_tree=as_tree)
    with suppress(KeyboardInterrupt), Live(first, console=console(), auto_refresh=False) as live:
        while True:
            time.sleep(WATCH_SECONDS)
            live.update(_next_screen(settings, as_tree=as_tree), refresh=True)


def _next_screen(settings: Settings, *, as_tree: bool) -> "RenderableType":
    from rich.text import Text

    from dockeripv6mapper import observation

    try:
        observed = observation.observe(settings)
    except EngineUnavailableError as error:
        return Text(f"{error}: trying again")
    return _screen(observed, settings, as_tree=as_tree)


def _screen(observed: "Observation", settings: Settings, *, as_tree: bool) -> "RenderableType":
    """The table or the tree, with the notes below it."""
    from rich.console import Group
    from rich.text import Text

    from dockeripv6mapper import observation
    from dockeripv6mapper.report import status as report

    reachability = observation.judge_reachability(observed, settings)
    rows = report.rows(observed.facts, observed.desired, observed.outgoing, reachability)
    drawing = _drawing(rows, observed, settings, as_tree=as_tree)
    return Group(drawing, *map(Text, _notes(observed, settings)))


def _drawing(
    rows: list["Row"], observed: "Observation", settings: Settings, *, as_tree: bool
) -> "RenderableType":
    """The table, or the tree by uplinks and networks."""
    from dockeripv6mapper.report import status as report

    if as_tree:
        uplinks = _uplinks(observed, settings)
        return report.as_tree(socket.gethostname(), rows, observed.facts, uplinks, observed.sysctls)
    return (
        report.as_table(rows, width=console().width)
        if rows
        else "no container carries the label ipv6.mapper.network"
    )


def _uplinks(observed: "Observation", settings: Settings) -> dict["Link", str]:
    """The uplinks, each with why it is one."""
    from dockeripv6mapper.mapping.uplinks import all_uplinks, why_uplink

    facts = observed.facts
    return {link: why_uplink(link, facts, settings) for link in all_uplinks(facts, settings)}


def _notes(observed: "Observation", settings: Settings) -> list[str]:
    """Notes besides the rows: that no daemon runs, and which of the engine's objects are unreadable."""
    notes = list(observed.unreadable)
    if lock.daemon_runs(settings.state_dir) is False:
        notes.insert(
            0, f"no daemon runs with {settings.state_dir}; this is the current state of engine and kernel"
        )
    return notes
