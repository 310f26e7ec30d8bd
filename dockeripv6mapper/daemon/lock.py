"""The locks: one daemon in a network namespace, one for each state directory, and no cleanup beside it.

Two daemons in one network namespace would remove each other's proxy entries. Each holds a name in the
namespace: an abstract unix socket, on which it listens. A name needs no file, so containers that share the
host's network see it too, whatever they mount.

The lock on a file in the state directory guards a directory that is used from two network namespaces. Daemons
of earlier versions hold that lock alone.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TypeVar

from dockeripv6mapper.daemon import netns_lock
from dockeripv6mapper.errors import MapperError

T = TypeVar("T")

NAME = "lock"
PATIENCE_SECONDS = 1.0
"""How long a start waits for a cleanup, or for the `status` of an earlier version, which took the lock."""
RETRY_SECONDS = 0.02
LOCKS = Path("/proc/locks")
"""The kernel's list (proc_locks(5)), without those of processes that this process namespace does not show."""
LOOKS = 3
"""The list may miss a lock where another one goes while it is read."""


def daemon_runs(state_dir: Path) -> bool | None:
    """Whether a daemon runs here; None: this process may not look.

    It takes no lock, not even for a moment: a daemon may be about to start.
    """
    if netns_lock.holder() is not None:
        return True
    try:
        return holder_of(state_dir / NAME) is not None
    except OSError:
        return None


@contextmanager
def single_daemon(state_dir: Path) -> Iterator[None]:
    """Be the only daemon, in this network namespace and with this state directory. Raises `MapperError`."""
    with _patiently(netns_lock.hold), _patiently(lambda: _lock_directory(state_dir)):
        yield


@contextmanager
def exclude_daemons(state_dir: Path) -> Iterator[None]:
    """Have no daemon here meanwhile. Raises `MapperError` where one runs, or where that cannot be told."""
    path = state_dir / NAME
    try:
        name = netns_lock.hold()
    except netns_lock.HeldError as error:
        raise daemon_is_running(f"as {error.holder}") from error
    with name:
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
                raise daemon_is_running(f"with {state_dir}") from error
            yield


def daemon_is_running(how: str) -> MapperError:
    """The error of a cleanup while a daemon runs."""
    return MapperError(
        f"cleaning up: a daemon runs {how}, and would put back what is removed",
        hint="systemctl stop DockerIPV6Mapper, or DockerIPV6Mapper.py -d stop",
    )


def _patiently(take: Callable[[], T]) -> T:
    """Take a lock, for as long as its holder may only be looking or cleaning up."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return take()
        except MapperError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(RETRY_SECONDS)


def _lock_directory(state_dir: Path) -> IO[str]:
    """Lock a state directory until the file is closed. Raises `MapperError`."""
    path = state_dir / NAME
    while True:
        try:
            lock = path.open("a")
        except OSError as error:
            hint = "run as the directory's owner, or as root; --state-dir DIRECTORY names another"
            raise MapperError(f"locking {path}: {error.strerror}", hint=hint) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and path.samefile(f"/proc/self/fd/{lock.fileno()}"):
                return lock
        except BlockingIOError as error:
            lock.close()
            pid = None
            with suppress(OSError):
                pid = holder_of(path)
            raise MapperError(
                f"locking {state_dir}: another mapper runs with it{f', as process {pid}' if pid else ''}",
                hint=netns_lock.HINT,
            ) from error
        except OSError as error:
            lock.close()
            raise MapperError(f"locking {path}: {error.strerror}") from error
        # A cleanup removed it meanwhile.
        lock.close()


def holder_of(path: Path, pid: int | None = None) -> int | None:
    """The process that holds the flock(2) lock on a file; None where there is no file, or none holds it.

    With `pid`, whether that process does: some file systems give a file another device number here than
    there, and process and inode together are enough. Raises `OSError`.
    """
    try:
        file = path.stat()
    except FileNotFoundError:
        return None
    device = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}"
    for _ in range(LOOKS):
        for line in LOCKS.read_text().splitlines():
            # `1: FLOCK  ADVISORY  WRITE 2435 00:1a:1234 0 EOF`; `1: -> …` waits for it.
            fields = line.split()
            if fields[1] != "FLOCK":
                continue
            owner, (where, _, inode) = int(fields[4]), fields[5].rpartition(":")
            if int(inode) == file.st_ino and (owner == pid if pid else where == device):
                return owner
    return None
