"""The mapper under test: the daemon and its one-shot commands, run in a host's network namespace."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.hosts import Host
from tests.lab.prerequisites import CHECKOUT
from tests.lab.waiting import eventually

__all__ = ["CHECKOUT", "Mapper", "run_command"]

STOP_TIMEOUT = 10.0
"""Seconds until the daemon must have exited after a signal."""

NOBODY = 65534
"""UID and GID of the unprivileged user nobody."""

LOG_TAIL = 4000
"""Characters of the log in an error message."""


class Mapper:
    """The daemon in foreground mode, as in its systemd unit, with its DEBUG log in a file.

    It may be started again after `stop` or `kill`; the log file is appended to.
    """

    def __init__(
        self,
        host: Host,
        *options: str,
        level: str = "--debug",
        wrapper: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`wrapper`: command prefix, as `setpriv …`; `environment`: additional variables."""
        self.host = host
        self.checkout = CHECKOUT
        """Directory of the source that the next `start` runs."""
        self._command = command(host, level, "--state-dir", str(host.state_dir), *options, wrapper=wrapper)
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None
        handle, name = tempfile.mkstemp(prefix="mapper-", suffix=".log", dir=host.workdir)
        os.close(handle)
        self._log = Path(name)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.running:
            self.stop()

    @property
    def running(self) -> bool:
        """Whether the daemon's process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """The daemon's exit code; None while it runs."""
        return None if self._process is None else self._process.poll()

    @property
    def pid(self) -> int:
        """The daemon's PID on the machine."""
        assert self._process is not None, "the mapper was never started"
        return self._process.pid

    def start(self) -> None:
        """Start the daemon without waiting until it is ready: see `wait_for_log`."""
        assert not self.running, "the mapper runs already"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self.checkout,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def stop(self) -> int:
        """Stop the daemon (SIGTERM), and return its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the daemon (-9)."""
        self._end(signal.SIGKILL)

    def log(self) -> str:
        """Everything that this mapper printed to stdout and stderr, over all starts."""
        return self._log.read_text(errors="replace")

    def wait_for_log(self, pattern: str, within: float = 5.0) -> re.Match[str]:
        """Wait up to `within` seconds for `pattern` in the log; fail at once if the daemon exits."""

        def matches_or_exited() -> bool:
            exited = not self.running  # read before the log, so that the log is complete
            return self._search(pattern) is not None or exited

        with suppress(AssertionError):
            eventually(matches_or_exited, within)
        if match := self._search(pattern):
            return match
        state = "still runs" if self.running else "has exited"
        raise AssertionError(f"no {pattern!r} within {within:g} s; the mapper {state}:\n{self._tail()}")

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None, "the mapper was never started"
        self._process.send_signal(number)
        try:
            return self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired as error:
            self._process.kill()
            self._process.wait()
            raise AssertionError(
                f"still running {STOP_TIMEOUT:g} s after {number.name}:\n{self._tail()}"
            ) from error

    def _search(self, pattern: str) -> re.Match[str] | None:
        return re.search(pattern, self.log(), re.MULTILINE)

    def _tail(self) -> str:
        return self.log()[-LOG_TAIL:]


def run_command(
    host: Host, *args: str, timeout: float = 30.0, wrapper: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a one-shot command (`plan --json`, `cleanup`, …) on `host`; its exit code is not checked."""
    argv = command(host, "--state-dir", str(host.state_dir), *args, wrapper=wrapper)
    return subprocess.run(
        argv,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def command(host: Host, *args: str, wrapper: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the command line that runs the program on `host` with the host's engine."""
    program = (sys.executable, "-m", "dockeripv6mapper", "--docker-host", host.engine.url)
    return host.namespace.nsenter(*wrapper, *program, *args)


def setpriv(*capabilities: str) -> tuple[str, ...]:
    """Return the prefix that runs a command as user nobody with only these capabilities."""
    capability_set = ",".join(["-all", *(f"+{each}" for each in capabilities)])
    user = ("--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups")
    return ("setpriv", *user, "--inh-caps", capability_set, "--ambient-caps", capability_set, "--")
