"""Findings, as JSON and as lines to read: what was found, why it matters, and what to paste."""

from collections.abc import Iterable
from typing import Any

from rich.text import Text

from dockeripv6mapper.doctor.finding import Finding, Level, printable

STYLES = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}
INDENT = 6
"""Columns, as wide as the level in front of each finding."""


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
    """A line for each finding, and below one that is not well, why it matters and what to paste.

    To be printed as it is, without wrapping: a command that is broken in two cannot be pasted.
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
