"""`config`: the value of each option of the program, and what set it."""

import os
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Annotated, Any, cast

import typer

from dockeripv6mapper.cli.options import option
from dockeripv6mapper.cli.output import Exit, console, print_json, print_notes

SOURCES = {
    "COMMANDLINE": "command line",
    "ENVIRONMENT": "environment variable",
    "DEFAULT": "default",
}
"""What click calls a source of a value, and what users do."""


def config(
    context: typer.Context,
    as_json: Annotated[bool, option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the value of each option of the program, and what set it.

    An invalid value is one sentence on stderr, and exit code 2. Exit code 3 if the environment has a
    variable of the program that stands for no option.
    """
    program = cast("typer.Context", context.find_root())
    rows = dict(_rows(program))
    unknown = list(_unknown_variables(program))
    if as_json:
        print_json({"options": rows, "unknown_variables": [name for name, _ in unknown]})
    else:
        from rich.table import Table
        from rich.text import Text

        table = Table("option", "value", "from", box=None, pad_edge=False)
        for name, row in rows.items():
            source = row["variable"] if row["from"] == SOURCES["ENVIRONMENT"] else row["from"]
            table.add_row(name, Text(_shown(row["value"])), source)
        console().print(table)
    print_notes(note for _, note in unknown)
    if unknown:
        raise typer.Exit(Exit.DEGRADED)


def _rows(program: typer.Context) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each option of the program by its name, without those that print something and exit, as --version."""
    for parameter in program.command.params:
        name = parameter.name
        if parameter.is_eager or name not in program.params:
            continue
        source = program.get_parameter_source(name)
        yield (
            max(parameter.opts, key=len),
            {
                "value": _plain(program.params[name]),
                "from": SOURCES["DEFAULT" if source is None else source.name],
                "variable": _variable(program, name),
            },
        )


def _variable(program: typer.Context, name: str) -> str:
    return f"{program.auto_envvar_prefix}_{name.upper()}"


def _plain(value: object) -> object:
    """A value as JSON has it: lists and paths as text, numbers and truth values as they are."""
    match value:
        case None | bool() | int() | float():
            return value
        case list() | tuple():
            return [str(each) for each in value]
        case _:
            return str(value)


def _shown(value: object) -> str:
    match value:
        case None | []:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list():
            return " ".join(map(str, value))
        case _:
            return str(value)


def _unknown_variables(program: typer.Context) -> Iterator[tuple[str, str]]:
    """Variables with the program's prefix that stand for no option, each with a note for the user."""
    known = {_variable(program, parameter.name) for parameter in program.command.params if parameter.name}
    commands = [name.upper().replace("-", "_") for name in getattr(program.command, "commands", ())]
    prefix = f"{program.auto_envvar_prefix}_"
    of_commands = tuple(f"{prefix}{command}_" for command in commands)
    for name in sorted(os.environ):
        if not name.startswith(prefix) or name in known or name.startswith(of_commands):
            continue
        nearest = get_close_matches(name, known, n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        yield name, f"{name} stands for no option{hint}"
