"""The pid file: which process is the daemon. What counts is the lock on it; the number tells whose it is."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from dockeripv6mapper.errors import MapperError


class PidFile:
    """Locked, with the process's number in it, from `__enter__` to `__exit__`, or until the process dies."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        """Raise `MapperError` where another process has it."""
        try:
            while self._file is None:
                self._file = self._lock()
        except BlockingIOError as error:
            raise already_running(self.holder() or 0, self.path) from error
        except OSError as error:
            raise MapperError(
                f"writing the pid file {self.path}: {error.strerror}", hint="--pidfile FILE names another"
            ) from error
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            # Somebody may have removed it by hand.
            self.path.unlink(missing_ok=True)
            self._file.close()
            self._file = None

    def holder(self) -> int | None:
        """The process that has it; None where it has ended, however it ended. Raises `MapperError`."""
        try:
            with self.path.open() as file:
                with suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    return None
                return int(file.read())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise MapperError(f"reading the pid file {self.path}: {error}") from error

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
