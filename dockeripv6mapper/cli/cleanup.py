"""`cleanup`: nothing of the mapper's is left on the host."""

from contextlib import ExitStack
from pathlib import Path

import typer

from dockeripv6mapper.daemon import lock
from dockeripv6mapper.daemon.detach import PidFile
from dockeripv6mapper.settings import Settings


def cleanup(context: typer.Context) -> None:
    """Remove proxy entries, firewall objects and state files that are the mapper's, and nothing else.

    For when the daemon is stopped for good: while one runs, nothing is removed. Containers keep their
    addresses. Whatever cannot be removed is named, with what to type, and the rest is removed; then the
    exit code is 1.
    """
    from dockeripv6mapper.teardown import tear_down

    settings: Settings = context.obj
    pidfile = _pidfile(context)
    with ExitStack() as stack:
        if not settings.dry_run:
            if (holder := PidFile(pidfile).holder()) is not None:
                raise lock.running(f"as process {holder}")
            stack.enter_context(lock.kept_from_starting(settings.state_dir))
        tear_down(settings, typer.echo, files=(pidfile, settings.state_dir / lock.NAME))


def _pidfile(context: typer.Context) -> Path:
    """The file that the option names, which stands before the command."""
    pidfile: Path = context.find_root().params["pidfile"]
    return pidfile.absolute()
