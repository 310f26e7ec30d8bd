"""The options of the program, which stand before a command: type, help text, and how a value is parsed.

Each option has an alias here, which keeps `main.run` short. The defaults are in `main.run`. The help texts
are short, so that `--help` is one screen of 80 columns; `docs/operations.md` has the details.
"""

from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from dockeripv6mapper import __version__, settings
from dockeripv6mapper.daemon.detach import DEFAULT_PIDFILE, Command
from dockeripv6mapper.report import logs
from dockeripv6mapper.settings import FirewallMode, ProxyMode

FWMARK_BITS = 32
"""Width of the kernel's packet mark."""


def fwmark(text: str) -> int:
    """A packet mark with exactly one bit set, from decimal or `0x…`."""
    try:
        mark = int(text, 0)
    except ValueError:
        mark = 0
    if mark.bit_count() != 1 or mark >> FWMARK_BITS:
        raise typer.BadParameter(
            f"{text} is not a {FWMARK_BITS}-bit number with exactly one bit set", param_hint="--fwmark"
        )
    return mark


def address_and_port(text: str) -> tuple[str, int]:
    """The parts of `127.0.0.1:9109` or `[::1]:9109`."""
    address, _, port = text.rpartition(":")
    try:
        return str(ip_address(address.removeprefix("[").removesuffix("]"))), int(port)
    except ValueError as error:
        raise typer.BadParameter(f"{text}: {error}", param_hint="--metrics") from error


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"DockerIPV6Mapper {__version__}")
        raise typer.Exit


option = partial(typer.Option, show_envvar=False)
"""An option of a command. Its help names no environment variable; the program's help has the rule."""

_mapping = partial(typer.Option, rich_help_panel="Mapping")
_proxying = partial(typer.Option, rich_help_panel="NDP proxying")
_firewall = partial(typer.Option, rich_help_panel="Firewall")
_operation = partial(typer.Option, rich_help_panel="Operation")
_logging = partial(typer.Option, rich_help_panel="Log and background")

AllowNetworks = Annotated[
    list[str] | None, _mapping(metavar="NETWORK", help="A network that labels may name; default: any.")
]
TrustImageLabels = Annotated[
    bool, _mapping("--trust-image-labels", help="Also use labels that come from an image.")
]
Scheme = Annotated[settings.Scheme, _mapping(help="How a name becomes a suffix.")]
DefaultRoute = Annotated[
    bool,
    _mapping(
        "--default-route/--no-default-route",
        show_default=False,
        help="Send from the mapped address, or not.",
    ),
]
Uplinks = Annotated[
    list[str] | None,
    _proxying(metavar="LINK", help="Proxy on it; default: each interface with an IPv6 default route."),
]
Proxy = Annotated[ProxyMode, _proxying(help="Proxy the addresses of mapped containers, of all, or none.")]
NdSource = Annotated[settings.NdSource, _proxying(help="Who answers routers: the kernel, or the daemon too.")]
Firewall = Annotated[FirewallMode, _firewall(help="engine: open labelled ports; closed: also drop the rest.")]
FwMark = Annotated[str, _firewall(metavar="BIT", help="Mark of open ports.")]
DockerHost = Annotated[
    str | None, _operation(metavar="URL", help="Default: DOCKER_HOST, else the local socket.")
]
Resync = Annotated[float, _operation(metavar="SECONDS", min=1, max=86400, help="Between full passes.")]
Sysctl = Annotated[
    bool,
    _operation("--sysctl/--no-sysctl", show_default=False, help="Set needed sysctls, or not."),
]
SysctlDir = Annotated[Path, _operation(metavar="DIR", help="Host's IPv6 sysctls.")]
StateDir = Annotated[
    Path,
    _operation(
        metavar="DIR",
        # Commands that change nothing do not need it, and any user may run them.
        readable=False,
        help="State files.",
    ),
]
Metrics = Annotated[str | None, _operation(metavar="ADDRESS:PORT", help="Serve metrics for Prometheus.")]
DryRun = Annotated[bool, _operation("--dry-run", help="Only show what would be done.")]
Debug = Annotated[bool, _logging("--debug", help="Log everything.")]
Info = Annotated[bool, _logging("--info", help="Log every change (the default).")]
Quiet = Annotated[bool, _logging("--quiet", help="Log only warnings and errors.")]
LogFormat = Annotated[logs.LogFormat, _logging(help="Form of the lines.")]
LogFile = Annotated[
    Path | None,
    _logging(metavar="FILE", help="Default: stderr, or with -d in /var/log."),
]
Background = Annotated[
    Command | None,
    _logging("-d", "--daemon", metavar="COMMAND", help="Background: start, stop, restart, status."),
]
PidFile = Annotated[Path, _logging(metavar="FILE", show_default=False, help=f"With -d: {DEFAULT_PIDFILE}.")]
Version = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
]
