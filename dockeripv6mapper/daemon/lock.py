"""The daemon's locks: one daemon per network namespace and per state directory; no cleanup while it runs.

Two daemons in one network namespace would remove each other's proxy entries. `netns_lock` prevents that. It
needs no file, so it also works between containers that share the host's network and no directory.

The flock(2) lock on a file in the state directory is there for daemons in different network namespaces that
share a state directory. Daemons of earlier versions hold this lock only.
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
"""File name in the state directory."""
RETRY_TIMEOUT_SECONDS = 1.0
"""How long a start retries: a cleanup, or `status` of an earlier version, holds the lock for a moment."""
RETRY_SECONDS = 0.02
LOCKS = Path("/proc/locks")
"""The kernel's list of locks (proc_locks(5)). Locks of processes outside our PID namespace are not in it."""
LOCKS_READS = 3
"""The list may miss a lock if another lock is released while it is read."""


def daemon_runs(state_dir: Path) -> bool | None:
    """Whether a daemon runs in this network namespace or with this state directory.

    None if this process may not read the lock file. Takes no lock, so it never delays a daemon's start.
    """
    if netns_lock.holder() is not None:
        return True
    try:
        return flock_holder(state_dir / NAME) is not None
    except OSError:
        return None


@contextmanager
def single_daemon(state_dir: Path) -> Iterator[None]:
    """Hold the daemon's locks. Raises `MapperError` if another daemon holds one of them."""
    with _retry(netns_lock.hold), _retry(lambda: _lock_directory(state_dir)):
        yield


@contextmanager
def exclude_daemons(state_dir: Path) -> Iterator[None]:
    """Keep daemons from starting. Raises `MapperError` if one runs, or if the lock file cannot be opened."""
    path = state_dir / NAME
    try:
        netns = netns_lock.hold()
    except netns_lock.HeldError as error:
        raise daemon_is_running(f"as {error.holder}") from error
    with netns:
        try:
            lock = path.open()
        except FileNotFoundError:
            # No daemon has run here since the last cleanup. A new lock file would itself have to be removed.
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


def flock_holder(path: Path, pid: int | None = None) -> int | None:
    """The process that holds the flock(2) lock on `path`; None if there is no file or no holder.

    Takes no lock itself: a health check calls this every minute, and a daemon that starts just then must get
    its lock. (`F_OFD_GETLK` does not see flock(2) locks.)

    With `pid`, only a lock of that process counts, and the device number is not compared: some file systems
    show another device in `/proc/locks` than in stat(2). Raises `OSError`.
    """
    try:
        file = path.stat()
    except FileNotFoundError:
        return None
    device = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}"
    for _ in range(LOCKS_READS):
        for line in LOCKS.read_text().splitlines():
            # `1: FLOCK  ADVISORY  WRITE 2435 00:1a:1234 0 EOF`; a line with `1: -> …` is a waiting process.
            fields = line.split()
            if fields[1] != "FLOCK":
                continue
            owner, (lock_device, _, inode) = int(fields[4]), fields[5].rpartition(":")
            if int(inode) == file.st_ino and (owner == pid if pid else lock_device == device):
                return owner
    return None


def _retry(take: Callable[[], T]) -> T:
    """Take a lock; retry for `RETRY_TIMEOUT_SECONDS` while another process holds it."""
    deadline = time.monotonic() + RETRY_TIMEOUT_SECONDS
    while True:
        try:
            return take()
        except MapperError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(RETRY_SECONDS)


def _lock_directory(state_dir: Path) -> IO[str]:
    """Lock a state directory until the returned file is closed. Raises `MapperError`."""
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
                pid = flock_holder(path)
            raise MapperError(
                f"locking {state_dir}: another mapper runs with it{f', as process {pid}' if pid else ''}",
                hint=netns_lock.HINT,
            ) from error
        except OSError as error:
            lock.close()
            raise MapperError(f"locking {path}: {error.strerror}") from error
        # A cleanup removed the file between open and lock: open the new one.
        lock.close()
