"""`plan`, `status` and `doctor`: what one look at engine and kernel shows, changing nothing."""

import json
from typing import Annotated

import typer

from dockeripv6mapper.cli.output import Exit, console
from dockeripv6mapper.settings import Settings


def plan(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show what one pass would do now, and change nothing."""
    from dockeripv6mapper import observation
    from dockeripv6mapper.report import plan as report

    seen = observation.observe(context.obj)
    if as_json:
        typer.echo(json.dumps(report.as_json(seen.plan, seen.facts, seen.desired), indent=2))
        return
    table = report.as_table(seen.plan, seen.facts, seen.desired)
    console().print(table if table.row_count else "nothing to do: all is as it should be")


def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show every labelled container: wanted and actual address, where proxied, what is open, or why not.

    Exit code 3 where something is refused or not done yet.
    """
    from dockeripv6mapper import daemon, observation
    from dockeripv6mapper.mapping.desired import all_uplinks
    from dockeripv6mapper.report import status as report

    settings: Settings = context.obj
    seen = observation.observe(settings)
    rows = report.rows(seen.facts, seen.desired)
    if daemon.runs(settings.state_dir) is False:
        typer.echo(f"no daemon runs with {settings.state_dir}: this is how things are without one", err=True)
    if as_json:
        uplinks = all_uplinks(seen.facts, settings)
        typer.echo(json.dumps(report.as_json(rows, uplinks, seen.sysctls), indent=2))
    else:
        console().print(
            report.as_table(rows) if rows else "no container carries the label ipv6.mapper.network"
        )
    if seen.plan or not all(row.is_well for row in rows):
        raise typer.Exit(Exit.DEGRADED)


def doctor(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Check the host, the engine and each labelled network: what is wrong, why it matters, what to paste.

    The commands that it prints are for root's shell. Exit code 3 where something is not well.
    """
    from dockeripv6mapper import examination
    from dockeripv6mapper.checks.finding import Level
    from dockeripv6mapper.report import doctor as report

    findings = examination.examine(context.obj)
    if as_json:
        typer.echo(json.dumps(report.as_json(findings), indent=2))
    else:
        console().print(report.as_text(findings), soft_wrap=True)
    if any(finding.level is not Level.OK for finding in findings):
        raise typer.Exit(Exit.DEGRADED)
