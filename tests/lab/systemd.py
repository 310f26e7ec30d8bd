"""A machine with systemd (systemd-nspawn) that shares the network namespace and the engine of a host.

It boots the service root file system; the host's engine socket is mounted into it. So tests use the host and
its containers as usual. An engine inside the machine would be a third engine to start, and would test no more
of the unit.
"""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.commands import CommandError, run
from tests.lab.documented_commands import copy_checkout
from tests.lab.hosts import Host
from tests.lab.prerequisites import SERVICE, ensure_root, ensure_wheelhouse, wheelhouse
from tests.lab.processes import PROC
from tests.lab.sandbox import ENVIRONMENT
from tests.lab.waiting import eventually

BOOT_TIMEOUT = 60.0
"""Seconds until the machine must have booted. On two cores it takes 2 to 4 s."""
SHARED = Path("/srv")
"""Directory in the machine with the engine's directory, the checkout and the wheels."""
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": f"{SHARED}/wheels", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
"""pip's environment: install from the wheels, since the lab has no internet access."""

IN_CGROUPS = """
name=$1
shift
for tree in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
    if [[ -e $tree/cgroup.procs ]]; then
        mkdir -p "$tree/$name"
        echo $$ >"$tree/$name/cgroup.procs"
    fi
done
exec "$@"
"""
"""Runs a command in its own cgroups, named so that `Run.sweep` finds and removes them."""


class Machine:
    """A machine on `host`'s network, running from `__enter__` to `__exit__`. Its file system is volatile."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.checkout = SHARED / "checkout"
        self._name = f"{host.namespace.name}-systemd"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        ensure_root(SERVICE)
        ensure_wheelhouse()
        checkout = self.host.workdir / "checkout"
        if not checkout.exists():
            copy_checkout(checkout)
        mounts = {self.host.engine.workdir: "engine", checkout: "checkout", wheelhouse(): "wheels"}
        binds = [f"--bind={source}:{SHARED / name}" for source, name in mounts.items()]
        with (self.host.workdir / "console.log").open("wb") as console:
            self._process = subprocess.Popen(
                (
                    *(
                        "systemd-nspawn",
                        "--quiet",
                        "--boot",
                        f"--directory={SERVICE.path}",
                        "--volatile=overlay",
                    ),
                    *(
                        "--register=no",
                        "--keep-unit",
                        "--capability=CAP_NET_ADMIN",
                        "--console=pipe",
                        f"--machine={self._name}",
                    ),
                    *(f"--network-namespace-path={self.host.namespace.path}", *binds),
                ),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                env={
                    **ENVIRONMENT,
                    "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
                    "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
                },
                start_new_session=True,
            )
        try:
            eventually(self._is_up, within=BOOT_TIMEOUT, every=0.1)
            self.run("groupadd", "--system", "docker")
            self.grant_engine_access()
        except BaseException:
            self._power_off()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._power_off()

    def run(
        self, *argv: str, check: bool = True, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the machine as root; see `commands.run`."""
        enter = ("nsenter", f"--target={self._leader()}", "--mount", "--pid", "--uts", "--ipc", "--net")
        return run(
            *enter, "--root", "--wd=/", *argv, check=check, stdin=stdin, env={**ENVIRONMENT, **OFFLINE}
        )

    def shell(self, script: str) -> str:
        """Run a shell script on the machine as root, and return its stdout."""
        return self.run("sh", "-c", script).stdout

    def write(self, path: str, text: str) -> None:
        """Write a file on the machine; create its directory if needed."""
        self.run("mkdir", "--parents", str(Path(path).parent))
        self.run("tee", path, stdin=text)

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Return properties of a unit, as `systemctl show` names them."""
        shown = self.run("systemctl", "show", unit, *(f"--property={each}" for each in properties)).stdout
        return dict(line.split("=", 1) for line in shown.splitlines())

    def grant_engine_access(self) -> None:
        """Set the group of the engine's socket to the machine's group docker, as Docker's package does."""
        group = self.run("getent", "group", "docker").stdout.split(":")[2]
        os.chown(self.host.engine.socket, -1, int(group))

    def _leader(self) -> int:
        """Return the PID of the machine's init: the child of nspawn in another PID namespace."""
        assert self._process is not None, "the machine does not run"
        pid = self._process.pid
        children = (PROC / str(pid) / "task" / str(pid) / "children").read_text().split()
        own = (PROC / "self/ns/pid").readlink()
        for child in children:
            with suppress(OSError):
                if (PROC / child / "ns/pid").readlink() != own:
                    return int(child)
        raise AssertionError("the machine has no init process yet")

    def _is_up(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise ChildProcessError(f"booting: {(self.host.workdir / 'console.log').read_text()[-2000:]}")
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in ("running", "degraded")

    def _power_off(self) -> None:
        """Kill the machine: nothing of it is kept."""
        assert self._process is not None
        with self._process, suppress(AssertionError, CommandError, ProcessLookupError):
            os.kill(self._leader(), signal.SIGKILL)
