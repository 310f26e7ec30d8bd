"""`cleanup`: remove from the host what carries the mapper's mark, and the mapper's state files."""

from contextlib import ExitStack
from pathlib import Path

import typer

from dockeripv6mapper.daemon import lock
from dockeripv6mapper.daemon.detach import PidFile
from dockeripv6mapper.settings import Settings


def cleanup(context: typer.Context) -> None:
    """Remove the mapper's proxy entries, firewall objects and state files, and nothing else.

    Use it after the daemon is stopped for good: while a daemon runs, nothing is removed. Containers keep
    their addresses. If an object cannot be removed, the others are still removed; at the end each failure
    is printed with a command that removes the object by hand, and the exit code is 1.
    """
    from dockeripv6mapper.engine.refusals import RefusalRecord
    from dockeripv6mapper.teardown import tear_down

    settings: Settings = context.obj
    pidfile = _pidfile(context)
    with ExitStack() as stack:
        if not settings.dry_run:
            if (pid := PidFile(pidfile).holder()) is not None:
                raise lock.daemon_is_running(f"as process {pid}")
            stack.enter_context(lock.exclude_daemons(settings.state_dir))
        refusals = RefusalRecord(settings.state_dir).path
        tear_down(settings, typer.echo, files=(pidfile, settings.state_dir / lock.NAME, refusals))


def _pidfile(context: typer.Context) -> Path:
    """The pid file that the program's option names; the option stands before the command.

    What most versions of typer keep of an option is the text that was typed.
    """
    return Path(context.find_root().params["pidfile"]).absolute()
