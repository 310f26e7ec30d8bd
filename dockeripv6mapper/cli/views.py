"""What `status` shows, in each of its forms: apart from its options, which are all that `--help` needs."""

import json
import logging
import socket
import time
from contextlib import suppress

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from dockeripv6mapper import observation
from dockeripv6mapper.cli.output import console
from dockeripv6mapper.daemon import lock
from dockeripv6mapper.errors import EngineUnavailableError
from dockeripv6mapper.mapping.uplinks import all_uplinks
from dockeripv6mapper.observation import Observation
from dockeripv6mapper.report import exports
from dockeripv6mapper.report import status as report
from dockeripv6mapper.report.exports import NameFormat
from dockeripv6mapper.settings import Settings

WATCH_SECONDS = 2.0
"""From one look of `--watch` to the next."""


def watch(seen: Observation, settings: Settings, *, as_tree: bool) -> None:
    """Draw what is seen until Ctrl-C, which is how this ends and no error."""
    # What the looks warn of was said before the first drawing, and would tear every other apart.
    logging.disable(logging.WARNING)
    first = _framed(seen, settings, as_tree=as_tree)
    with suppress(KeyboardInterrupt), Live(first, console=console(), auto_refresh=False) as live:
        while True:
            time.sleep(WATCH_SECONDS)
            live.update(_looked_again(settings, as_tree=as_tree), refresh=True)


def _looked_again(settings: Settings, *, as_tree: bool) -> RenderableType:
    try:
        seen = observation.observe(settings)
    except EngineUnavailableError as error:
        return Text(f"{error}: trying again")
    return _framed(seen, settings, as_tree=as_tree)


def _framed(seen: Observation, settings: Settings, *, as_tree: bool) -> RenderableType:
    note = daemon_note(settings)
    notes = [*([note] if note else []), *seen.unreadable]
    return Group(drawn(seen, settings, as_tree=as_tree), *map(Text, notes))


def drawn(seen: Observation, settings: Settings, *, as_tree: bool) -> RenderableType:
    """Return the table, or the tree by uplinks and networks."""
    rows = report.rows(seen.facts, seen.desired)
    if as_tree:
        uplinks = all_uplinks(seen.facts, settings)
        return report.as_tree(socket.gethostname(), rows, seen.facts, uplinks, seen.sysctls)
    return report.as_table(rows) if rows else "no container carries the label ipv6.mapper.network"


def print_json(seen: Observation, settings: Settings) -> None:
    """Print it for programs."""
    rows, uplinks = report.rows(seen.facts, seen.desired), all_uplinks(seen.facts, settings)
    typer.echo(json.dumps(report.as_json(rows, uplinks, seen.sysctls), indent=2))


def print_names(seen: Observation, name_format: NameFormat) -> None:
    """Print names and addresses as lines, and on stderr who is left out of them."""
    found = exports.names(report.rows(seen.facts, seen.desired))
    for sentence in found.left_out:
        typer.echo(f"left out: {sentence}", err=True)
    for line in exports.lines(found, name_format):
        typer.echo(line)


def is_well(seen: Observation) -> bool:
    """Whether every labelled container is mapped, nothing is left to do, and nothing is unreadable."""
    return (
        not seen.plan
        and not seen.unreadable
        and all(row.is_well for row in report.rows(seen.facts, seen.desired))
    )


def daemon_note(settings: Settings) -> str | None:
    """Return what is to be said where no daemon runs."""
    if lock.runs(settings.state_dir) is not False:
        return None
    return f"no daemon runs with {settings.state_dir}: this is how things are without one"
