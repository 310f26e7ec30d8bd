"""A bare Debian of another release, where the commands of `tests/` are run as a user runs them.

It has apt, Python and nothing that the commands install. The first command installs that, which is kept for
the next run of the tests, until `tests/bootstrap` or the dependencies change. It is on the machine's network,
and asks the machine's Debian mirror. Python packages come from a wheelhouse of its own, so that pip needs
neither the machine's settings nor a network.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab.commands import run
from tests.lab.documented_commands import copy_checkout
from tests.lab.prerequisites import (
    CHECKOUT,
    Progress,
    RootFilesystem,
    cache_directory,
    development_requirements,
    development_wheelhouse,
    digest,
    ensure_root,
    no_progress,
)

PLACE = Path("srv/checkout")
"""The checkout, in the root file system."""
WHEELS = Path("srv/wheels")
PREPARATION = ("tests/demo", "--help")
"""A command that does what `tests/bootstrap` does, and no more."""
APT_SETTINGS = ("Acquire::http", "Acquire::https", "Acquire::Retries")
"""The machine's settings that lead to its mirror, through a proxy for example."""
PIP_SETTINGS = f"[global]\nno-index = true\nfind-links = /{WHEELS}\n"

SETUP = """
set -eu
root=$1 checkout=$2
shift 2
mount --bind "$root" "$root"
for each in proc sys dev; do mount --rbind "/$each" "$root/$each"; done
mount -t tmpfs -o mode=755 lab "$root/run"
mount -t tmpfs -o mode=1777 lab "$root/tmp"
cd "$root"
pivot_root . mnt
umount --lazy /mnt
cd "$checkout"
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class BareDebian:
    """A root file system, and the version of its Python."""

    base: RootFilesystem
    python: str

    @property
    def prepared(self) -> Path:
        """The root file system in which the commands have installed what they need."""
        bootstrap = (CHECKOUT / "tests/bootstrap").read_text()
        return cache_directory() / f"{self.base.name}-{digest(bootstrap, *development_requirements())}"

    @contextmanager
    def entered(self, progress: Progress = no_progress) -> Iterator["Inside"]:
        """Prepare it where that is not cached, copy the checkout into it, and keep it for one process."""
        ensure_root(self.base, progress)
        with (cache_directory() / f"{self.base.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self.prepared.exists():
                self._prepare(progress)
            _copy_checkout(self.prepared / PLACE)
            yield Inside(self.prepared)

    def _prepare(self, progress: Progress) -> None:
        """Copy the bare root, and run a command in it. A failed attempt leaves nothing."""
        progress(f"running {' '.join(PREPARATION)} on {self.base.suite}, once: about two minutes")
        for former in cache_directory().glob(f"{self.base.name}-*"):
            shutil.rmtree(former)
        part = cache_directory() / f"{self.base.name}.part"
        shutil.rmtree(part, ignore_errors=True)
        run("cp", "--archive", "--one-file-system", str(self.base.path), str(part))
        (part / "etc/pip.conf").write_text(PIP_SETTINGS)
        (part / "etc/apt/apt.conf.d/99mirror").write_text(_apt_settings())
        shutil.copytree(development_wheelhouse(self.python, progress), part / WHEELS)
        _copy_checkout(part / PLACE)
        Inside(part).run(*PREPARATION, timeout=900)
        shutil.rmtree(part / WHEELS)
        part.rename(self.prepared)


@dataclass(frozen=True, slots=True)
class Inside:
    """Runs commands in a root file system. They see the machine's processes, devices and network."""

    root: Path

    def run(self, *argv: str, timeout: float) -> str:
        """Run a command as root in the checkout; return what it printed. Raises `AssertionError`."""
        enter = ("unshare", "--mount", "--propagation", "private", "bash", "-c", SETUP, "bare")
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
        done = subprocess.run(
            (*enter, str(self.root), f"/{PLACE}", *argv),
            env={"PATH": path, "HOME": "/root", "LANG": "C.UTF-8", "COLUMNS": "110", **proxies},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(argv)}: exit code {done.returncode}:\n{done.stdout}"
        return done.stdout


def _copy_checkout(target: Path) -> None:
    """Replace the files of the checkout, but not what was installed in it."""
    target.mkdir(parents=True, exist_ok=True)
    for each in target.iterdir():
        if each.is_dir() and each.name != ".venv":
            shutil.rmtree(each)
    copy_checkout(target)
    # What was installed is never older than this file: the root's name depends on what it requires.
    os.utime(target / "pyproject.toml", (0, 0))


def _apt_settings() -> str:
    lines = run("apt-config", "dump").stdout.splitlines()
    settings = [line for line in lines if line.startswith(APT_SETTINGS)]
    # Like debootstrap, which has just made the root from this mirror. A frozen mirror's lists are old.
    return "\n".join((*settings, 'Acquire::Check-Valid-Until "false";', ""))
