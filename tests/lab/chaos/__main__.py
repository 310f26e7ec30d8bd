"""`tests/chaos`: run a random sequence of operations and faults on a real engine.

tests/chaos [--seed N] [--steps N] [--engine oldest|stable|modern] [--only N,N,…] [--tries N]

Exit code 1 after a failure. The sequence is then shortened, and the last line printed is a command that runs
the shortened one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tests.lab.chaos.runner import Failure, Runner
from tests.lab.chaos.shrink import shrink
from tests.lab.chaos.step_generator import draw
from tests.lab.chaos.steps import Step
from tests.lab.engines import Flavour
from tests.lab.prerequisites import missing
from tests.lab.topology import Lab

Numbered = tuple[int, Step]
"""A step with its number in the sequence."""


def attempt(lab: Lab, numbered: Sequence[Numbered], log: Path) -> Failure | None:
    """Run a sequence on a reset host. After a failure, the daemon's log is copied to `log`."""
    with Runner(lab, lab.hosts[0]) as runner:
        failure = runner.run([step for _, step in numbered])
        if failure:
            log.write_text(runner.mapper.log())
    return failure


def chosen(seed: int, steps: int, only: str) -> list[Numbered]:
    """The steps of a seed; with `only`, the steps of these numbers."""
    numbered = list(enumerate(draw(seed, steps)))
    if not only:
        return numbered
    wanted = set(map(int, only.split(",")))
    return [each for each in numbered if each[0] in wanted]


def main(
    seed: Annotated[int, typer.Option(help="seed of the random sequence")] = 1,
    steps: Annotated[int, typer.Option(help="length of the sequence")] = 100,
    engine: Annotated[Flavour, typer.Option(help="the engine")] = Flavour.OLDEST,
    only: Annotated[str, typer.Option(help="run only the steps of these numbers: 3,17,21")] = "",
    tries: Annotated[int, typer.Option(help="how many shorter sequences to try after a failure")] = 30,
) -> None:
    """Run a sequence of operations and faults, and shorten it where it fails."""
    if lack := missing():
        typer.echo(f"the lab needs {lack}: run tests/chaos as root, which installs it")
        raise typer.Exit(1)
    numbered = chosen(seed, steps, only)
    log = Path(f"chaos-{engine.value}-{seed}.log")
    with Lab(engine, purpose="chaos", progress=typer.echo) as lab:
        typer.echo(f"seed {seed}: {len(numbered)} steps")
        failure = attempt(lab, numbered, log)
        if failure is None:
            typer.echo("no failure")
            return
        _print_failure(failure, numbered)

        def breaks(candidate: Sequence[Numbered]) -> bool:
            failure = attempt(lab, candidate, log)
            typer.echo(f"{len(candidate)} steps: {'failure' if failure else 'no failure'}")
            return failure is not None

        numbered = shrink(numbered[: failure.after], breaks, tries)
    for number, step in numbered:
        typer.echo(f"{number:4}  {step}")
    numbers = ",".join(str(number) for number, _ in numbered)
    typer.echo(f"the daemon's log of the last failure: {log}")
    typer.echo(f"tests/chaos --seed {seed} --steps {steps} --engine {engine.value} --only {numbers}")
    raise typer.Exit(1)


def _print_failure(failure: Failure, numbered: Sequence[Numbered]) -> None:
    typer.echo(f"failure after {failure.after} of {len(numbered)} steps:")
    for violation in failure.violations:
        typer.echo(f"  {violation}")


if __name__ == "__main__":
    typer.run(main)
