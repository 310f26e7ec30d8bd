"""Roots: what the machine must have, what is made once and kept, and the lab's image.

The modern engine comes from a newer Debian, as a root of its own beside the machine's.
"""

import fcntl
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

from tests.lab.commands import run

Progress = Callable[[str], None]
"""Receives one line about what is being done now."""

TOOLS = (
    *("bash", "busybox", "debootstrap", "docker-init", "dockerd", "ip", "iptables", "nft", "nsenter"),
    *("pgrep", "ping", "pivot_root", "tcpdump", "unshare"),
)
"""What the lab and its tests run; `tests/bootstrap` installs it."""

MODERN_SUITE = "forky"
"""The Debian release whose docker.io is 28.5."""

MODERN_PACKAGES = (
    "docker.io",
    "docker-cli",
    "docker-compose",
    "containerd",
    "runc",
    "iptables",
    "nftables",
    "iproute2",
    "ca-certificates",
    "kmod",
)
SUITE_SCRIPT = "sid"
"""debootstrap's recipe for a suite that is newer than debootstrap itself."""


def missing() -> str:
    """Return what is missing to bring a lab up, or nothing."""
    if os.geteuid() != 0:
        return "root"
    return ", ".join(tool for tool in TOOLS if shutil.which(tool) is None)


def cache_directory() -> Path:
    """Where roots are kept; `DIM_LAB_CACHE` in the environment names another place."""
    return Path(os.environ.get("DIM_LAB_CACHE", "/var/cache/dockeripv6mapper-lab"))


def modern_root() -> Path:
    """Return the root that holds the modern engine; `ensure_modern_root` makes it."""
    return cache_directory() / "modern"


def ensure_modern_root(progress: Progress) -> None:
    """Make the modern engine's root, unless it is there. It is there whole or not at all."""
    cache_directory().mkdir(parents=True, exist_ok=True)
    with (cache_directory() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if modern_root().exists():
            return
        part = modern_root().with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        progress(f"making a {MODERN_SUITE} root for the modern engine, once: about a minute")
        try:
            _debootstrap(part, progress, lock.fileno())
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        part.rename(modern_root())


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


def _debootstrap(target: Path, progress: Progress, lock: int) -> None:
    """Run debootstrap, which ends with us; after a `kill -9` of us it holds `lock` until it is done."""
    argv = (
        # What it mounts in the target, and what it starts, ends with it.
        *("unshare", "--mount", "--pid", "--fork", "--kill-child", "debootstrap", "--variant=minbase"),
        *(f"--include={','.join(MODERN_PACKAGES)}", MODERN_SUITE, str(target), _mirror(), SUITE_SCRIPT),
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
        raise ChildProcessError(f"debootstrap {MODERN_SUITE}: exit code {process.returncode}:\n{tail}")


def _mirror() -> str:
    """Return the archive that apt itself uses, or nothing: debootstrap then takes its own default."""
    filters = ("Created-By: Packages", "Label: Debian", "Component: main")
    done = run("apt-get", "indextargets", "--format", "$(SITE)", *filters, check=False)
    return next(iter(done.stdout.split()), "")
