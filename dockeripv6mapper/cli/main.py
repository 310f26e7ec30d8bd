"""The program itself: the options that stand before a command, and the daemon in fore- or background."""

import logging
import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from dockeripv6mapper import __version__
from dockeripv6mapper import settings as defaults
from dockeripv6mapper.cli import address, cleanup, inspect, status
from dockeripv6mapper.cli.background import carry_out
from dockeripv6mapper.cli.output import Exit
from dockeripv6mapper.controller.observers import ServiceManager
from dockeripv6mapper.daemon.detach import DEFAULT_LOGFILE, DEFAULT_PIDFILE, Command
from dockeripv6mapper.errors import MapperError
from dockeripv6mapper.report import logs
from dockeripv6mapper.report.logs import LogFormat
from dockeripv6mapper.settings import FirewallMode, ProxyMode, Scheme, Settings

ENVIRONMENT_PREFIX = "DOCKERIPV6MAPPER"
"""Every option's environment variable: the prefix, and the option's name in capitals."""

app = typer.Typer(
    name="DockerIPV6Mapper.py",
    pretty_exceptions_enable=False,
    context_settings={"auto_envvar_prefix": ENVIRONMENT_PREFIX, "help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 error, 2 usage, 3 degraded (say status and doctor). "
    "Results go to stdout, logs to stderr.",
)

FWMARK_BITS = 32
"""Width of the kernel's packet mark."""


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
    log_format: Annotated[
        LogFormat,
        typer.Option(help="auto: colours on a terminal, priorities to the journal, else plain lines."),
    ] = LogFormat.AUTO,
    background: Annotated[
        Command | None,
        typer.Option(
            "-d", "--daemon", help="Start, stop or restart it in the background, or say if it runs."
        ),
    ] = None,
    pidfile: Annotated[
        Path, typer.Option(metavar="FILE", help="Says which process runs in the background.")
    ] = DEFAULT_PIDFILE,
    logfile: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help=f"Append the log to this file, not to stderr; with -d: {DEFAULT_LOGFILE}."
        ),
    ] = None,
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
    sysctl_dir: Annotated[
        Path,
        typer.Option(metavar="DIRECTORY", help="Where they are: in a container, where they are mounted."),
    ] = defaults.DEFAULT_SYSCTL_DIR,
    resync: Annotated[
        float, typer.Option(metavar="SECONDS", min=1, max=86400, help="Look at everything afresh this often.")
    ] = defaults.DEFAULT_RESYNC_SECONDS,
    state_dir: Annotated[
        Path,
        typer.Option(
            metavar="DIRECTORY",
            readable=False,  # is not asked for by commands that only look, which anybody may run
            help="Keeps what must outlive the process, until a reboot.",
        ),
    ] = defaults.DEFAULT_STATE_DIR,
    metrics: Annotated[
        str | None, typer.Option(metavar="ADDRESS:PORT", help="Serve metrics for Prometheus there.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")
    ] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    """Give labelled containers stable IPv6 addresses that are reachable from outside.

    Without a command: run in the foreground until interrupted.
    """
    if background is not None and context.invoked_subcommand is not None:
        raise typer.BadParameter("is for the daemon, and not for a command", param_hint="-d")
    level = logging.DEBUG if debug else logging.INFO if info or not quiet else logging.WARNING
    logs.set_up(level, log_format, None if background else logfile)
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
        sysctl_dir=sysctl_dir,
        resync=resync,
        state_dir=state_dir.absolute(),
        metrics=None if metrics is None else _address_and_port(metrics),
        dry_run=dry_run,
    )
    if context.invoked_subcommand is not None:
        return
    if background is None:
        from dockeripv6mapper.daemon import process

        process.run(context.obj)
        return
    file = (logfile or DEFAULT_LOGFILE).absolute()

    def run_detached(service: ServiceManager) -> None:
        from dockeripv6mapper.daemon import process

        logs.set_up(level, log_format, file)
        process.run(context.obj, service)

    carry_out(background, pidfile.absolute(), file, run_detached)


def _address_and_port(text: str) -> tuple[str, int]:
    """`127.0.0.1:9109` or `[::1]:9109`."""
    address, _, port = text.rpartition(":")
    try:
        return str(ip_address(address.removeprefix("[").removesuffix("]"))), int(port)
    except ValueError as error:
        raise typer.BadParameter(f"{text}: {error}", param_hint="--metrics") from error


def _one_bit(text: str) -> int:
    try:
        mark = int(text, 0)
    except ValueError:
        mark = 0
    if mark.bit_count() != 1 or mark >> FWMARK_BITS:
        raise typer.BadParameter(f"{text} is not one bit of {FWMARK_BITS}", param_hint="--fwmark")
    return mark


for command in (address.address, inspect.plan, status.status, inspect.doctor, cleanup.cleanup):
    app.command()(command)


def main() -> None:
    """Run the command line; errors of ours become a sentence each, and exit code 1."""
    failed = False
    try:
        app()
    except* MapperError as group:
        failed = True
        for error in group.exceptions:
            logging.getLogger(__name__).debug("in full:", exc_info=error)
            if isinstance(error, MapperError):
                typer.echo(logs.last_words(error), err=True)
    if failed:
        sys.exit(Exit.ERROR)
