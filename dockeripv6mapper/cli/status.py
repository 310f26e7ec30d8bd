"""`status`: every labelled container as a table, a tree, JSON or names, once or over and over."""

import json
import logging
import socket
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from dockeripv6mapper.cli.output import Exit, console
from dockeripv6mapper.daemon import lock
from dockeripv6mapper.errors import EngineUnavailableError
from dockeripv6mapper.mapping.desired import all_uplinks
from dockeripv6mapper.report import names, tree
from dockeripv6mapper.report import status as report
from dockeripv6mapper.report.names import NameFormat
from dockeripv6mapper.settings import Settings

if TYPE_CHECKING:
    from dockeripv6mapper.observation import Observation

WATCH_SECONDS = 2.0
"""From one look of `--watch` to the next."""


def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    as_tree: Annotated[bool, typer.Option("--tree", help="By uplinks and networks.")] = False,
    name_format: Annotated[
        NameFormat | None,
        typer.Option("--format", help="Mapped names as lines for /etc/hosts, or as records of a zone file."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Draw the table or the tree again and again, until Ctrl-C.")
    ] = False,
) -> None:
    """Show every labelled container: wanted and actual address, where proxied, what is open, or why not.

    Exit code 3 where something is refused or not done yet; 0 after --watch.
    """
    from dockeripv6mapper import observation

    settings: Settings = context.obj
    if as_json + as_tree + (name_format is not None) > 1:
        raise typer.BadParameter("--json, --tree and --format exclude each other")
    if watch and (as_json or name_format is not None or not sys.stdout.isatty()):
        raise typer.BadParameter("--watch draws the table or, with --tree, the tree on a terminal")
    seen = observation.observe(settings)
    if watch:
        _watch(seen, settings, as_tree=as_tree)
        return
    if note := _daemon_note(settings):
        typer.echo(note, err=True)
    if as_json:
        _print_json(seen, settings)
    elif name_format is not None:
        _print_names(seen, name_format)
    else:
        console().print(_drawn(seen, settings, as_tree=as_tree))
    if not _is_well(seen):
        raise typer.Exit(Exit.DEGRADED)


def _watch(seen: "Observation", settings: Settings, *, as_tree: bool) -> None:
    """Draw what is seen until Ctrl-C, which is how this ends and no error."""
    # What the looks warn of was said before the first drawing, and would tear every other apart.
    logging.disable(logging.WARNING)
    first = _framed(_drawn(seen, settings, as_tree=as_tree), settings)
    with suppress(KeyboardInterrupt), Live(first, console=console(), auto_refresh=False) as live:
        while True:
            time.sleep(WATCH_SECONDS)
            live.update(_looked_again(settings, as_tree=as_tree), refresh=True)


def _looked_again(settings: Settings, *, as_tree: bool) -> RenderableType:
    from dockeripv6mapper import observation

    try:
        seen = observation.observe(settings)
    except EngineUnavailableError as error:
        return Text(f"{error}: trying again")
    return _framed(_drawn(seen, settings, as_tree=as_tree), settings)


def _framed(drawing: RenderableType, settings: Settings) -> RenderableType:
    note = _daemon_note(settings)
    return Group(drawing, Text(note)) if note else drawing


def _drawn(seen: "Observation", settings: Settings, *, as_tree: bool) -> RenderableType:
    rows = report.rows(seen.facts, seen.desired)
    if as_tree:
        uplinks = all_uplinks(seen.facts, settings)
        return tree.as_tree(socket.gethostname(), rows, seen.facts, uplinks, seen.sysctls)
    return report.as_table(rows) if rows else "no container carries the label ipv6.mapper.network"


def _print_json(seen: "Observation", settings: Settings) -> None:
    rows, uplinks = report.rows(seen.facts, seen.desired), all_uplinks(seen.facts, settings)
    typer.echo(json.dumps(report.as_json(rows, uplinks, seen.sysctls), indent=2))


def _print_names(seen: "Observation", name_format: NameFormat) -> None:
    found = names.names(report.rows(seen.facts, seen.desired))
    for sentence in found.left_out:
        typer.echo(f"left out: {sentence}", err=True)
    for line in names.lines(found, name_format):
        typer.echo(line)


def _is_well(seen: "Observation") -> bool:
    return not seen.plan and all(row.is_well for row in report.rows(seen.facts, seen.desired))


def _daemon_note(settings: Settings) -> str | None:
    if lock.runs(settings.state_dir) is not False:
        return None
    return f"no daemon runs with {settings.state_dir}: this is how things are without one"
