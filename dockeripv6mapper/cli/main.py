"""The program: its settings from options and environment, the daemon, and the exit code."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path

import typer

from dockeripv6mapper import settings as defaults
from dockeripv6mapper.cli import address, cleanup, config, inspect, options, status, unit
from dockeripv6mapper.cli.help import Program
from dockeripv6mapper.cli.output import Exit
from dockeripv6mapper.controller.observers import ServiceManager
from dockeripv6mapper.daemon import detach
from dockeripv6mapper.errors import MapperError
from dockeripv6mapper.report import logs
from dockeripv6mapper.settings import FirewallMode, NdSource, ProxyMode, Scheme, Settings

ENVIRONMENT_PREFIX = "DOCKERIPV6MAPPER"
"""Every option's environment variable is this prefix and the option's name in capitals."""

EPILOG = f"""\b
Variables: {ENVIRONMENT_PREFIX}_UPLINK=eth0 is --uplink eth0, and so on.
Exit codes: 0 done, 1 error, 2 usage, 3 degraded (status, doctor, config).
Examples:
  DockerIPV6Mapper.py --uplink eth0 --dry-run
  DockerIPV6Mapper.py address nginx --subnet 2001:db8:0:1::/80
  DockerIPV6Mapper.py status --tree"""
"""The end of the program's help. The lines are kept as they are."""

app = typer.Typer(
    name="DockerIPV6Mapper.py",
    cls=Program,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"auto_envvar_prefix": ENVIRONMENT_PREFIX, "help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)
COMMANDS: dict[Callable[..., None], str] = {
    status.status: "Show every labelled container, or why it is refused.",
    inspect.doctor: "Find what is wrong, and print how to fix it.",
    inspect.plan: "Show what a full pass would do now.",
    address.address: "Compute addresses from names.",
    config.config: "Show the value of each option, and what set it.",
    unit.install_unit: "Write the systemd unit of this installation.",
    cleanup.cleanup: "Remove what the mapper added to this host.",
}
"""Each command with its line in the program's help."""
for command, short_help in COMMANDS.items():
    app.command(short_help=short_help)(command)


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    *,
    allow_network: options.AllowNetworks = None,
    trust_image_labels: options.TrustImageLabels = False,
    scheme: options.Scheme = Scheme.MD5_24,
    default_route: options.DefaultRoute = True,
    uplink: options.Uplinks = None,
    proxy: options.Proxy = ProxyMode.MAPPED,
    nd_source: options.NdSource = NdSource.AUTO,
    firewall: options.Firewall = FirewallMode.ENGINE,
    fwmark: options.FwMark = f"{defaults.DEFAULT_FWMARK:#010x}",
    docker_host: options.DockerHost = None,
    resync: options.Resync = defaults.DEFAULT_RESYNC_SECONDS,
    sysctl: options.Sysctl = True,
    sysctl_dir: options.SysctlDir = defaults.DEFAULT_SYSCTL_DIR,
    state_dir: options.StateDir = defaults.DEFAULT_STATE_DIR,
    metrics: options.Metrics = None,
    dry_run: options.DryRun = False,
    debug: options.Debug = False,
    info: options.Info = False,
    quiet: options.Quiet = False,
    log_format: options.LogFormat = logs.LogFormat.AUTO,
    logfile: options.LogFile = None,
    background: options.Background = None,
    pidfile: options.PidFile = detach.DEFAULT_PIDFILE,
    version: options.Version = False,
) -> None:
    """Give labelled Docker containers stable, reachable IPv6 addresses.

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
        default_route=default_route,
        firewall=firewall,
        fwmark=options.fwmark(fwmark),
        nd_source=nd_source,
        sysctl=sysctl,
        sysctl_dir=sysctl_dir,
        resync=resync,
        state_dir=state_dir.absolute(),
        metrics=None if metrics is None else options.address_and_port(metrics),
        dry_run=dry_run,
    )
    if background is not None:
        detached_log = (logfile or detach.DEFAULT_LOGFILE).absolute()

        def run_detached(service: ServiceManager) -> None:
            logs.set_up(level, log_format, detached_log)
            _run_daemon(context.obj, service)

        _control(background, pidfile.absolute(), detached_log, run_detached)
    elif context.invoked_subcommand is None:
        _run_daemon(context.obj)


def main() -> None:
    """Run the command line. A `MapperError` is printed as one line with its hint; then the exit code is 1."""
    failed = False
    try:
        app()
    except* MapperError as group:
        failed = True
        for error in group.exceptions:
            logging.getLogger(__name__).debug("in full:", exc_info=error)
            if isinstance(error, MapperError):
                typer.echo(logs.error_lines(error), err=True)
    if failed:
        sys.exit(Exit.ERROR)


def _run_daemon(settings: Settings, service: ServiceManager | None = None) -> None:
    from dockeripv6mapper.daemon import process

    process.run(settings, service)


def _control(
    command: detach.Command, pidfile: Path, logfile: Path, run_detached: Callable[[ServiceManager], None]
) -> None:
    """Carry out `-d COMMAND` and print the outcome. Exit code 3 if `status` finds no daemon."""
    match command:
        case detach.Command.STATUS:
            pid = detach.PidFile(pidfile).holder()
            typer.echo("not running" if pid is None else f"running, process {pid}")
            if pid is None:
                raise typer.Exit(Exit.DEGRADED)
        case detach.Command.STOP:
            typer.echo("stopped" if detach.stop(pidfile) else "not running")
        case detach.Command.START | detach.Command.RESTART:
            if command is detach.Command.RESTART:
                detach.stop(pidfile)
            if missing := detach.start(pidfile, logfile, run_detached):
                typer.echo(f"started; {logs.escaped(missing)}")
