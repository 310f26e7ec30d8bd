"""The lock: one daemon for each state directory, and no cleanup beside it."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from dockeripv6mapper.errors import MapperError

NAME = "lock"


def runs(state_dir: Path) -> bool | None:
    """Whether a daemon runs with this state directory; None: one may not look."""
    try:
        with (state_dir / NAME).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False


def take(state_dir: Path) -> IO[str]:
    """Be the only daemon here, until the file is closed: two would undo each other's work."""
    path = state_dir / NAME
    while True:
        lock = path.open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and path.samefile(f"/proc/self/fd/{lock.fileno()}"):
                return lock
        except OSError as error:
            lock.close()
            raise MapperError(
                f"locking {state_dir}: another mapper runs with it",
                hint="systemctl status DockerIPV6Mapper, or DockerIPV6Mapper.py -d status",
            ) from error
        # A cleanup removed it meanwhile.
        lock.close()


@contextmanager
def kept_from_starting(state_dir: Path) -> Iterator[None]:
    """Have no daemon here meanwhile. Raises `MapperError` where one runs, or where that cannot be told."""
    path = state_dir / NAME
    try:
        lock = path.open()
    except FileNotFoundError:
        # None was here since the last cleanup. A lock of our own would be one more thing to remove.
        yield
        return
    except OSError as error:
        raise MapperError(f"reading {path}: {error.strerror}", hint="run as root") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise running(f"with {state_dir}") from error
        yield


def running(how: str) -> MapperError:
    """The error of a cleanup while a daemon runs."""
    return MapperError(
        f"cleaning up: a daemon runs {how}, and would put back what is removed",
        hint="systemctl stop DockerIPV6Mapper, or DockerIPV6Mapper.py -d stop",
    )
