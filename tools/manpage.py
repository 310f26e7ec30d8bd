"""Write the man page from the help texts: `python tools/manpage.py > docs/DockerIPV6Mapper.8`.

Typer has its own copy of click, so the existing man page generators for click do not work with it.
"""

import inspect
import re
import sys
from collections.abc import Iterator

import typer
from typer.main import get_command, get_group

from dockeripv6mapper.cli.help import OTHER
from dockeripv6mapper.cli.main import ENVIRONMENT_PREFIX, app

NAME = "DockerIPV6Mapper"
EXTRAS = re.compile(r"\s*\[(?P<extras>[^\[\]]+)\]$")
"""Typer appends to the help text, between brackets: the environment variable, the default, the range."""
VARIABLE = re.compile(r"^env var: [^;]+(; )?")
ENVIRONMENT = (
    f"Each option of the program has a variable: {ENVIRONMENT_PREFIX}_UPLINK for --uplink, and so on. "
    "Several values are separated by spaces; a switch is true or false. An option on the command line wins. "
    "The command config prints the value of each option, and what set it."
)
FILES = {
    "/etc/default/DockerIPV6Mapper": "Environment variables for the systemd unit, one on each line.",
    "/run/dockeripv6mapper": "State that must survive the process, but not a reboot.",
    "/var/run/DockerIPV6Mapper.pid": "With -d: the number of the daemon's process.",
    "/var/log/DockerIPV6Mapper.log": "With -d: the log.",
}
EXIT_CODES = {
    "0": "Done. Of the daemon: stopped by a signal.",
    "1": "Error: one line on stderr, and a second one with a remedy if there is one.",
    "2": "Usage: an unknown option, or a value that the option does not accept.",
    "3": "Degraded: status found a container refused, not done yet or unreadable; "
    "doctor or config found something wrong; -d status found no daemon.",
}


def page() -> str:
    """The whole page, in the macros of man(7)."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    command = get_command(app)
    context = typer.Context(command, info_name=f"{NAME}.py", auto_envvar_prefix=ENVIRONMENT_PREFIX)
    about, *more = _paragraphs(command.help)
    yield f'.TH {NAME} 8 "" "" "System administration"'
    yield from (".SH NAME", _text(f"{NAME} - {about[0].lower()}{about[1:].rstrip('.')}"))
    yield from (".SH SYNOPSIS", _text(f"{NAME}.py [options] [command [arguments]]"))
    yield ".SH DESCRIPTION"
    for paragraph in more:
        yield from (".PP", _text(paragraph))
    yield ".SH OPTIONS"
    yield from _options(context)
    yield ".SH COMMANDS"
    for name, subcommand in get_group(app).commands.items():
        below = typer.Context(subcommand, info_name=name, parent=context)
        arguments = " ".join(subcommand.collect_usage_pieces(below)).replace("[OPTIONS]", "[options]")
        yield from (".SS", _text(f"{name} {arguments}"))
        for paragraph in _paragraphs(subcommand.help):
            yield from (".PP", _text(paragraph))
        yield from _options(below)
    yield from (".SH ENVIRONMENT", _text(ENVIRONMENT))
    for title, entries in (("EXIT STATUS", EXIT_CODES), ("FILES", FILES)):
        yield f".SH {title}"
        for term, meaning in entries.items():
            yield from (".TP", f".B {_text(term)}", _text(meaning))


def _options(context: typer.Context) -> Iterator[str]:
    group = None
    for parameter in context.command.get_params(context):
        if (record := parameter.get_help_record(context)) is None or parameter.name == "help":
            continue
        if (panel := getattr(parameter, "rich_help_panel", None)) != group:
            group = panel
            yield from (".SS", _text(panel or OTHER))
        term, text = record
        yield from (".TP", f".B {_text(term)}", _text(EXTRAS.sub("", text)))
        if (match := EXTRAS.search(text)) and (extras := VARIABLE.sub("", match["extras"])):
            yield from (".br", _text(f"{extras[0].upper()}{extras[1:]}"))


def _paragraphs(text: str | None) -> list[str]:
    return [" ".join(paragraph.split()) for paragraph in inspect.cleandoc(text or "").split("\n\n")]


def _text(text: str) -> str:
    """Escape the characters that have a meaning in roff: backslash, hyphen, and a dot or quote that leads."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    sys.stdout.write(page())
