"""The program's `--help`: plain text on one screen of 80 columns, with the options in groups."""

import re
from typing import Any

from typer.core import TyperGroup

OTHER = "Other options"
"""The group of an option without `rich_help_panel`."""
TERM_COLUMNS = 32
"""The widest term that has its help on the same line."""
SWITCH = re.compile(r"--(\S+) / --no-\1$")


class Program(TyperGroup):
    """The program as a group of commands."""

    # The formatter's and the context's classes are typer's own, or click's with older versions of typer.
    def format_options(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        """Write the commands, then each group of options in the order in which it begins."""
        self.format_commands(ctx, formatter)
        groups: dict[str, list[tuple[str, str]]] = {}
        parameters: list[Any] = self.get_params(ctx)
        for parameter in sorted(parameters, key=lambda each: each.is_eager):
            parameter.show_envvar = False  # The end of the help has the rule once.
            if record := parameter.get_help_record(ctx):
                term, text = record
                group = getattr(parameter, "rich_help_panel", None) or OTHER
                # typer 0.15 escapes the brackets for rich, though it does not use it here.
                row = (SWITCH.sub(r"--[no-]\1", term), text.replace(r"\[", "["))
                groups.setdefault(group, []).append(row)
        for group, rows in groups.items():
            with formatter.section(group):
                formatter.write_dl(rows, col_max=TERM_COLUMNS)
