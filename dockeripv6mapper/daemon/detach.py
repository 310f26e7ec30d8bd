"""Background mode, `-d start|stop|restart|status`, and the pid file; for hosts without a service manager.

python-daemon detaches the process. `start` reads from a pipe that the detached process writes to. One byte
means ready; text after it says why not every container has been mapped yet. End of file without that byte
means that the daemon has ended; the reason is in its log.
"""

import fcntl
import logging
import os
import re
import select
import shlex
import signal
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from daemon import DaemonContext

from dockeripv6mapper.controller.observers import ServiceManager
from dockeripv6mapper.daemon.lock import flock_holder
from dockeripv6mapper.errors import MapperError

log = logging.getLogger(__name__)

DEFAULT_PIDFILE = Path("/var/run/DockerIPV6Mapper.pid")
DEFAULT_LOGFILE = Path("/var/log/DockerIPV6Mapper.log")
"""The same paths as in the previous program of this name."""

START_SECONDS = 90.0
"""How long `start` waits until the daemon is ready: systemd's default for `TimeoutStartSec=`."""
READY = b"1"
"""First byte in the pipe."""
STOP_SECONDS = 20.0
"""How long `stop` waits. The daemon waits for its running actions for at most half of that."""
UMASK = 0o027
ERROR_LINES = re.compile(r"^error: (?P<error>.*)(?:\n  try: (?P<hint>.*))?$", re.MULTILINE)
"""What the program prints on stderr if it ends with a `MapperError` (`report.logs.error_lines`)."""
RETRY_TIMEOUT_SECONDS = 1.0
"""How long a start retries: `-d status` of an earlier version holds the lock for a moment."""
RETRY_SECONDS = 0.02


class Command(StrEnum):
    """The argument of `-d`."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    STATUS = "status"


class StartPipe(ServiceManager):
    """The pipe to the waiting `start`, as the daemon's service manager."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def ready(self, missing: str) -> None:
        """Let `start` return, with `missing` as its result."""
        try:
            os.write(self._pipe, READY + missing.encode()[: select.PIPE_BUF - 1])
        except OSError as error:  # the user interrupted `start`: the daemon goes on
            log.debug("writing to the pipe of `start`: %s", error)
        os.close(self._pipe)


class PidFile:
    """A file with the daemon's process number, locked from `__enter__` to `__exit__` or the process's end.

    The lock decides whether a daemon runs. A number in an unlocked file means nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        """Write and lock it. Raises `MapperError` if another process holds the lock."""
        deadline = time.monotonic() + RETRY_TIMEOUT_SECONDS
        try:
            while self._file is None:
                try:
                    self._file = self._lock()
                except BlockingIOError as error:
                    if time.monotonic() > deadline:
                        raise _already_running(self.holder() or 0, self.path) from error
                    time.sleep(RETRY_SECONDS)
            self._file.truncate(0)
            self._file.write(f"{os.getpid()}\n")
            self._file.flush()
        except OSError as error:
            raise MapperError(
                f"writing the pid file {self.path}: {error.strerror}", hint="--pidfile FILE names another"
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            try:
                # The user may have removed it.
                self.path.unlink(missing_ok=True)
            except OSError as refusal:
                # The directory belongs to another user. A file that is left without a lock does no harm.
                log.debug("removing the pid file %s: %s", self.path, refusal.strerror)
            self._file.close()
            self._file = None

    def holder(self) -> int | None:
        """The daemon's process number; None if no daemon runs, even after `kill -9`. Raises `MapperError`.

        Takes no lock, so it never delays a daemon's start.
        """
        try:
            text = self.path.read_text().strip()
            # Empty between open and write, or after a kill in between.
            return flock_holder(self.path, int(text)) if text else None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise MapperError(
                f"reading the pid file {self.path}: {error.strerror}",
                hint="run as root, or as the daemon's user; --pidfile FILE names another",
            ) from error
        except ValueError as error:
            hint = f"rm {shlex.quote(str(self.path))}"
            raise MapperError(f"reading the pid file {self.path}: it holds no number", hint=hint) from error

    def _lock(self) -> IO[str] | None:
        """Open and lock it; None if an ending daemon removed it in between."""
        file = self.path.open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self.path.exists() and self.path.samefile(f"/proc/self/fd/{file.fileno()}"):
                return file
        except BaseException:
            file.close()
            raise
        file.close()
        return None


def _already_running(pid: int, path: Path) -> MapperError:
    """The error if a daemon runs with this pid file."""
    return MapperError(
        f"starting in the background: it runs already, as process {pid} (pid file {path})",
        hint="DockerIPV6Mapper.py -d restart, or -d status",
    )


def start(pidfile: Path, logfile: Path, run: Callable[[ServiceManager], None]) -> str:
    """Call `run` in a detached process; return when that process is ready.

    Returns why not every container has been mapped yet; empty if all are. Raises `MapperError` with the
    daemon's own error if it ends before it is ready. In the detached process, returns or raises when `run`
    does.
    """
    pid_file = PidFile(pidfile)
    if (holder := pid_file.holder()) is not None:
        raise _already_running(holder, pidfile)
    try:
        output = logfile.open("a")
    except OSError as error:
        raise MapperError(
            f"opening the log file {logfile}: {error.strerror}", hint="--logfile FILE names another"
        ) from error
    with output:
        log_offset = output.tell()
        read_end, write_end = os.pipe()
        if (child := os.fork()) == 0:
            os.close(read_end)
            _become_daemon(pid_file, output, write_end, run)
            return ""
        os.close(write_end)
        # The child ends as soon as python-daemon has forked the detached process.
        os.waitpid(child, 0)
        with os.fdopen(read_end, "rb") as pipe:
            if not select.select([pipe], [], [], START_SECONDS)[0]:
                stop(pidfile)
                raise _start_error(
                    logfile, log_offset, f"not ready after {START_SECONDS:g} s, so it was stopped"
                )
            if not (message := pipe.read()):
                raise _start_error(logfile, log_offset, "the daemon ended")
    return message.removeprefix(READY).decode(errors="replace")


def stop(pidfile: Path) -> bool:
    """Send SIGTERM to the daemon and wait for its end; return whether one ran. Raises `MapperError`."""
    pid_file = PidFile(pidfile)
    if (pid := pid_file.holder()) is None:
        return False
    doing = f"stopping process {pid} of the pid file {pidfile}"
    # A pidfd, so that the signal cannot hit another process that got the same number in between.
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if pid_file.holder() == pid:
            signal.pidfd_send_signal(process, signal.SIGTERM)
        if not select.select([process], [], [], STOP_SECONDS)[0]:
            raise MapperError(f"{doing}: not ended after {STOP_SECONDS:g} s", hint=f"kill -KILL {pid}")
    except OSError as error:
        raise MapperError(f"{doing}: {error.strerror}", hint="run as root, or as its user") from error
    finally:
        os.close(process)
    return True


def _become_daemon(
    pid_file: PidFile, output: IO[str], pipe: int, run: Callable[[ServiceManager], None]
) -> None:
    """Detach from the caller's session and files, then call `run`."""
    context = DaemonContext(
        pidfile=pid_file,
        stdout=output,
        stderr=output,
        files_preserve=[pipe],
        umask=UMASK,
        detach_process=True,
    )
    with context:
        run(StartPipe(pipe))


def _start_error(logfile: Path, log_offset: int, outcome: str) -> MapperError:
    """Why the daemon did not become ready, from its log after `log_offset`."""
    try:
        with logfile.open(errors="replace") as log_file:
            log_file.seek(log_offset)
            text = log_file.read()
    except OSError:  # this user may write the log, but not read it
        text = ""
    if error := ERROR_LINES.search(text):
        return MapperError(error["error"], hint=error["hint"])
    lines = text.splitlines()
    last_line = f": {lines[-1]}" if lines else ""
    return MapperError(f"starting in the background: {outcome}{last_line}", hint=f"see the log in {logfile}")
