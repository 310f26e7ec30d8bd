"""Findings of `doctor`, as JSON and as text."""

from collections.abc import Iterable
from typing import Any

from rich.text import Text

from dockeripv6mapper.doctor.finding import Finding, Level, printable

STYLES = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}
INDENT = 6
"""Width of the level's column, in characters."""


def as_json(findings: Iterable[Finding]) -> dict[str, Any]:
    """`{"findings": [{check, subject, level, found, why, fix}]}`; `level` is `ok`, `warn` or `fail`."""
    return {
        "findings": [
            {
                "check": finding.check,
                "subject": finding.subject,
                "level": finding.level.value,
                "found": finding.found,
                "why": finding.why,
                "fix": finding.fix,
            }
            for finding in findings
        ]
    }


def as_text(findings: Iterable[Finding]) -> Text:
    """One line for each finding; below it, if it is not OK, why it matters and the commands to paste.

    Print it without wrapping: a command that is broken into two lines cannot be pasted.
    """
    text = Text()
    for finding in findings:
        text.append(f"{finding.level.name:<{INDENT}}", STYLES[finding.level])
        text.append(f"{printable(f'{finding.subject}: {finding.found}')}\n")
        if finding.why:
            text.append(f"{' ' * INDENT}{printable(finding.why)}\n", "dim")
        for line in filter(None, finding.fix.split("\n")):
            text.append(f"{' ' * INDENT}  {printable(line)}\n", "bold")
    text.rstrip()
    return text
