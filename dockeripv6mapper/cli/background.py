"""`-d start|stop|restart|status`: the daemon in the background."""

from collections.abc import Callable
from pathlib import Path

import typer

from dockeripv6mapper.cli.output import Exit
from dockeripv6mapper.controller.observers import ServiceManager
from dockeripv6mapper.daemon.detach import Command, PidFile, start, stop
from dockeripv6mapper.report.logs import escaped


def carry_out(command: Command, pidfile: Path, logfile: Path, run: Callable[[ServiceManager], None]) -> None:
    """Do it, and say what came of it; exit code 3 where `status` finds nothing running."""
    match command:
        case Command.STATUS:
            holder = PidFile(pidfile).holder()
            typer.echo("not running" if holder is None else f"running, process {holder}")
            if holder is None:
                raise typer.Exit(Exit.DEGRADED)
        case Command.STOP:
            typer.echo("stopped" if stop(pidfile) else "not running")
        case Command.START:
            _start(pidfile, logfile, run)
        case Command.RESTART:
            stop(pidfile)
            _start(pidfile, logfile, run)


def _start(pidfile: Path, logfile: Path, run: Callable[[ServiceManager], None]) -> None:
    if missing := start(pidfile, logfile, run):
        typer.echo(f"started; {escaped(missing)}")
