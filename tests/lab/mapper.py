"""The mapper under test: the real daemon and its commands, as processes in a host's namespace."""

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
"""Seconds that the daemon has to finish what is in flight."""

NOBODY = 65534
"""An ordinary user, and a group of that number."""

LOG_TAIL = 4000
"""Characters of the log that an error shows."""


class Mapper:
    """The daemon, in the foreground mode that its unit uses, logging at DEBUG into a file.

    It may be started again after `stop` or `kill`; the log goes on.
    """

    def __init__(
        self,
        host: Host,
        *options: str,
        level: str = "--debug",
        wrapper: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`wrapper`: a command that runs the daemon, as `setpriv` does; `environment`: added to ours."""
        self.host = host
        self.checkout = CHECKOUT
        """Whose files are run, from the next start on."""
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
        """Whether the daemon's process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """What the daemon ended with; None while it runs."""
        return None if self._process is None else self._process.poll()

    @property
    def pid(self) -> int:
        """The daemon's process, as the machine numbers it."""
        assert self._process is not None, "the mapper was never started"
        return self._process.pid

    def start(self) -> None:
        """Start the daemon; what it has to do first, a test awaits by its effect or its log."""
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
        """Ask the daemon to end (SIGTERM), and return its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the daemon (-9)."""
        self._end(signal.SIGKILL)

    def log(self) -> str:
        """All that this mapper ever printed, on either stream."""
        return self._log.read_text(errors="replace")

    def wait_for_log(self, pattern: str, within: float = 5.0) -> re.Match[str]:
        """Return the first match of `pattern` in the log; fails at once if the daemon has ended."""

        def found_or_ended() -> bool:
            ended = not self.running  # asked first, so that the log is read whole
            return self._search(pattern) is not None or ended

        with suppress(AssertionError):
            eventually(found_or_ended, within)
        if found := self._search(pattern):
            return found
        state = "still runs" if self.running else "has ended"
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
                f"not ended {STOP_TIMEOUT:g} s after {number.name}:\n{self._tail()}"
            ) from error

    def _search(self, pattern: str) -> re.Match[str] | None:
        return re.search(pattern, self.log(), re.MULTILINE)

    def _tail(self) -> str:
        return self.log()[-LOG_TAIL:]


def run_command(
    host: Host, *args: str, timeout: float = 30.0, wrapper: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a one-shot command (`plan --json`, `cleanup`, …) on `host`, as the daemon would run there.

    Its exit code is the caller's to judge.
    """
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
    """The command that runs the program on `host`, for the host's engine."""
    program = (sys.executable, "-m", "dockeripv6mapper", "--docker-host", host.engine.url)
    return host.namespace.nsenter(*wrapper, *program, *args)


def setpriv(*capabilities: str) -> tuple[str, ...]:
    """The command that runs another as an ordinary user, with these capabilities and no others."""
    kept = ",".join(["-all", *(f"+{each}" for each in capabilities)])
    user = ("--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups")
    return ("setpriv", *user, "--inh-caps", kept, "--ambient-caps", kept, "--")
