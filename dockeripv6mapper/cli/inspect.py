"""`plan` and `doctor`: observe engine and kernel once, report, change nothing."""

from typing import Annotated

import typer

from dockeripv6mapper.cli.options import option
from dockeripv6mapper.cli.output import Exit, console, print_json, print_notes


def plan(
    context: typer.Context,
    as_json: Annotated[bool, option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what one pass would do now, and change nothing."""
    from dockeripv6mapper import observation
    from dockeripv6mapper.report import plan as report

    observed = observation.observe(context.obj)
    print_notes(observed.unreadable)
    if as_json:
        print_json(report.as_json(observed.plan, observed.facts, observed.desired))
        return
    table = report.as_table(observed.plan, observed.facts, observed.desired)
    console().print(table if table.row_count else "nothing to do")


def doctor(
    context: typer.Context,
    as_json: Annotated[bool, option("--json", help="Print JSON.")] = False,
) -> None:
    """Check the host, the engine and each labelled network: what is wrong, why it matters, how to fix it.

    The commands that it prints are for root's shell. Exit code 3 if anything is wrong.
    """
    from dockeripv6mapper.doctor import collect
    from dockeripv6mapper.doctor.finding import Level
    from dockeripv6mapper.report import doctor as report

    findings = collect.run_checks(context.obj)
    if as_json:
        print_json(report.as_json(findings))
    else:
        console().print(report.as_text(findings), soft_wrap=True)
    if any(finding.level is not Level.OK for finding in findings):
        raise typer.Exit(Exit.DEGRADED)
