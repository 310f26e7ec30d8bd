"""The demo: shows what the mapper does on real engines, as the router sees it.

    tests/demo [--engine oldest|stable|modern|all]

Each claim is checked when it is printed. The exit code is 0 only if all claims were true.
"""

import re
import shlex
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tests.lab.__main__ import Engines
from tests.lab.commands import CommandError
from tests.lab.containers import (
    EMPTY_PLAN,
    LABEL,
    WEB_SERVER,
    addresses_inside,
    open_port,
    plan_of,
    reaches,
    wait_until_mapped,
)
from tests.lab.demo_diagram import diagram_of
from tests.lab.demo_output import Claims, command, console, heading, output, step
from tests.lab.engines import IMAGE, EngineError, Flavour
from tests.lab.hosts import UPLINK, Host
from tests.lab.mapper import Mapper, run_command
from tests.lab.namespaces import DIRECTORY
from tests.lab.prerequisites import missing
from tests.lab.runs import Run
from tests.lab.topology import Lab

INTERRUPTED = 130
"""Exit code after Ctrl-C, as in a shell (128 + SIGINT)."""

SUFFIXES = {"mon_container": 0x3D_007A_0030, "nginx": 0xEE_0043_0040, "chosen": 0xAB_00CD_0056}
"""The expected suffixes: two computed from the name, one from the label `ipv6.mapper.suffix`."""

INTRODUCTION = """
[bold]DockerIPV6Mapper[/] gives a labelled container a stable IPv6 address that is reachable from outside.

The following is real: a router, a Docker host with containers, each in its own network namespace, and \
the mapper running on that host. Each ✓ marks a check that passed.
"""

LOG_LINE = re.compile(r"\S+ (?P<time>\S+) (?P<level>INFO|WARNING|ERROR) +(?P<text>.*)")
STYLES = {"INFO": "", "WARNING": "yellow", "ERROR": "bold red"}


class HostDemo:
    """The demo on one host."""

    def __init__(self, lab: Lab, host: Host, claims: Claims) -> None:
        self.lab = lab
        self.host = host
        self.check = claims.check
        self.addresses = {name: host.subnet[suffix] for name, suffix in SUFFIXES.items()}

    def run(self) -> None:
        """Run all parts, from the first command to the stop of the daemon."""
        release = self.host.engine.docker("version", "--format", "{{.Server.Version}}")
        title = f"Docker Engine {release.partition('+')[0]}"
        console.rule(f"[bold]{title}")
        self._start_without_mapper()
        with Mapper(self.host) as mapper:
            self._label_containers(mapper)
            heading("The network now")
            console.print(diagram_of(self.lab, self.host, f"host, {title}"))
            self._read_the_log(mapper)
            self._look_from_the_router()
            self._look_from_the_host()
            self._remove_one()
            heading("The mapper stops")
            self.check("after SIGTERM it exits with code 0", lambda: mapper.stop() == 0)
        self.check("the containers stay reachable", partial(self._ping, "nginx"))

    def _start_without_mapper(self) -> None:
        heading("A network, a labelled container, and no mapper yet")
        self._docker(*self.host.network_command())
        self._run("mon_container")
        args = ("address", "mon_container", "--network", "he_ipv6")
        command(shlex.join(("DockerIPV6Mapper.py", *args)))
        printed = run_command(self.host, *args).stdout
        output(printed)
        wanted = str(self.addresses["mon_container"])
        self.check("the address is known in advance", lambda: printed.strip() == wanted)
        self.check("the address does not answer a ping yet", lambda: not self._ping("mon_container"))

    def _label_containers(self, mapper: Mapper) -> None:
        heading("The mapper, and more containers")
        command("DockerIPV6Mapper.py &")
        mapper.wait_for_log("proxying neighbour discovery")
        self._run("nginx", program=WEB_SERVER)
        self._run("chosen", "--label", "ipv6.mapper.suffix=ab:cd:56")
        self._run("greedy", "--label", "ipv6.mapper.suffix=1")
        console.print()
        for name, suffix in SUFFIXES.items():
            source = "set by its label" if name == "chosen" else "computed from its name"
            claim = f"[bold]{name}[/] has {self.addresses[name]}, {source}"
            self.check(claim, partial(wait_until_mapped, self.host, name, suffix))
        self.check(
            "[bold]greedy[/] requests the gateway's address: refused, it runs without one",
            lambda: addresses_inside(self.host, "greedy") == set(),
        )

    def _read_the_log(self, mapper: Mapper) -> None:
        heading("What the mapper logged")
        mapper.wait_for_log(r"WARNING.*greedy.*\[gateway\]")
        table = Table.grid(padding=(0, 2))
        for line in LOG_LINE.finditer(mapper.log()):
            table.add_row(Text(line["time"], "dim"), Text(line["text"], STYLES[line["level"]]))
        console.print(table)
        warnings = re.findall(r" (?:WARNING|ERROR) .*", mapper.log())
        self.check("one warning, and it names the reason", lambda: len(warnings) == 1)

    def _look_from_the_router(self) -> None:
        heading("What the router sees")
        if self.host.engine.flavour.filters_ipv6:
            console.print("This engine accepts only pings from outside: the port is opened by hand.")
            open_port(self.host, self.addresses["nginx"], 80)
        router = self.lab.router
        with step("waiting until duplicate address detection on the bridge ends"):
            for address in self.addresses.values():
                reaches(router, address)
        router.flush_neighbours()
        times = {name: self._ping(name) for name in self.addresses}
        page = self._page()
        router.ping(self.host.address)
        macs = {address: neighbour.mac for address, neighbour in router.neighbours().items()}
        table = Table("container", "address", "first ping", "HTTP", "neighbour entry", box=SIMPLE_HEAD)
        for name, address in self.addresses.items():
            shown = page if name == "nginx" else ""
            table.add_row(name, str(address), times[name] or "none", shown, macs.get(address) or "none")
        console.print(table)
        self.check(
            "all containers answer the router, whose neighbour cache was empty", lambda: all(times.values())
        )
        self.check("the web server answers", lambda: page == "welcome")
        uplink = macs.get(self.host.address)
        self.check(
            f"the router's neighbour entry of each container has the uplink's MAC, {uplink}",
            lambda: uplink and all(macs.get(address) == uplink for address in self.addresses.values()),
        )

    def _look_from_the_host(self) -> None:
        heading("What the host shows")
        command("ip -6 neigh show proxy")
        output(self.host.namespace.run("ip", "-6", "neigh", "show", "proxy").stdout)
        command("DockerIPV6Mapper.py plan")
        output(run_command(self.host, "plan").stdout)
        entries = {(address, UPLINK) for address in self.addresses.values()}
        self.check("exactly three proxy entries", lambda: self.host.proxy_entries() == entries)
        self.check(
            "the plan is empty: [bold]greedy[/] stays refused",
            lambda: plan_of(self.host) | {"refusals": []} == EMPTY_PLAN,
        )

    def _remove_one(self) -> None:
        heading("A container is removed")
        entry = (self.addresses["mon_container"], UPLINK)
        self._docker("rm", "-f", "mon_container")
        self.check("its proxy entry is removed within 1 s", lambda: entry not in self.host.proxy_entries(), 1)
        self.check("the address does not answer a ping", lambda: not self._ping("mon_container"))
        self.check("the other containers still answer", lambda: self._ping("nginx") and self._ping("chosen"))

    def _docker(self, *args: str) -> None:
        command(shlex.join(("docker", *args)))
        self.host.engine.docker(*args)

    def _run(self, name: str, *labels: str, program: tuple[str, ...] = ()) -> None:
        self._docker("run", "-d", "--name", name, *LABEL, *labels, IMAGE, *program)

    def _ping(self, name: str) -> str:
        """Round-trip time of one ping from the router, as `0.123 ms`; empty without an answer."""
        argv = ("ping", "-6", "-n", "-c", "1", "-W", "1", str(self.addresses[name]))
        answer = re.search(r"time=(\S+ ms)", self.lab.router.namespace.run(*argv, check=False).stdout)
        return answer[1] if answer else ""

    def _page(self) -> str:
        """Fetch the web server's page from the router; empty if unreachable."""
        try:
            return self.lab.router.http_get(f"http://[{self.addresses['nginx']}]/").strip()
        except CommandError:
            return ""


def run_demo(flavours: tuple[Flavour, ...], claims: Claims) -> None:
    """Set the lab up, run the demo on each host, and always tear the lab down."""
    engines = " and ".join(flavour.release for flavour in flavours)
    with ExitStack() as stack:
        with step(f"starting a router, and a host with Docker Engine {engines}") as progress:
            lab = stack.enter_context(Lab(*flavours, purpose="demo", progress=progress))
        try:
            for host in lab.hosts:
                HostDemo(lab, host, claims).run()
        finally:
            console.print()
            with step("tearing the lab down"):
                stack.close()
    claims.check("no namespace and no file of the lab is left", lambda: not leftovers(lab.run))


def leftovers(run: Run) -> list[Path]:
    """Return the files, namespaces and record of a run that still exist."""
    return [path for path in (run.workdir, run.record, *DIRECTORY.glob(f"{run.name}-*")) if path.exists()]


def main(
    engine: Annotated[
        Engines | None,
        typer.Option(help="engines to run the demo on; default: the machine's Debian release's"),
    ] = None,
) -> None:
    """Show what the mapper does, on real engines; everything started is removed at the end."""
    if lack := missing():
        console.print(f"the demo needs {lack}: run tests/demo as root, which installs it")
        raise typer.Exit(1)
    console.print(INTRODUCTION)
    claims = Claims()
    try:
        run_demo((Flavour.of_machine(),) if engine is None else engine.flavours, claims)
    except KeyboardInterrupt:
        console.print("interrupted")
        raise typer.Exit(INTERRUPTED) from None
    except (AssertionError, CommandError, EngineError, OSError) as error:
        console.print(f"[bold red]the demo failed:[/] {escape(str(error))}")
        raise typer.Exit(1) from error
    verdict = f"[bold red]{claims.failed} failed" if claims.failed else "[bold green]all passed"
    console.print(f"\n{claims.passed + claims.failed} claims checked: {verdict}")
    console.print(f"[dim]To try it yourself: {sys.executable} -m tests.lab up")
    raise typer.Exit(1 if claims.failed else 0)


if __name__ == "__main__":
    typer.run(main)
