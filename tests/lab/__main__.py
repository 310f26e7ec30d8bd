"""The lab on the command line: `python -m tests.lab up`; in another terminal, `… shell`."""

import os
import signal
import subprocess
import sys
from enum import Enum
from typing import Annotated

import typer
from rich.console import Console

from tests.lab.engines import Flavour
from tests.lab.hosts import Host
from tests.lab.prerequisites import MODERN, SERVICE, ensure_root, ensure_wheelhouse, missing
from tests.lab.runs import Run, known_runs
from tests.lab.topology import Lab, hosts_of
from tests.lab.waiting import eventually

DOWN_TIMEOUT = 60.0
"""Seconds until `down` gives up waiting for the process of `up` to end."""

SHELL = os.environ.get("SHELL", "/bin/sh")

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
console = Console(soft_wrap=True, markup=False, highlight=False)


class Engines(Enum):
    """Which hosts to bring up."""

    OLDEST = "oldest"
    STABLE = "stable"
    MODERN = "modern"
    ALL = "all"

    @property
    def flavours(self) -> tuple[Flavour, ...]:
        """The engines of the selected hosts."""
        return tuple(Flavour) if self is Engines.ALL else (Flavour(self.value),)


@app.callback()
def check_machine() -> None:
    """Exit with code 1 where a prerequisite of the lab is missing."""
    if lack := missing():
        console.print(f"the lab needs {lack}: run tests/run as root, which installs it")
        raise typer.Exit(1)


@app.command()
def up(engine: Annotated[Engines, typer.Option(help="which hosts")] = Engines.ALL) -> None:
    """Set the lab up, print how to enter it, and keep it until Ctrl-C."""
    try:
        with Lab(*engine.flavours, purpose="up", progress=console.print) as lab:
            _show_how_to_enter(lab)
            console.print("the lab is up; Ctrl-C takes it down")
            while True:
                signal.pause()
    except KeyboardInterrupt:
        console.print("the lab is down")


@app.command()
def shell(engine: Annotated[Flavour | None, typer.Option(help="which host, of several")] = None) -> None:
    """Open $SHELL on a host of the running lab; `docker` there is a client of that host's engine."""
    host = next((host for host in _hosts_up() if engine in (None, host.engine.flavour)), None)
    if host is None:
        console.print("no such host is up: run `python -m tests.lab up` in another terminal first")
        raise typer.Exit(1)
    argv = host.namespace.nsenter(SHELL)
    raise typer.Exit(subprocess.call(argv, env=host.engine.environment))


@app.command()
def down(
    owner: Annotated[int | None, typer.Argument(help="only the lab of this process")] = None,
) -> None:
    """End every lab started by `up`, and remove what killed runs left.

    The lab of a running test or demo is not touched.
    """
    for run in known_runs():
        if owner in (None, run.pid) and run.alive:
            _end(run)
    for run in known_runs():
        if owner in (None, run.pid) and not run.alive:
            run.sweep()
            console.print(f"removed what process {run.pid} had left")


@app.command()
def prepare() -> None:
    """Create and cache what the lab needs: root file systems, and Python packages."""
    try:
        console.print(f"the modern engine is {Flavour.MODERN.release}")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    for flavour in Flavour:
        flavour.ensure_files(console.print)
    for root in (MODERN, SERVICE):  # Compose is the modern root's, also for the other engines
        ensure_root(root, console.print)
    ensure_wheelhouse(console.print)


def _hosts_up() -> list[Host]:
    """Return the hosts of the lab started by `up`, the newest if there are several."""
    runs = [run for run in known_runs() if run.alive and run.purpose == "up"]
    return hosts_of(runs[-1]) if runs else []


def _end(run: Run) -> None:
    """Ask the owner process to take its lab down, if the lab was started by `up`."""
    if run.purpose != "up":
        console.print(f"process {run.pid} uses its lab ({run.purpose}): left alone")
        return
    os.kill(run.pid, signal.SIGTERM)
    eventually(lambda: not run.alive, within=DOWN_TIMEOUT)
    console.print(f"process {run.pid} took its lab down")


def _show_how_to_enter(lab: Lab) -> None:
    """Print each namespace with its addresses, and the command that opens a shell in it."""
    for host in lab.hosts:
        release = host.engine.docker("version", "--format", "{{.Server.Version}}")
        console.print(f"\n{host.namespace.name}: Docker Engine {release}, {host.address}, {host.subnet}")
        console.print(f"    {sys.executable} -m tests.lab shell --engine {host.engine.flavour.value}")
    router = lab.router
    console.print(f"\n{router.namespace.name}: the router, {router.address}")
    console.print(f"    nsenter --net={router.namespace.path} {SHELL}\n")


if __name__ == "__main__":
    app()
