"""`status`: every labelled container as a table, a tree, JSON or names, once or over and over."""

import sys
from typing import Annotated

import typer

from dockeripv6mapper.cli.output import Exit, console
from dockeripv6mapper.report.exports import NameFormat
from dockeripv6mapper.settings import Settings


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

    Exit code 3 where something is refused, not done yet or unreadable; 0 after --watch.
    """
    from dockeripv6mapper import observation
    from dockeripv6mapper.cli import views

    settings: Settings = context.obj
    if as_json + as_tree + (name_format is not None) > 1:
        raise typer.BadParameter("--json, --tree and --format exclude each other")
    if watch and (as_json or name_format is not None or not sys.stdout.isatty()):
        raise typer.BadParameter("--watch draws the table or, with --tree, the tree on a terminal")
    seen = observation.observe(settings)
    if watch:
        views.watch(seen, settings, as_tree=as_tree)
        return
    if note := views.daemon_note(settings):
        typer.echo(note, err=True)
    for sentence in seen.unreadable:
        typer.echo(sentence, err=True)
    if as_json:
        views.print_json(seen, settings)
    elif name_format is not None:
        views.print_names(seen, name_format)
    else:
        console().print(views.drawn(seen, settings, as_tree=as_tree))
    if not views.is_well(seen):
        raise typer.Exit(Exit.DEGRADED)
