"""The command line: parse, call, render. The only place that exits.

Docker's and netlink's libraries are imported inside the commands that use them, so that `--help` and
`address --subnet` need not wait for them.
"""

import json
import logging
import sys
from enum import IntEnum
from ipaddress import IPv6Network
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dockeripv6mapper import __version__
from dockeripv6mapper import settings as defaults
from dockeripv6mapper.errors import MapperError
from dockeripv6mapper.settings import FirewallMode, ProxyMode, Scheme, Settings

PIPED_COLUMNS = 250
"""Width of a table that a program reads, which must not be cut."""
FWMARK_BITS = 32
"""Width of the kernel's packet mark."""

ENVIRONMENT_PREFIX = "DOCKERIPV6MAPPER"
"""Every option's environment variable: the prefix, and the option's name in capitals."""


class Exit(IntEnum):
    """Exit codes, as every command's help names them."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    DEGRADED = 3


app = typer.Typer(
    name="DockerIPV6Mapper.py",
    pretty_exceptions_enable=False,
    context_settings={"auto_envvar_prefix": ENVIRONMENT_PREFIX, "help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 error, 2 usage, 3 degraded (says status). "
    "Results go to stdout, logs to stderr.",
)


def main() -> None:
    """Run the command line; an error of ours becomes a sentence and exit code 1."""
    try:
        app()
    except MapperError as error:
        logging.getLogger(__name__).debug("in full:", exc_info=error)
        typer.echo(f"error: {error}", err=True)
        if error.hint:
            typer.echo(f"  try: {error.hint}", err=True)
        sys.exit(Exit.ERROR)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"DockerIPV6Mapper {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Log everything.")] = False,
    info: Annotated[bool, typer.Option("--info", help="Log every change (the default).")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Log only what is wrong.")] = False,
    docker_host: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The engine; default: DOCKER_HOST, else the local socket."),
    ] = None,
    uplink: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LINK", help="Proxy on this interface; default: each with an IPv6 default route."
        ),
    ] = None,
    proxy: Annotated[
        ProxyMode,
        typer.Option(help="Whose addresses are proxied: mapped containers', all containers', nobody's."),
    ] = ProxyMode.MAPPED,
    scheme: Annotated[
        Scheme, typer.Option(help="How a name becomes a suffix, where the network's label does not say.")
    ] = Scheme.MD5_24,
    allow_network: Annotated[
        list[str] | None,
        typer.Option(metavar="NETWORK", help="A network that labels may name; default: any."),
    ] = None,
    trust_image_labels: Annotated[
        bool, typer.Option("--trust-image-labels", help="Let labels count that an image brings along.")
    ] = False,
    firewall: Annotated[
        FirewallMode, typer.Option(help="Open what labels ask for; also close what they do not; or neither.")
    ] = FirewallMode.ENGINE,
    fwmark: Annotated[
        str, typer.Option(metavar="BIT", help="The packet mark that opens the engine's firewall.")
    ] = f"{defaults.DEFAULT_FWMARK:#010x}",
    sysctl: Annotated[bool, typer.Option(help="Set the sysctls that proxying needs.")] = True,
    resync: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, max=86400, help="Look at everything afresh this often.")
    ] = defaults.DEFAULT_RESYNC_SECONDS,
    state_dir: Annotated[
        Path, typer.Option(metavar="DIRECTORY", help="Keeps what must outlive the process, until a reboot.")
    ] = defaults.DEFAULT_STATE_DIR,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")
    ] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    """Give labelled containers stable IPv6 addresses that are reachable from outside.

    Without a command: run in the foreground until interrupted.
    """
    level = logging.DEBUG if debug else logging.INFO if info or not quiet else logging.WARNING
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)-7s %(message)s")
    logging.getLogger("dockeripv6mapper").setLevel(level)
    context.obj = Settings(
        docker_host=docker_host,
        uplinks=tuple(uplink or ()),
        proxy=proxy,
        scheme=scheme,
        allow_networks=frozenset(allow_network or ()),
        trust_image_labels=trust_image_labels,
        firewall=firewall,
        fwmark=_one_bit(fwmark),
        sysctl=sysctl,
        resync=resync,
        state_dir=state_dir,
        dry_run=dry_run,
    )
    if context.invoked_subcommand is None:
        from dockeripv6mapper import daemon

        daemon.run(context.obj)


@app.command()
def address(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A container's name, or a Swarm task's service.slot.")],
    network: Annotated[str | None, typer.Option(help="A network of the engine, by name or ID.")] = None,
    subnet: Annotated[
        str | None, typer.Option(metavar="PREFIX/LENGTH", help="A subnet; needs no engine.")
    ] = None,
    suffix: Annotated[str | None, typer.Option(help="As the label ipv6.mapper.suffix.")] = None,
    scheme: Annotated[Scheme | None, typer.Option(help="As the daemon's option.")] = None,
) -> None:
    """Print the address that a container of this name would get."""
    from dockeripv6mapper.mapping import desired, labels
    from dockeripv6mapper.mapping.addressing import default_gateway
    from dockeripv6mapper.model import Network, RefusedError

    settings: Settings = context.obj
    if (network is None) == (subnet is None):
        raise typer.BadParameter("give one of --network and --subnet")
    try:
        if subnet is not None:
            prefix = _subnet(subnet)
            found = Network(
                "", subnet, "bridge", subnets=(prefix,), gateways=frozenset({default_gateway(prefix)})
            )
        else:
            from dockeripv6mapper.engine.client import Client
            from dockeripv6mapper.mapping.networks import Networks

            found = Networks(Client(settings.docker_host).networks()).find(str(network))
        number = None if suffix is None else labels.parse_suffix(suffix)
        result = desired.address_of(name, found, number, scheme or settings.scheme)
    except RefusedError as no:
        raise MapperError(f"computing the address of {name}: {no.refusal.detail}") from no
    typer.echo(str(result))


@app.command()
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
    _console().print(table if table.row_count else "nothing to do: all is as it should be")


@app.command()
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
        _console().print(
            report.as_table(rows) if rows else "no container carries the label ipv6.mapper.network"
        )
    if seen.plan or not all(row.is_well for row in rows):
        raise typer.Exit(Exit.DEGRADED)


@app.command()
def cleanup(context: typer.Context) -> None:
    """Remove every proxy entry and firewall object that carries the mapper's mark, and nothing else."""
    from dockeripv6mapper.kernel import firewall
    from dockeripv6mapper.kernel.host import Kernel

    settings: Settings = context.obj
    kernel = Kernel(settings.state_dir)
    try:
        ours = sorted(entry for entry, is_ours in kernel.observe().entries.items() if is_ours)
        outcome = kernel.remove_proxies(() if settings.dry_run else ours)
    finally:
        kernel.close()
    objects = [f"proxy entry {entry}" for entry in (ours if settings.dry_run else outcome.done)]
    removed, errors = firewall.cleanup(settings.fwmark, dry_run=settings.dry_run)
    objects += removed
    for each in objects:
        typer.echo(f"{'would remove' if settings.dry_run else 'removed'} {each}")
    errors += outcome.failed.values()
    if errors:
        raise MapperError(f"not all was removed: {'; '.join(map(str, errors))}", hint=errors[0].hint)
    if not objects:
        typer.echo("nothing to remove: nothing carries the mapper's mark")


def _console() -> Console:
    """Where tables go: as wide as the terminal, and wide enough for anything where there is none."""
    return Console(width=None if sys.stdout.isatty() else PIPED_COLUMNS)


def _one_bit(text: str) -> int:
    try:
        mark = int(text, 0)
    except ValueError:
        mark = 0
    if mark.bit_count() != 1 or mark >> FWMARK_BITS:
        raise typer.BadParameter(f"{text} is not one bit of {FWMARK_BITS}", param_hint="--fwmark")
    return mark


def _subnet(text: str) -> IPv6Network:
    try:
        return IPv6Network(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--subnet") from error
