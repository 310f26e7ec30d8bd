"""The options of the program, which stand before a command: type, help text, and how a value is parsed.

Each option has an alias here, which keeps `main.run` short. The defaults are in `main.run`.
"""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from dockeripv6mapper import __version__, settings
from dockeripv6mapper.daemon.detach import DEFAULT_LOGFILE, Command
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


Debug = Annotated[bool, typer.Option("--debug", help="Log everything.")]
Info = Annotated[bool, typer.Option("--info", help="Log every change (the default).")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Log only warnings and errors.")]
LogFormat = Annotated[
    logs.LogFormat,
    typer.Option(help="auto: colours on a terminal, priorities to the journal, else plain lines."),
]
Background = Annotated[
    Command | None,
    typer.Option(
        "-d", "--daemon", help="Start, stop or restart the daemon in the background; print whether it runs."
    ),
]
PidFile = Annotated[Path, typer.Option(metavar="FILE", help="The pid file of the daemon in the background.")]
LogFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help=f"Append the log to this file, not to stderr; with -d: {DEFAULT_LOGFILE}."
    ),
]
DockerHost = Annotated[
    str | None, typer.Option(metavar="URL", help="The engine; default: DOCKER_HOST, else the local socket.")
]
Uplinks = Annotated[
    list[str] | None,
    typer.Option(
        metavar="LINK",
        help="Proxy on this interface, by its name or an alternative name; default: each with an IPv6 "
        "default route.",
    ),
]
Proxy = Annotated[
    ProxyMode, typer.Option(help="Proxy the addresses of mapped containers, of all containers, or none.")
]
Scheme = Annotated[
    settings.Scheme,
    typer.Option(help="How a name becomes an address suffix, unless the network's label sets it."),
]
AllowNetworks = Annotated[
    list[str] | None,
    typer.Option(metavar="NETWORK", help="A network that labels may name; default: any."),
]
TrustImageLabels = Annotated[
    bool, typer.Option("--trust-image-labels", help="Also use labels that come from an image.")
]
DefaultRoute = Annotated[
    bool,
    typer.Option(help="Make a container's IPv6 default route use its mapped network (engine 28 and later)."),
]
Firewall = Annotated[
    FirewallMode,
    typer.Option(
        help="engine: open the ports that labels name; closed: also drop other new connections; off: neither."
    ),
]
FwMark = Annotated[str, typer.Option(metavar="BIT", help="The packet mark that opens the engine's firewall.")]
NdSource = Annotated[
    settings.NdSource,
    typer.Option(
        help="Who answers neighbour solicitations. kernel: the kernel; target: the daemon too, from the "
        "solicited address; auto: as target where the kernel's answers do not reach the router."
    ),
]
Sysctl = Annotated[bool, typer.Option(help="Set the sysctls that proxying needs.")]
SysctlDir = Annotated[
    Path, typer.Option(metavar="DIRECTORY", help="Where the host's IPv6 sysctls are mounted.")
]
Resync = Annotated[
    float, typer.Option(metavar="SECONDS", min=1, max=86400, help="Interval between full passes.")
]
StateDir = Annotated[
    Path,
    typer.Option(
        metavar="DIRECTORY",
        # Commands that change nothing do not need it, and any user may run them.
        readable=False,
        help="State that must survive the process, but not a reboot.",
    ),
]
Metrics = Annotated[
    str | None, typer.Option(metavar="ADDRESS:PORT", help="Serve metrics for Prometheus there.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and change nothing.")]
Version = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
]
