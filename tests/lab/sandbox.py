"""A sandbox: a PID and a mount namespace inside a network namespace, with its own root file system.

An engine starts processes that outlive it, and mounts file systems. In a sandbox all of them end with its
first process (PID 1), and the machine's /run, /etc/docker and mount table stay unchanged.
"""

import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests.lab.namespaces import Namespace
from tests.lab.processes import only_child

SHARED = Path("/run/lab")
"""Path inside the sandbox of the directory that it shares with the machine."""
PROGRAMS = Path("/run/engine")
"""Path inside the sandbox of an engine's programs that are not in its root."""

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
"""The whole environment of a program in a sandbox: no proxy, Docker context or daemon option of the user."""

SETUP = """
set -eu
root=$1 shared=$2 programs=$3
mount -t tmpfs -o mode=755 lab /run
mkdir /run/root /run/upper /run/work
# Changes of the root file system are lost with the sandbox.
mount -t overlay -o "lowerdir=$root,upperdir=/run/upper,workdir=/run/work" lab /run/root
for each in proc sys dev; do mount --rbind /$each /run/root/$each; done
mount -t tmpfs -o mode=755 lab /run/root/run
mount -t tmpfs -o mode=1777 lab /run/root/tmp
mkdir /run/root/run/lab /run/root/run/old /run/root/run/engine
[ -z "$programs" ] || mount --bind "$programs" /run/root/run/engine
# The path that containers mount to reach the engine's socket.
ln -s lab/docker.sock /run/root/run/docker.sock
mount --bind "$shared" /run/root/run/lab
cd /run/root
pivot_root . run/old
umount --lazy /run/old
rmdir /run/old
echo ready
# PID 1 reaps the processes that the engine orphans. Docker's own packages have it outside of the PATH.
export PATH="$PATH:/usr/libexec/docker"
exec docker-init -- sleep infinity
"""


@dataclass(slots=True)
class Sandbox:
    """Runs programs between `open` and `close`; `close` kills all of them."""

    namespace: Namespace
    root: Path
    shared: Path
    programs: Path | None = None
    """A directory of the machine that is mounted at `PROGRAMS`."""
    _process: subprocess.Popen[str] | None = field(default=None, init=False)

    @property
    def is_open(self) -> bool:
        """Whether programs can be started inside."""
        return self._process is not None and self._process.poll() is None

    def open(self) -> None:
        """Create the namespaces and mounts. Raises `ChildProcessError` with what the setup printed."""
        argv = self.namespace.nsenter(
            *(
                "unshare",
                "--mount",
                "--propagation",
                "slave",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
            ),
            *("bash", "-c", SETUP, "sandbox", str(self.root), str(self.shared)),
            str(self.programs or ""),
        )
        self._process = process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=ENVIRONMENT,
            start_new_session=True,  # Ctrl-C at the terminal must reach only the owner of the lab
        )
        printed = ""
        for line in process.stdout or ():
            if line == "ready\n":
                return
            printed += line
        self.close()
        raise ChildProcessError(f"setting up a sandbox on {self.root}: {printed.strip()}")

    def start(self, *argv: str, output: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a program inside. Returns its parent `nsenter`, which ends with it and with its exit code."""
        assert self._process is not None, "the sandbox is not open"
        proc = f"/proc/{self._process.pid}/ns"
        enter = ("nsenter", f"--mount={proc}/mnt", f"--pid={proc}/pid_for_children")
        return subprocess.Popen(
            self.namespace.nsenter(*enter, *argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=ENVIRONMENT,
            start_new_session=True,
        )

    def host_path(self, path: str) -> Path:
        """Return the machine's path of a path inside. Below /proc, PIDs are those of the sandbox."""
        assert self._process is not None, "the sandbox is not open"
        return Path(f"/proc/{only_child(self._process.pid)}/root{path}")

    def close(self) -> None:
        """Kill everything inside. May be repeated."""
        if self._process is None:
            return
        with self._process as process:
            if self.is_open:
                with suppress(ProcessLookupError):
                    # PID 1 ends after all other processes inside; `unshare`, its parent, ends after PID 1.
                    os.kill(only_child(process.pid), signal.SIGKILL)
        self._process = None
