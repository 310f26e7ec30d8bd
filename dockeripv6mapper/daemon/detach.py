"""Background mode: `-d start|stop|restart|status`, for hosts without a service manager.

The process detaches itself with python-daemon. `start` waits for it at a pipe: one byte says that the daemon
is ready, and what follows why that is not a full pass; the pipe's end without that byte, that the daemon has
ended, and its log says why.
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
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from daemon import DaemonContext

from dockeripv6mapper.controller.observers import ServiceManager
from dockeripv6mapper.daemon.lock import holder_of
from dockeripv6mapper.errors import MapperError

log = logging.getLogger(__name__)

DEFAULT_PIDFILE = Path("/var/run/DockerIPV6Mapper.pid")
DEFAULT_LOGFILE = Path("/var/log/DockerIPV6Mapper.log")
"""Both as the older program had them."""

START_SECONDS = 90.0
"""How long `start` waits until the daemon is ready: as long as systemd would."""
READY = b"1"
STOP_SECONDS = 20.0
"""How long `stop` waits: the daemon lets what is under way end, for at most half of that."""
UMASK = 0o027
LAST_WORDS = re.compile(r"^error: (?P<error>.*)(?:\n  try: (?P<hint>.*))?$", re.MULTILINE)
"""What the program says on stderr where it ends with an error of ours."""
PATIENCE_SECONDS = 1.0
"""How long a start waits for the `status` of an earlier version, which took the lock for a moment."""
RETRY_SECONDS = 0.02


class Command(Enum):
    """What is to be done about the daemon in the background."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    STATUS = "status"


class Starter(ServiceManager):
    """The `start` that waits at the other end of a pipe."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def ready(self, missing: str) -> None:
        """Have it return."""
        try:
            os.write(self._pipe, READY + missing.encode()[: select.PIPE_BUF - 1])
        except OSError as error:  # somebody interrupted it: the daemon goes on all the same
            log.debug("telling `start` that all is ready: %s", error)
        os.close(self._pipe)


class PidFile:
    """Locked, with the process's number in it, from `__enter__` to `__exit__`, or until the process dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        """Raise `MapperError` where another process has it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        try:
            while self._file is None:
                try:
                    self._file = self._lock()
                except BlockingIOError as error:
                    if time.monotonic() > deadline:
                        raise already_running(self.holder() or 0, self.path) from error
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
                # It may have been removed by hand.
                self.path.unlink(missing_ok=True)
            except OSError as refused:
                # Its directory is another user's. A file without a lock is no obstacle.
                log.debug("removing the pid file %s: %s", self.path, refused.strerror)
            self._file.close()
            self._file = None

    def holder(self) -> int | None:
        """The process that has it; None where it has ended, however it ended. Raises `MapperError`.

        It takes no lock, not even for a moment: a daemon may be about to start.
        """
        try:
            text = self.path.read_text().strip()
            # Empty: its writer was killed, or has not come to write it.
            return holder_of(self.path, int(text)) if text else None
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
        """Open and lock it; None where it was removed meanwhile, by a daemon that ended."""
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


def already_running(pid: int, path: Path) -> MapperError:
    """The error of a second start."""
    return MapperError(
        f"starting in the background: it runs already, as process {pid} (pid file {path})",
        hint="DockerIPV6Mapper.py -d restart, or -d status",
    )


def start(pidfile: Path, logfile: Path, run: Callable[[ServiceManager], None]) -> str:
    """Have `run` done by a process in the background; returns when that is ready.

    What is returned says why it has not mapped everything; empty where it has. Raises `MapperError` with the
    daemon's own reason where it ends instead. In the daemon's process it returns, or raises, when `run` does.
    """
    pid_file = PidFile(pidfile)
    if (holder := pid_file.holder()) is not None:
        raise already_running(holder, pidfile)
    try:
        output = logfile.open("a")
    except OSError as error:
        raise MapperError(
            f"opening the log file {logfile}: {error.strerror}", hint="--logfile FILE names another"
        ) from error
    with output:
        said_before = output.tell()
        heard, said = os.pipe()
        if (child := os.fork()) == 0:
            os.close(heard)
            _become_daemon(pid_file, output, said, run)
            return ""
        os.close(said)
        # It ends when the daemon is on its own.
        os.waitpid(child, 0)
        with os.fdopen(heard, "rb") as pipe:
            if not select.select([pipe], [], [], START_SECONDS)[0]:
                stop(pidfile)
                raise _reason(logfile, said_before, f"not ready after {START_SECONDS:g} s, so it was stopped")
            if not (heard_of := pipe.read()):
                raise _reason(logfile, said_before, "the daemon ended")
    return heard_of.removeprefix(READY).decode(errors="replace")


def stop(pidfile: Path) -> bool:
    """Have the daemon end, and wait for it; returns whether there was one. Raises `MapperError`."""
    pid_file = PidFile(pidfile)
    if (pid := pid_file.holder()) is None:
        return False
    doing = f"stopping process {pid} of the pid file {pidfile}"
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
    pid_file: PidFile, output: IO[str], said: int, run: Callable[[ServiceManager], None]
) -> None:
    """Leave the caller's session and files, and do the daemon's work."""
    context = DaemonContext(
        pidfile=pid_file,
        stdout=output,
        stderr=output,
        files_preserve=[said],
        umask=UMASK,
        detach_process=True,
    )
    with context:
        run(Starter(said))


def _reason(logfile: Path, since: int, outcome: str) -> MapperError:
    """Why the daemon did not become ready, from what it has logged."""
    try:
        with logfile.open(errors="replace") as log_file:
            log_file.seek(since)
            text = log_file.read()
    except OSError:  # it may be written, and not read
        text = ""
    if words := LAST_WORDS.search(text):
        return MapperError(words["error"], hint=words["hint"])
    lines = text.splitlines()
    said = f": {lines[-1]}" if lines else ""
    return MapperError(f"starting in the background: {outcome}{said}", hint=f"{logfile} has all that it said")
