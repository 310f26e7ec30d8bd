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
from dockeripv6mapper.settings import ProxyMode, Scheme, Settings

ENVIRONMENT_PREFIX = "DOCKERIPV6MAPPER"
"""Every option's environment variable: the prefix, and the option's name in capitals."""


class Exit(IntEnum):
    """Exit codes, as every command's help names them."""

    DONE = 0
    ERROR = 1
    USAGE = 2


app = typer.Typer(
    name="DockerIPV6Mapper.py",
    pretty_exceptions_enable=False,
    context_settings={"auto_envvar_prefix": ENVIRONMENT_PREFIX, "help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 error, 2 usage. Results go to stdout, logs to stderr.",
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
    Console().print(table if table.row_count else "nothing to do: all is as it should be")


@app.command()
def cleanup(context: typer.Context) -> None:
    """Remove every proxy entry that carries the mapper's mark, and nothing else."""
    from dockeripv6mapper.kernel.host import Kernel

    settings: Settings = context.obj
    kernel = Kernel(settings.state_dir)
    try:
        ours = [entry for entry, is_ours in kernel.observe().entries.items() if is_ours]
        outcome = kernel.remove_proxies(() if settings.dry_run else sorted(ours))
    finally:
        kernel.close()
    if not ours:
        typer.echo("nothing to remove: no proxy entry carries the mapper's mark")
    for entry in sorted(ours) if settings.dry_run else outcome.done:
        typer.echo(f"{'would remove' if settings.dry_run else 'removed'} proxy entry {entry}")
    if errors := list(outcome.failed.values()):
        failures = "; ".join(map(str, errors))
        raise MapperError(f"{len(errors)} of {len(ours)} proxy entries stay: {failures}", hint=errors[0].hint)


def _subnet(text: str) -> IPv6Network:
    try:
        return IPv6Network(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--subnet") from error
