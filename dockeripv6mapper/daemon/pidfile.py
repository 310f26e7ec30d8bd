"""The pid file: which process is the daemon. What counts is the lock on it; the number tells whose it is."""

import fcntl
import logging
import os
import shlex
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from dockeripv6mapper.daemon.held_locks import holder_of
from dockeripv6mapper.errors import MapperError

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 1.0
"""How long a start waits for the `status` of an earlier version, which took the lock for a moment."""
RETRY_SECONDS = 0.02


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
