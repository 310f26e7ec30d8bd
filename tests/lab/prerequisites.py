"""Roots: what the machine must have, what is made once and kept, and the lab's image.

The modern engine comes from a newer Debian, as a root of its own beside the machine's. The service root is a
small Debian with a service manager and a Python: the program is installed there as a user would, and images
of it are built upon it.
"""

import fcntl
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.lab.commands import run

Progress = Callable[[str], None]
"""Receives one line about what is being done now."""

CHECKOUT = Path(__file__).parents[2]
FETCH_TIMEOUT = 300.0
"""Seconds that the packages may take to be fetched."""

TOOLS = (
    *("bash", "busybox", "debootstrap", "docker-init", "dockerd", "ip", "iptables", "nft", "nsenter"),
    *("pgrep", "ping", "pivot_root", "systemd-nspawn", "tcpdump", "unshare"),
)
"""What the lab and its tests run; `tests/bootstrap` installs it."""

SUITE_SCRIPT = "sid"
"""debootstrap's recipe for a suite that is newer than debootstrap itself."""
SERVICE_PYTHON = "3.11"
"""The Python of the service root, for which packages are fetched."""


@dataclass(frozen=True, slots=True)
class RootFilesystem:
    """A root file system that is made once and kept."""

    name: str
    suite: str
    packages: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Where it is, once `ensure_root` has made it."""
        return cache_directory() / self.name


MODERN = RootFilesystem(
    "modern",
    "forky",  # its docker.io is 28.5
    (
        *("docker.io", "docker-cli", "docker-compose", "containerd", "runc"),
        *("iptables", "nftables", "iproute2", "ca-certificates", "kmod"),
    ),
)
SERVICE = RootFilesystem(
    "service",
    "bookworm",
    (
        *("systemd", "systemd-sysv", "dbus", "python3", "python3-venv"),
        *("iptables", "nftables", "iproute2", "procps"),
    ),
)


def no_progress(_: str) -> None:
    """Report no progress."""


def missing() -> str:
    """Return what is missing to bring a lab up, or nothing."""
    if os.geteuid() != 0:
        return "root"
    return ", ".join(tool for tool in TOOLS if shutil.which(tool) is None)


def cache_directory() -> Path:
    """Where roots are kept; `DIM_LAB_CACHE` in the environment names another place."""
    return Path(os.environ.get("DIM_LAB_CACHE", "/var/cache/dockeripv6mapper-lab"))


def wheelhouse() -> Path:
    """Return where the packages are kept that the program is installed from without a network."""
    pinned = hashlib.sha256((CHECKOUT / "requirements.txt").read_bytes()).hexdigest()
    return cache_directory() / f"wheels-{pinned[:12]}"


def ensure_root(root: RootFilesystem, progress: Progress = no_progress) -> None:
    """Make a root, unless it is there. It is there whole or not at all."""
    with _locked_creation(root.path) as (part, lock):
        if part is not None:
            progress(f"making a {root.suite} root, once: about a minute")
            _debootstrap(root, part, progress, lock)


def ensure_wheelhouse(progress: Progress = no_progress) -> None:
    """Fetch what `requirements.txt` pins, and what builds the program, for the service root's Python."""
    with _locked_creation(wheelhouse()) as (part, _):
        if part is not None:
            progress("fetching Python packages, once")
            kind = ("--python-version", SERVICE_PYTHON, "--only-binary=:all:", "--dest", str(part))
            wanted = ("--requirement", str(CHECKOUT / "requirements.txt"), "setuptools>=68", "wheel")
            run(sys.executable, "-m", "pip", "download", "--quiet", *kind, *wanted, timeout=FETCH_TIMEOUT)


@contextmanager
def _locked_creation(path: Path) -> Iterator[tuple[Path | None, int]]:
    """Yield where to make what `path` will be, or None where it is there; nobody else makes it meanwhile.

    With it the file descriptor of the lock.
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
    """Return a root file system for `docker import`: busybox, and a link for each of its applets."""
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
    """Run debootstrap, which ends with us; after a `kill -9` of us it holds `lock` until it is done."""
    argv = (
        # What it mounts in the target, and what it starts, ends with it.
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
    """Return the archive that apt itself uses, or nothing: debootstrap then takes its own default."""
    filters = ("Created-By: Packages", "Label: Debian", "Component: main")
    done = run("apt-get", "indextargets", "--format", "$(SITE)", *filters, check=False)
    return next(iter(done.stdout.split()), "")
