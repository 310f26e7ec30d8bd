"""The command line: parse, call, render. The only place that exits.

    run         the program itself, its options, and the daemon in the foreground
    background  -d start|stop|restart|status
    address     the address of a name
    status      every labelled container, in several forms
    views       those forms
    reports     plan, doctor
    cleanup     what carries our mark, removed
    manpage     the man page, made of all these
    output      exit codes, and where results go

What a command needs besides its options is imported inside it, so that `--help` need not wait for anything,
and `address --subnet` not for Docker's and netlink's libraries.
"""

import logging
import sys

import typer

from dockeripv6mapper.cli import address, cleanup, reports, run, status
from dockeripv6mapper.cli.output import Exit
from dockeripv6mapper.errors import MapperError
from dockeripv6mapper.report import logs

ENVIRONMENT_PREFIX = "DOCKERIPV6MAPPER"
"""Every option's environment variable: the prefix, and the option's name in capitals."""

app = typer.Typer(
    name="DockerIPV6Mapper.py",
    pretty_exceptions_enable=False,
    context_settings={"auto_envvar_prefix": ENVIRONMENT_PREFIX, "help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 error, 2 usage, 3 degraded (say status and doctor). "
    "Results go to stdout, logs to stderr.",
)
app.callback(invoke_without_command=True)(run.run)
for command in (address.address, reports.plan, status.status, reports.doctor, cleanup.cleanup):
    app.command()(command)


def main() -> None:
    """Run the command line; errors of ours become a sentence each, and exit code 1."""
    failed = False
    try:
        app()
    except* MapperError as group:
        failed = True
        for error in group.exceptions:
            logging.getLogger(__name__).debug("in full:", exc_info=error)
            if isinstance(error, MapperError):
                typer.echo(logs.last_words(error), err=True)
    if failed:
        sys.exit(Exit.ERROR)
