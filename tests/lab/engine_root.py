"""Where an engine's files are, and its options: `--engine-root DIR`, `--engine-flag FLAG`.

The files are on the machine, in a Debian root, or in DIR, which replaces the modern engine. DIR is a root
file system with an engine of release 28 or later, or a directory that has `dockerd` and its companions, as
Docker's own static release is unpacked. Such programs run in the modern engine's Debian root, whose tools
they need: iptables, nft, ip. FLAG is an option of the modern engine's dockerd.
"""

import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.lab.commands import run
from tests.lab.prerequisites import MODERN, RootFilesystem, machine_suite

VARIABLE = "DIM_LAB_ENGINE_ROOT"
"""The environment variable in which `tests/bootstrap` hands DIR over."""
FLAGS_VARIABLE = "DIM_LAB_ENGINE_FLAGS"
"""The variable with the flags, one a line."""
ENGINE = "dockerd"
BACKEND = "--firewall-backend nftables"
ACCEPTED_MARK = "--bridge-accept-fwmark"
"""With the nftables backend, the engine accepts marked packets only if this option names the mark."""
MAPPER_MARK = "0x1000000"
"""Default of the mapper's `--fwmark`."""
OLDEST_NAMED = 28
"""Release. The lab's modern engine knows gateway modes, and filters IPv6 by default."""


@dataclass(frozen=True, slots=True)
class EngineRoot:
    """An engine's files."""

    release: str
    """The engine's version, as major.minor."""
    root: Path
    """The root file system that it runs in."""
    programs: Path | None = None
    """The directory of its programs, on the machine; None: they are in the root."""

    @property
    def client(self) -> Path:
        """The `docker` client: its path on the machine."""
        return (self.programs or self.root / "usr/bin") / "docker"


def debian_engine(debian: RootFilesystem) -> EngineRoot:
    """The engine of a Debian release: the machine's own where the machine is of that release."""
    return EngineRoot(debian.engine, Path("/") if debian.suite == machine_suite() else debian.path)


@cache
def named_engine() -> EngineRoot | None:
    """The engine that `--engine-root` names; None without that option. Raises `ValueError`."""
    if not (named := os.environ.get(VARIABLE)):
        return None
    directory = Path(named).resolve()
    # The static release unpacks to a directory `docker`.
    unpacked = next((each for each in (directory, directory / "docker") if (each / ENGINE).is_file()), None)
    if unpacked is not None:
        found = EngineRoot(_release(str(unpacked / ENGINE)), debian_engine(MODERN).root, unpacked)
    elif any((directory / place / ENGINE).is_file() for place in ("usr/bin", "usr/sbin")):
        found = EngineRoot(_release("chroot", str(directory), ENGINE), directory)
    else:
        raise ValueError(f"--engine-root {named}: no {ENGINE} in it, nor in its usr/bin or usr/sbin")
    if not found.client.is_file():
        raise ValueError(f"--engine-root {named}: there is no client {found.client}")
    if int(found.release.partition(".")[0]) < OLDEST_NAMED:
        raise ValueError(
            f"--engine-root {named}: its engine is {found.release}; the lab needs {OLDEST_NAMED} or later"
        )
    return found


def engine_flags() -> tuple[str, ...]:
    """The options of dockerd that `--engine-flag` names, and what its backend nftables needs besides."""
    flags = _named_flags()
    if not filters_with_nftables() or any(flag.startswith(ACCEPTED_MARK) for flag in flags):
        return flags
    return (*flags, f"{ACCEPTED_MARK}={MAPPER_MARK}/{MAPPER_MARK}")


def filters_with_nftables() -> bool:
    """Whether the flags choose the engine's backend nftables."""
    return BACKEND in " ".join(_named_flags()).replace("=", " ")


def _named_flags() -> tuple[str, ...]:
    return tuple(os.environ.get(FLAGS_VARIABLE, "").splitlines())


def _release(*engine: str) -> str:
    """Return the release that a dockerd prints: `Docker version 28.5.2, build …`."""
    printed = run(*engine, "--version").stdout
    found = re.search(r"version (\d+\.\d+)", printed)
    if found is None:
        raise ValueError(f"{' '.join(engine)} --version prints {printed.strip()!r}")
    return found[1]
