"""`tests/chaos`: a sequence of operations and faults, from a seed, on a real engine.

tests/chaos [--seed N] [--steps N] [--engine distro|modern] [--only N,N,…] [--tries N]

Exit code 1 where something broke; then it is tried with fewer and fewer steps, and what is printed last is a
command that carries out just those.
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
"""A step, and its number in the sequence of its seed."""


def attempt(lab: Lab, numbered: Sequence[Numbered], log: Path) -> Failure | None:
    """Carry out a sequence on a fresh stage; the daemon's log is kept in `log` where something broke."""
    with Runner(lab, lab.hosts[0]) as runner:
        broken = runner.run([step for _, step in numbered])
        if broken:
            log.write_text(runner.mapper.log())
    return broken


def chosen(seed: int, steps: int, only: str) -> list[Numbered]:
    """The steps of a seed; with `only`, those of these numbers."""
    numbered = list(enumerate(draw(seed, steps)))
    if not only:
        return numbered
    kept = set(map(int, only.split(",")))
    return [each for each in numbered if each[0] in kept]


def main(
    seed: Annotated[int, typer.Option(help="what the sequence is drawn from")] = 1,
    steps: Annotated[int, typer.Option(help="its length")] = 100,
    engine: Annotated[Flavour, typer.Option(help="the engine")] = Flavour.DISTRO,
    only: Annotated[str, typer.Option(help="carry out only the steps of these numbers: 3,17,21")] = "",
    tries: Annotated[int, typer.Option(help="how many shorter sequences to try where one breaks")] = 30,
) -> None:
    """Carry out a sequence of operations and faults, and shorten it where something breaks."""
    if lack := missing():
        typer.echo(f"the lab needs {lack}: run tests/chaos as root, which installs it")
        raise typer.Exit(1)
    numbered = chosen(seed, steps, only)
    log = Path(f"chaos-{engine.value}-{seed}.log")
    with Lab(engine, purpose="chaos", progress=typer.echo) as lab:
        typer.echo(f"seed {seed}: {len(numbered)} steps")
        broken = attempt(lab, numbered, log)
        if broken is None:
            typer.echo("all of it held")
            return
        _say(broken, numbered)

        def breaks(candidate: Sequence[Numbered]) -> bool:
            found = attempt(lab, candidate, log)
            typer.echo(f"{len(candidate)} steps: {'broken' if found else 'held'}")
            return found is not None

        numbered = shrink(numbered[: broken.after], breaks, tries)
    for number, step in numbered:
        typer.echo(f"{number:4}  {step}")
    numbers = ",".join(str(number) for number, _ in numbered)
    typer.echo(f"the daemon's log of the last that broke: {log}")
    typer.echo(f"tests/chaos --seed {seed} --steps {steps} --engine {engine.value} --only {numbers}")
    raise typer.Exit(1)


def _say(broken: Failure, numbered: Sequence[Numbered]) -> None:
    typer.echo(f"broken after {broken.after} of {len(numbered)} steps:")
    for what in broken.what:
        typer.echo(f"  {what}")


if __name__ == "__main__":
    typer.run(main)
