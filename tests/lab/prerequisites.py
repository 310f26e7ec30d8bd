"""What the lab needs: tools of the machine, cached root file systems and packages, and a busybox image.

`OLDEST`, `STABLE` and `MODERN` are Debian releases with their Docker Engines. `SERVICE` is a small Debian
with systemd and Python: the program is installed there as documented for users, and it is the base of the
program's image.
"""

import fcntl
import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab.commands import run

Progress = Callable[[str], None]
"""Receives one line of progress."""

CHECKOUT = Path(__file__).parents[2]
FETCH_TIMEOUT = 300.0
"""Seconds until the download of the packages is aborted."""

TOOLS = (
    *("bash", "busybox", "debootstrap", "docker", "docker-init", "dockerd", "ip", "iptables", "nft"),
    *("nsenter", "pgrep", "ping", "pivot_root", "systemd-nspawn", "tcpdump", "unshare"),
)
"""Commands that the lab and its tests run; `tests/bootstrap` installs them."""

SUITE_SCRIPT = "sid"
"""debootstrap's script for a suite that it does not know because it is newer."""
SERVICE_PYTHON = "3.11"
"""Python version of the service root; packages are downloaded for it."""


@dataclass(frozen=True, slots=True)
class RootFilesystem:
    """A root file system, made once and cached."""

    name: str
    suite: str
    packages: tuple[str, ...]
    engine: str = ""
    """Release of its Docker Engine, as major.minor; empty: it has none."""

    @property
    def path(self) -> Path:
        """Its directory, after `ensure_root`."""
        return cache_directory() / self.name


ENGINE_PACKAGES = (
    *("docker.io", "containerd", "runc"),
    *("iptables", "nftables", "iproute2", "ca-certificates", "kmod"),
)
OLDEST = RootFilesystem("oldest", "bookworm", ENGINE_PACKAGES, engine="20.10")
STABLE = RootFilesystem("stable", "trixie", (*ENGINE_PACKAGES, "docker-cli"), engine="26.1")
MODERN = RootFilesystem("modern", "forky", (*ENGINE_PACKAGES, "docker-cli", "docker-compose"), engine="28.5")
SERVICE = RootFilesystem(
    "service",
    "bookworm",
    (
        *("systemd", "systemd-sysv", "dbus", "python3", "python3-venv"),
        *("iptables", "nftables", "iproute2", "procps"),
    ),
)
BARE_PACKAGES = ("python3", "ca-certificates")
"""What Debian's installer installs, of what the commands need; debootstrap's smallest variant does not."""
BARE_STABLE = RootFilesystem("bare-stable", "trixie", BARE_PACKAGES)
BARE_TESTING = RootFilesystem("bare-testing", "forky", (*BARE_PACKAGES, "sudo"))


def no_progress(_: str) -> None:
    """Report no progress."""


def missing() -> str:
    """Return the missing prerequisites, separated by commas; empty if the lab can run."""
    if os.geteuid() != 0:
        return "root"
    return ", ".join(tool for tool in TOOLS if shutil.which(tool) is None)


def machine_suite() -> str:
    """Return the name of the machine's Debian release, as `bookworm`."""
    return platform.freedesktop_os_release().get("VERSION_CODENAME", "")


def cache_directory() -> Path:
    """Directory of the cache; the environment variable `DIM_LAB_CACHE` overrides it."""
    return Path(os.environ.get("DIM_LAB_CACHE", "/var/cache/dockeripv6mapper-lab"))


def wheelhouse() -> Path:
    """Return the directory of the wheels from which the program is installed offline."""
    return cache_directory() / f"wheels-{digest((CHECKOUT / 'requirements.txt').read_text())}"


def digest(*texts: str) -> str:
    """Return twelve hexadecimal digits that change with the texts."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]


def development_requirements() -> list[str]:
    """Return what `pip install -e .[dev]` installs, without what that needs in turn."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    return [each for each in (*project["dependencies"], *extras) if not each.startswith(project["name"])]


def ensure_root(root: RootFilesystem, progress: Progress = no_progress) -> None:
    """Make a root file system, unless it is cached. Atomic: a failed attempt leaves nothing."""
    with _locked_creation(root.path) as (part, lock):
        if part is not None:
            progress(f"making a {root.suite} root, once: about a minute")
            _debootstrap(root, part, progress, lock)


def ensure_wheelhouse(progress: Progress = no_progress) -> None:
    """Download the pinned requirements and the build tools, for the service root's Python."""
    _download(wheelhouse(), SERVICE_PYTHON, ("--requirement", str(CHECKOUT / "requirements.txt")), progress)


def development_wheelhouse(python: str, progress: Progress = no_progress) -> Path:
    """Download the development requirements for a version of Python; return the directory."""
    wanted = development_requirements()
    directory = cache_directory() / f"wheels-dev-{python}-{digest(*wanted)}"
    _download(directory, python, wanted, progress)
    return directory


def _download(directory: Path, python: str, wanted: Iterable[str], progress: Progress) -> None:
    """Download wheels and the build tools, unless the directory is cached."""
    with _locked_creation(directory) as (part, _):
        if part is not None:
            progress(f"fetching Python packages for Python {python}, once")
            kind = ("--python-version", python, "--only-binary=:all:", "--dest", str(part))
            pip = (sys.executable, "-m", "pip", "download", "--quiet")
            run(*pip, *kind, *wanted, "setuptools>=68", "wheel", timeout=FETCH_TIMEOUT)


@contextmanager
def _locked_creation(path: Path) -> Iterator[tuple[Path | None, int]]:
    """Hold the cache's lock; yield a temporary path to create, or None if `path` exists, and the lock's fd.

    The temporary path is renamed to `path` afterwards, or removed after an exception.
    """
    cache_directory().mkdir(parents=True, exist_ok=True)
    with (cache_directory() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            yield None, lock.fileno()
            return
        part = path.with_name(f"{path.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        try:
            yield part, lock.fileno()
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        part.rename(path)


def busybox_image() -> bytes:
    """Return a tar archive for `docker import`: busybox with a link for each applet."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise FileNotFoundError("making the lab's image: busybox is not installed (package busybox-static)")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(Path(busybox).resolve(), "bin/busybox")
        for directory in ("tmp", "etc", "root"):
            member = tarfile.TarInfo(directory)
            member.type = tarfile.DIRTYPE
            member.mode = 0o755
            tar.addfile(member)
        for applet in run(busybox, "--list").stdout.split():
            if applet != "busybox":
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type = tarfile.SYMTYPE
                link.linkname = "busybox"
                tar.addfile(link)
    return buffer.getvalue()


def _debootstrap(root: RootFilesystem, target: Path, progress: Progress, lock: int) -> None:
    """Run debootstrap as a child that inherits `lock`: after `kill -9` of this process it keeps the lock."""
    argv = (
        # The namespaces remove its mounts and child processes with it.
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "debootstrap", "--variant=minbase"),
        *(f"--include={','.join(root.packages)}", root.suite, str(target), _mirror(), SUITE_SCRIPT),
    )
    pipe = subprocess.PIPE
    tail = ""
    with subprocess.Popen(
        argv, stdout=pipe, stderr=subprocess.STDOUT, text=True, pass_fds=(lock,)
    ) as process:
        try:
            for line in process.stdout or ():
                tail = (tail + line)[-2000:]
                progress(line.strip())
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise ChildProcessError(f"debootstrap {root.suite}: exit code {process.returncode}:\n{tail}")


def _mirror() -> str:
    """Return the URL of the Debian mirror of apt; empty: debootstrap uses its default."""
    filters = ("Created-By: Packages", "Label: Debian", "Component: main")
    done = run("apt-get", "indextargets", "--format", "$(SITE)", *filters, check=False)
    return next(iter(done.stdout.split()), "")
