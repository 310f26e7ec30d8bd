"""Docker Engines of the lab: each dockerd runs in a sandbox and is controlled by its own `docker` client."""

import json
import os
import signal
import subprocess
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Self

from tests.lab.commands import DEFAULT_TIMEOUT, run
from tests.lab.engine_root import EngineRoot, debian_engine, engine_flags, filters_with_nftables, named_engine
from tests.lab.namespaces import Namespace
from tests.lab.prerequisites import (
    MODERN,
    OLDEST,
    STABLE,
    Progress,
    RootFilesystem,
    ensure_root,
    machine_suite,
    no_progress,
)
from tests.lab.processes import only_child
from tests.lab.sandbox import ENVIRONMENT, PROGRAMS, SHARED, Sandbox
from tests.lab.waiting import eventually

IMAGE = "busybox:lab"
Version = tuple[int, int]
"""Major and minor number of an engine's release."""
LOSING_MAC: tuple[Version, Version] = (25, 0), (29, 3)
"""The first version that cannot keep a MAC address in a move, and the first that can again."""
FILTERING_IPV6: Version = (27, 0)
WITH_PRIORITIES: Version = (28, 0)
TAKING_ANY_ADDRESS: Version = (29, 0)
START_TIMEOUT = 60.0
"""Seconds until an engine must answer. Three engines starting together on two cores take 4 s."""

STOP_TIMEOUT = 30.0
"""Seconds until an engine must have stopped its containers and exited."""

LOG_TAIL = 4000
"""Characters of the engine's log in an error message."""


class EngineError(Exception):
    """An engine did not start. The message contains the end of its log."""


class Flavour(Enum):
    """An engine of the lab, and the Debian release that it comes from."""

    OLDEST = "oldest"
    STABLE = "stable"
    MODERN = "modern"

    @classmethod
    def of_machine(cls) -> Self:
        """The engine of the machine's Debian release; on another system the modern one."""
        suite = machine_suite()
        return next((each for each in cls if each.debian.suite == suite), cls.MODERN)

    @property
    def debian(self) -> RootFilesystem:
        """The Debian release."""
        return {Flavour.OLDEST: OLDEST, Flavour.STABLE: STABLE, Flavour.MODERN: MODERN}[self]

    @property
    def files(self) -> EngineRoot:
        """Its files. `--engine-root` replaces those of the modern engine."""
        named = named_engine() if self is Flavour.MODERN else None
        return named or debian_engine(self.debian)

    def ensure_files(self, progress: Progress = no_progress) -> None:
        """Make the Debian root that it runs in, unless that is cached or not needed."""
        if self.files.root == self.debian.path:
            ensure_root(self.debian, progress)

    @property
    def release(self) -> str:
        """The engine's version, as major.minor."""
        return self.files.release

    @property
    def filters_ipv6(self) -> bool:
        """Whether it filters IPv6 by default, and knows gateway modes of networks."""
        return self._version >= FILTERING_IPV6

    @property
    def filters_with_nftables(self) -> bool:
        """Whether it writes rules of nftables, not of ip6tables: there is no chain DOCKER-USER."""
        return self is Flavour.MODERN and filters_with_nftables()

    @property
    def keeps_mac(self) -> bool:
        """Whether a move to another address keeps the container's MAC address."""
        return not LOSING_MAC[0] <= self._version < LOSING_MAC[1]

    @property
    def has_priorities(self) -> bool:
        """Whether a gateway priority decides which network gives the default routes."""
        return self._version >= WITH_PRIORITIES

    @property
    def takes_any_address(self) -> bool:
        """Whether it takes requested addresses in a subnet that it chose itself."""
        return self._version >= TAKING_ANY_ADDRESS

    @property
    def _version(self) -> Version:
        major, minor = self.release.split(".")
        return int(major), int(minor)


class Engine:
    """One engine in one network namespace.

    `workdir` holds its data, socket and log, which remain after a stop. `ip6tables`, `legacy` and `flags`
    (more options of dockerd) may be changed and take effect at the next start.

    ip6tables  enables the IPv6 filter of an engine before 27: off by default; if on, only published ports
               are reachable
    legacy     uses the legacy backend of iptables, whatever the machine's default is
    """

    def __init__(
        self,
        flavour: Flavour,
        namespace: Namespace,
        workdir: Path,
        *,
        ip6tables: bool = False,
        flags: tuple[str, ...] = (),
    ) -> None:
        self.flavour = flavour
        self.namespace = namespace
        self.workdir = workdir
        self.ip6tables = ip6tables
        self.legacy = False
        self.flags = flags
        self._sandbox = Sandbox(namespace, flavour.files.root, workdir, flavour.files.programs)
        self._parent: subprocess.Popen[bytes] | None = None
        self._pid = 0

    @property
    def socket(self) -> Path:
        """The engine's API socket: its path on the machine."""
        return self.workdir / "docker.sock"

    @property
    def url(self) -> str:
        """The value of DOCKER_HOST for this engine."""
        return f"unix://{self.socket}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment that makes `docker` and `docker compose` clients of this engine."""
        user = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
        path = f"{self.workdir / 'bin'}:{os.environ['PATH']}"
        overrides = {"DOCKER_HOST": self.url, "DOCKER_CONFIG": str(self.workdir / "client"), "PATH": path}
        return user | overrides

    @property
    def log(self) -> str:
        """The whole log, of all starts."""
        return (self.workdir / "dockerd.log").read_text(errors="replace")

    @property
    def running(self) -> bool:
        """Whether the engine's process runs."""
        return self._parent is not None and self._parent.poll() is None

    def start(self) -> None:
        """Start the engine and wait until it answers."""
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        """Start the engine's process; `await_ready` must follow."""
        if not self._sandbox.is_open:
            self._write_files()
            self._sandbox.open()
        if self.flavour.filters_with_nftables:
            # With this backend the engine does not switch forwarding on, and makes no network without.
            for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
                self.namespace.set_sysctl(key, "1")
        with (self.workdir / "dockerd.log").open("ab") as log:
            self._parent = self._sandbox.start(*self._command(), output=log)
        self._pid = only_child(self._parent.pid)

    def await_ready(self) -> None:
        """Wait until the engine answers. Raises `EngineError` if it exits, or after `START_TIMEOUT`."""

        def ended_or_answers() -> bool:
            return not self.running or bool(self.docker("version", "--format", "{{.Server.Version}}"))

        try:
            eventually(ended_or_answers, within=START_TIMEOUT, every=0.1)
        except AssertionError as error:
            raise EngineError(self._failure(str(error))) from error
        if not self.running:
            raise EngineError(self._failure("it exited"))

    def stop(self) -> None:
        """Stop the engine with SIGTERM, then kill what it left: shims, containers, mounts."""
        self._signal_and_wait(signal.SIGTERM)
        self._sandbox.close()

    def kill(self) -> None:
        """Kill the engine's process (-9). Its containers keep running."""
        self._signal_and_wait(signal.SIGKILL)

    def kill_all(self) -> None:
        """Kill the engine, its containers and shims at once, as a power failure does. May be repeated."""
        self._sandbox.close()
        if self._parent is not None:
            self._parent.wait()

    def restart(self, *, live_restore: bool = False) -> None:
        """Stop and start the engine. With `live_restore`, its containers keep running."""
        if self._configure(live_restore=live_restore):
            os.kill(self._pid, signal.SIGHUP)
            wanted = "true" if live_restore else "false"
            eventually(lambda: self.docker("info", "--format", "{{.LiveRestoreEnabled}}") == wanted)
        self._signal_and_wait(signal.SIGTERM)
        self.start()

    def docker(self, *args: str, check: bool = True, timeout: float = DEFAULT_TIMEOUT) -> str:
        """Run the engine's own `docker` client with `args`, and return its stdout, stripped."""
        client = str(self.workdir / "bin/docker")
        return run(client, *args, check=check, timeout=timeout, env=self.environment).stdout.strip()

    def nsenter_container(self, container: str, *argv: str) -> tuple[str, ...]:
        """Return the command that runs the machine's program `argv` in a running container's netns."""
        pid = self.docker("inspect", "--format", "{{.State.Pid}}", container)
        return ("nsenter", f"--net={self._sandbox.host_path(f'/proc/{pid}/ns/net')}", *argv)

    def _write_files(self) -> None:
        """Write the files of engine and client: configuration, plugins, links to iptables-legacy."""
        for directory in ("bin", "client", "data", "legacy"):
            (self.workdir / directory).mkdir(parents=True, exist_ok=True)
        for command in ("iptables", "ip6tables"):
            link = self.workdir / "legacy" / command
            if not link.is_symlink():
                link.symlink_to(f"/usr/sbin/{command}-legacy")
        self._configure(live_restore=False)
        client = self.workdir / "bin/docker"
        if not client.is_symlink():
            client.symlink_to(self.flavour.files.client)
        plugins = MODERN.path / "usr/libexec/docker/cli-plugins"
        (self.workdir / "client/config.json").write_text(json.dumps({"cliPluginsExtraDirs": [str(plugins)]}))

    def _configure(self, *, live_restore: bool) -> bool:
        """Write the engine's configuration file; return whether it changed."""
        file = self.workdir / "daemon.json"
        before = file.read_text() if file.exists() else ""
        after = json.dumps({"live-restore": live_restore})
        file.write_text(after)
        return before != after

    def _command(self) -> tuple[str, ...]:
        flags = engine_flags() if self.flavour is Flavour.MODERN else ()
        # Engines since 27 filter IPv6 by default; before, `--ip6tables` needs `--experimental`.
        filtering = self.ip6tables and not self.flavour.filters_ipv6
        first = (str(SHARED / "legacy"),) if self.legacy else ()
        path = ("env", f"PATH={':'.join((*first, str(PROGRAMS), ENVIRONMENT['PATH']))}")
        run_files = ("--exec-root=/run/docker", "--pidfile=/run/docker.pid")
        shared = (f"--host=unix://{SHARED}/docker.sock", f"--data-root={SHARED}/data", "--group=root")
        # Not systemd's cgroups: the lab itself must be able to remove them.
        cgroups = ("--exec-opt=native.cgroupdriver=cgroupfs", f"--cgroup-parent=/{self.namespace.name}")
        # --init: as PID 1, `sleep` ignores SIGTERM, and a stop would take 10 s.
        return (
            *(*path, "dockerd", f"--config-file={SHARED}/daemon.json", "--init"),
            *(*run_files, *shared, *cgroups, *flags, *self.flags),
            *(("--ip6tables", "--experimental") if filtering else ()),
        )

    def _signal_and_wait(self, number: signal.Signals) -> None:
        """Send a signal to the engine and wait for its exit; SIGKILL after `STOP_TIMEOUT`."""
        if self._parent is None:
            return
        with suppress(ProcessLookupError):
            if self.running:
                os.kill(self._pid, number)
        try:
            self._parent.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            os.kill(self._pid, signal.SIGKILL)
            self._parent.wait()

    def _failure(self, cause: str) -> str:
        tail = self.log[-LOG_TAIL:]
        return f"starting the {self.flavour.value} engine in {self.namespace.name}: {cause}\n{tail}"
