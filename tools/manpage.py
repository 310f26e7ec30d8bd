"""The man page, made of what the commands say of themselves: `python tools/manpage.py`.

typer brings its own click along, which the generators of man pages for click do not know.
"""

import inspect
import re
import sys
from collections.abc import Iterator

import typer
from typer.main import get_command, get_group

from dockeripv6mapper.cli.main import ENVIRONMENT_PREFIX, app

NAME = "DockerIPV6Mapper"
EXTRAS = re.compile(r"\s*\[env var: (?P<extras>[^\[\]]+)\]")
"""What typer adds to an option's help: its variable, and its default, if it has one."""
FILES = {
    "/etc/default/DockerIPV6Mapper": "Variables for the systemd unit, one a line.",
    "/run/dockeripv6mapper": "What must outlive the process, and not the boot.",
    "/var/run/DockerIPV6Mapper.pid": "With -d: which process it is.",
    "/var/log/DockerIPV6Mapper.log": "With -d: the log.",
}
EXIT_CODES = {
    "0": "Done; of the daemon: stopped by a signal.",
    "1": "Error: a sentence on stderr, and what to try where that is known.",
    "2": "Usage: an option or a value that does not exist.",
    "3": "Degraded: status found something refused, or not done yet; -d status found nothing running.",
}


def page() -> str:
    """Return the page, in the language of man(7)."""
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
    for name, each in get_group(app).commands.items():
        below = typer.Context(each, info_name=name, parent=context)
        arguments = " ".join(each.collect_usage_pieces(below)).replace("[OPTIONS]", "[options]")
        yield from (".SS", _text(f"{name} {arguments}"))
        for paragraph in _paragraphs(each.help):
            yield from (".PP", _text(paragraph))
        yield from _options(below)
    for title, entries in (("EXIT STATUS", EXIT_CODES), ("FILES", FILES)):
        yield f".SH {title}"
        for term, meaning in entries.items():
            yield from (".TP", f".B {_text(term)}", _text(meaning))


def _options(context: typer.Context) -> Iterator[str]:
    for parameter in context.command.get_params(context):
        if (record := parameter.get_help_record(context)) is None or parameter.name == "help":
            continue
        term, text = record
        yield from (".TP", f".B {_text(term)}", _text(EXTRAS.sub("", text)))
        if found := EXTRAS.search(text):
            yield from (".br", _text(f"Variable: {found['extras']}"))


def _paragraphs(text: str | None) -> list[str]:
    return [" ".join(each.split()) for each in inspect.cleandoc(text or "").split("\n\n")]


def _text(text: str) -> str:
    """Escape what roff would take for itself."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    sys.stdout.write(page())
