"""Where the modern engine comes from: its Debian root, or what `--engine-root DIR` names instead.

DIR is a root file system with an engine of release 28 or later, or a directory that has `dockerd` and its
companions, as Docker's own static release is unpacked. Such programs run in the Debian root, whose tools they
need: iptables, nft, ip.
"""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.lab.commands import run
from tests.lab.prerequisites import MODERN

VARIABLE = "DIM_LAB_ENGINE_ROOT"
"""The environment variable in which `tests/bootstrap` hands DIR over."""
ENGINE = "dockerd"
OLDEST = 28
"""The lab's modern engine knows gateway modes, and filters IPv6 by default."""


@dataclass(frozen=True, slots=True)
class EngineRoot:
    """An engine's files."""

    root: Path
    """The root file system that it runs in."""
    programs: Path | None = None
    """The directory of its programs, on the machine; None: they are in the root."""

    @property
    def client(self) -> Path:
        """The `docker` client: its path on the machine."""
        return (self.programs or self.root / "usr/bin") / "docker"

    @property
    def release(self) -> str:
        """The engine's version, as major.minor."""
        return _release(self)


@cache
def modern_engine() -> EngineRoot:
    """The engine that `--engine-root` names, else that of the Debian root. Raises `ValueError`."""
    if not (named := os.environ.get(VARIABLE)):
        return EngineRoot(MODERN.path)
    directory = Path(named).resolve()
    # The static release unpacks to a directory `docker`.
    unpacked = next((each for each in (directory, directory / "docker") if (each / ENGINE).is_file()), None)
    if unpacked is not None:
        found = EngineRoot(MODERN.path, unpacked)
    elif any((directory / place / ENGINE).is_file() for place in ("usr/bin", "usr/sbin")):
        found = EngineRoot(directory)
    else:
        raise ValueError(f"--engine-root {named}: no {ENGINE} in it, nor in its usr/bin or usr/sbin")
    if not found.client.is_file():
        raise ValueError(f"--engine-root {named}: there is no client {found.client}")
    if int(found.release.partition(".")[0]) < OLDEST:
        raise ValueError(
            f"--engine-root {named}: its engine is {found.release}; the lab needs {OLDEST} or later"
        )
    return found


@cache
def _release(engine: EngineRoot) -> str:
    """What `dockerd --version` says: `Docker version 28.5.2, build …`."""
    if engine == EngineRoot(MODERN.path):
        return "28.5"
    command = (
        ("chroot", str(engine.root), ENGINE) if engine.programs is None else (str(engine.programs / ENGINE),)
    )
    version = run(*command, "--version").stdout.split()[2]
    return ".".join(version.split(".")[:2])
