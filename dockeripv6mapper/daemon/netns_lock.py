"""One daemon for each network namespace: an abstract unix socket as a lock.

A daemon binds and listens on a fixed abstract address (unix(7)) until it ends. The kernel frees the address
when the process ends, even after `kill -9`.

Abstract addresses have no permissions: any local user can bind this one. So a holder counts as a mapper only
if it has the privileges for a mapper's work. Otherwise any user could prevent the daemon from starting.
"""

import logging
import os
import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from dockeripv6mapper.errors import MapperError

log = logging.getLogger(__name__)

ADDRESS = b"\0dockeripv6mapper"
BACKLOG = 16
HOLD_TIMEOUT_SECONDS = 1.0
"""How long `hold` waits for a process that is no mapper, such as a `cleanup` of an ordinary user."""
CONNECT_TIMEOUT_SECONDS = 1.0
"""How long `holder` retries while the backlog is full. A mapper accepts each connection at once."""
RETRY_SECONDS = 0.02
HINT = "systemctl status DockerIPV6Mapper, or DockerIPV6Mapper.py -d status"
CREDENTIALS = struct.Struct("3i")
"""`struct ucred`: pid, uid, gid (unix(7))."""


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that listens. `pid` is 0 if the process is not visible in this PID namespace."""

    pid: int
    uid: int

    def __str__(self) -> str:
        return f"process {self.pid}" if self.pid else "a process in another container"


class HeldError(MapperError):
    """Another mapper holds the lock."""

    def __init__(self, holder: Holder) -> None:
        super().__init__(f"another mapper runs in this network namespace, as {holder}", hint=HINT)
        self.holder = holder


class NetnsLock:
    """The lock, until `__exit__`. Without `listener` a placeholder: another program has the address."""

    def __init__(self, listener: socket.socket | None = None) -> None:
        self._listener = listener
        if listener is not None:
            listener.listen(BACKLOG)
            threading.Thread(target=self._accept, args=(listener,), name="netns-lock", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()

    @staticmethod
    def _accept(listener: socket.socket) -> None:
        """Accept and close connections, to keep the backlog empty. Clients need only `SO_PEERCRED`."""
        with suppress(OSError):
            while True:
                listener.accept()[0].close()


def hold() -> NetnsLock:
    """Take the lock. Raises `HeldError` if another mapper holds it.

    Waits for any other process for `HOLD_TIMEOUT_SECONDS`, then goes on without the lock and logs a warning.
    """
    deadline = time.monotonic() + HOLD_TIMEOUT_SECONDS
    other: Holder | None = None
    while True:
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(ADDRESS)
        except OSError as error:
            listener.close()
            other = holder() or other
            if other is not None and _is_mapper(other):
                raise HeldError(other) from error
            if time.monotonic() > deadline:
                _warn(other, error)
                return NetnsLock()
        else:
            return NetnsLock(listener)
        time.sleep(RETRY_SECONDS)


def _warn(other: Holder | None, error: OSError) -> None:
    process = f"{other} of user {other.uid}, which is no mapper" if other else "another process"
    log.warning(
        "binding the socket @%s: %s by %s; a second mapper in this network namespace cannot be detected",
        *(ADDRESS[1:].decode(), error.strerror, process),
    )


def _is_mapper(other: Holder) -> bool:
    """Whether the process has a mapper's privileges: root, the same user as we, or `CAP_NET_ADMIN`.

    The capability counts only in our own user namespace: any user can have it in a new one. `uid_map` shows
    whether the namespaces are the same, and any user may read it.
    """
    if other.uid in (0, os.geteuid()):
        return True
    # Imported here: `--help` and `address` need no pyroute2, which takes 0.2 s to load.
    from dockeripv6mapper.kernel.netlink import capabilities  # noqa: PLC0415

    try:
        ours, theirs = (Path(f"/proc/{process}/uid_map").read_text() for process in ("self", other.pid))
        return ours == theirs and "CAP_NET_ADMIN" in capabilities(str(other.pid))
    except OSError:
        return False


def holder() -> Holder | None:
    """The process that holds the lock, mapper or not; None if no process listens, or its backlog is full."""
    deadline = time.monotonic() + CONNECT_TIMEOUT_SECONDS
    while True:
        with socket.socket(socket.AF_UNIX) as link:
            link.setblocking(False)
            try:
                link.connect(ADDRESS)
                credentials = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
            except BlockingIOError:
                # The backlog is full.
                if time.monotonic() > deadline:
                    return None
            except OSError:
                return None
            else:
                pid, uid, _ = CREDENTIALS.unpack(credentials)
                return Holder(pid, uid)
        time.sleep(RETRY_SECONDS)
