"""`plan` and `doctor`: what one look at engine and kernel shows, changing nothing."""

import json
from typing import Annotated

import typer

from dockeripv6mapper.cli.output import Exit, console


def plan(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show what one pass would do now, and change nothing."""
    from dockeripv6mapper import observation
    from dockeripv6mapper.report import plan as report

    seen = observation.observe(context.obj)
    for sentence in seen.unreadable:
        typer.echo(sentence, err=True)
    if as_json:
        typer.echo(json.dumps(report.as_json(seen.plan, seen.facts, seen.desired), indent=2))
        return
    table = report.as_table(seen.plan, seen.facts, seen.desired)
    console().print(table if table.row_count else "nothing to do: all is as it should be")


def doctor(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Check the host, the engine and each labelled network: what is wrong, why it matters, what to paste.

    The commands that it prints are for root's shell. Exit code 3 where something is not well.
    """
    from dockeripv6mapper.doctor import collect
    from dockeripv6mapper.doctor.finding import Level
    from dockeripv6mapper.report import doctor as report

    findings = collect.run_checks(context.obj)
    if as_json:
        typer.echo(json.dumps(report.as_json(findings), indent=2))
    else:
        console().print(report.as_text(findings), soft_wrap=True)
    if any(finding.level is not Level.OK for finding in findings):
        raise typer.Exit(Exit.DEGRADED)
