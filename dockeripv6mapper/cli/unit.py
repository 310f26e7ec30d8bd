"""`install-unit`: write the systemd unit that starts the program where it is installed.

The unit is a file of the package, the same as `DockerIPV6Mapper.service` of the checkout.
"""

import re
import sys
import sysconfig
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from dockeripv6mapper.cli.options import option
from dockeripv6mapper.errors import MapperError
from dockeripv6mapper.settings import Settings

PROGRAM = "DockerIPV6Mapper.py"
UNIT = "DockerIPV6Mapper.service"
DEFAULT_DIRECTORY = Path("/etc/systemd/system")
MARK = "Documentation=man:DockerIPV6Mapper(8)"
"""A line of every version of the unit. A unit without it is another program's."""
EXEC_START = re.compile(r"^ExecStart=.*$", re.MULTILINE)
HIDDEN = tuple(map(Path, ("/home", "/root", "/run/user", "/tmp", "/var/tmp")))  # noqa: S108
"""Directories that the unit hides from the daemon (ProtectHome=, PrivateTmp=)."""
SAFE_PATH = re.compile(r"[\w./+@-]+")
"""A path without characters that have a meaning in ExecStart=."""
INSTALL_ELSEWHERE = (
    "install it into /opt: /usr/bin/python3 -m venv /opt/dockeripv6mapper && "
    "/opt/dockeripv6mapper/bin/pip install .; "
    "or PIPX_HOME=/opt/pipx PIPX_BIN_DIR=/usr/local/bin pipx install .; "
    "or UV_TOOL_DIR=/opt/uv UV_TOOL_BIN_DIR=/usr/local/bin uv tool install --python /usr/bin/python3 ."
)


def install_unit(
    context: typer.Context,
    directory: Annotated[Path, option(metavar="DIR", help="Where the unit is written.")] = DEFAULT_DIRECTORY,
    dry_run: Annotated[bool, option("--dry-run", help="Print the unit, and write nothing.")] = False,
    force: Annotated[bool, option("--force", help="Replace another program's unit too.")] = False,
) -> None:
    """Write the systemd unit that starts this installation, and print what to type next.

    It works for a venv, pipx and uv tool. A place that the unit hides from the daemon, as /home, is an error.
    """
    settings: Settings = context.obj
    script = Path(sysconfig.get_path("scripts"), PROGRAM)
    check_place(script, needed_files(script))
    text = unit_text(script)
    target = directory / UNIT
    outcome = _outcome(target, text, force=force)
    if dry_run or settings.dry_run:
        typer.echo(text, nl=False)
        typer.echo(f"dry run: {target} would be {outcome}", err=True)
        return
    try:
        _write(target, text)
    except OSError as error:
        raise MapperError(f"writing {target}: {error.strerror}", hint="run it as root") from error
    typer.echo(f"{outcome}: {target}, which starts {script}")
    start = "enable --now" if outcome == "written" else "restart"
    typer.echo(f"next:\n  systemctl daemon-reload\n  systemctl {start} DockerIPV6Mapper")


def needed_files(script: Path) -> list[Path]:
    """What the daemon reads to start: script, interpreter, package; also where links lead."""
    named = [script, Path(sys.executable), Path(sys.prefix), Path(sys.base_prefix), Path(__file__)]
    return [*named, *(path.resolve() for path in named)]


def check_place(script: Path, needed: list[Path]) -> None:
    """Raise `MapperError` if a unit cannot start `script`."""
    if not script.is_file():
        raise MapperError(f"finding the program: there is no {script}", hint=INSTALL_ELSEWHERE)
    if not SAFE_PATH.fullmatch(str(script)):
        raise MapperError(
            f"writing a unit for {script}: systemd would misread this path", hint=INSTALL_ELSEWHERE
        )
    for path in needed:
        if any(path.is_relative_to(hidden) for hidden in HIDDEN):
            raise MapperError(
                f"writing a unit for {script}: the unit hides {path} from the daemon", hint=INSTALL_ELSEWHERE
            )


def unit_text(script: Path) -> str:
    """The unit, with `script` as its command."""
    text = files("dockeripv6mapper").joinpath(UNIT).read_text()
    return EXEC_START.sub(f"ExecStart={script}", text)


def _outcome(target: Path, text: str, *, force: bool) -> str:
    """What writing does: "written", "replaced" or "unchanged". Raises `MapperError` at a foreign unit."""
    try:
        present = target.read_text()
    except FileNotFoundError:
        return "written"
    except OSError as error:
        raise MapperError(f"reading {target}: {error.strerror}", hint="run it as root") from error
    if present == text:
        return "unchanged"
    if MARK not in present.splitlines() and not force:
        raise MapperError(
            f"writing {target}: the unit that exists is not the mapper's", hint="look at it, then use --force"
        )
    return "replaced"


def _write(target: Path, text: str) -> None:
    """Replace the file at once, so that systemd never reads a half of it."""
    new = target.with_name(f".{target.name}.new")
    new.write_text(text)
    new.chmod(0o644)
    new.replace(target)
