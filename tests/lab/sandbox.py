"""Boxes: a process and a mount namespace inside a network namespace, with a root of their own.

An engine starts processes that outlive it and mounts file systems; on the machine these would have
to be hunted down one by one. In a box they end with its first process, however they were started,
and the machine's /run, /etc/docker and mount table never see them.
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
"""Where a box sees the directory that it shares with the machine."""

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
"""All that a program in a box inherits: no proxy, context or daemon option of the machine's user."""

SETUP = """
set -eu
root=$1 shared=$2
mount -t tmpfs -o mode=755 lab /run
mkdir /run/root /run/upper /run/work
# What is written to the root is lost with the box. Only the root's own file system is seen.
mount -t overlay -o "lowerdir=$root,upperdir=/run/upper,workdir=/run/work" lab /run/root
for each in proc sys dev; do mount --rbind /$each /run/root/$each; done
mount -t tmpfs -o mode=755 lab /run/root/run
mount -t tmpfs -o mode=1777 lab /run/root/tmp
mkdir /run/root/run/lab /run/root/run/old
# Where a container's mount of the engine's socket looks for it.
ln -s lab/docker.sock /run/root/run/docker.sock
mount --bind "$shared" /run/root/run/lab
cd /run/root
pivot_root . run/old
umount --lazy /run/old
rmdir /run/old
echo ready
# Reaps what the engine orphans, as an init does.
exec docker-init -- sleep infinity
"""


@dataclass(slots=True)
class Sandbox:
    """A place to run programs in, made by `open`, ended with all that runs in it by `close`."""

    namespace: Namespace
    root: Path
    shared: Path
    _process: subprocess.Popen[str] | None = field(default=None, init=False)

    @property
    def is_open(self) -> bool:
        """Whether programs can be started in it."""
        return self._process is not None and self._process.poll() is None

    def open(self) -> None:
        """Set the box up; raises `ChildProcessError` with what its set-up printed."""
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
            *("bash", "-c", SETUP, "box", str(self.root), str(self.shared)),
        )
        self._process = process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=ENVIRONMENT,
            start_new_session=True,  # Ctrl-C at the terminal is for the lab's owner alone
        )
        said = ""
        for line in process.stdout or ():
            if line == "ready\n":
                return
            said += line
        self.close()
        raise ChildProcessError(f"setting up a box on {self.root}: {said.strip()}")

    def start(self, *argv: str, output: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a program inside; what returns is its parent, which ends with it and as it did."""
        assert self._process is not None, "the box is not open"
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
        """A path inside as the machine sees it, /proc with the box's own process numbers included."""
        assert self._process is not None, "the box is not open"
        return Path(f"/proc/{only_child(self._process.pid)}/root{path}")

    def close(self) -> None:
        """End everything inside at once. May be repeated."""
        if self._process is None:
            return
        with self._process as process:
            if self.is_open:
                with suppress(ProcessLookupError):
                    # Its parent, which we await, ends after it, and it ends after all that is inside.
                    os.kill(only_child(process.pid), signal.SIGKILL)
        self._process = None
