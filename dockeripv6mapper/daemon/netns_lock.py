"""The name that a daemon holds in its network namespace, from its start to its end.

An abstract unix socket (unix(7)): the kernel frees it with the process, however that ends. Such names have no
permissions, so any local user can hold this one. A holder counts as a mapper only where it may do a mapper's
work: else any user could keep the daemon from starting.
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
PATIENCE_SECONDS = 1.0
"""How long a process that is no mapper may have the name: an ordinary user's `cleanup` does, for a moment."""
CONNECT_SECONDS = 1.0
"""How long a holder may let its connections wait: a mapper takes each at once."""
RETRY_SECONDS = 0.02
HINT = "systemctl status DockerIPV6Mapper, or DockerIPV6Mapper.py -d status"
CREDENTIALS = struct.Struct("3i")
"""`struct ucred`: pid, uid, gid (unix(7))."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Which process listens. `pid`: 0 where this process namespace does not show it."""

    pid: int
    uid: int

    def __str__(self) -> str:
        return f"process {self.pid}" if self.pid else "a process in another container"


class HeldError(MapperError):
    """A mapper holds the name."""

    def __init__(self, holder: Holder) -> None:
        super().__init__(
            f"another mapper runs in this network namespace, as {holder}",
            hint=HINT,
        )
        self.holder = holder


class Name:
    """The name, until `__exit__`; or nothing, where a process that is no mapper holds it."""

    def __init__(self, listener: socket.socket | None = None) -> None:
        self._listener = listener
        if listener is not None:
            listener.listen(BACKLOG)
            threading.Thread(target=self._answer, args=(listener,), name="name", daemon=True).start()

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
    def _answer(listener: socket.socket) -> None:
        """Take connections, so that the next process finds room for its own. The kernel says the rest."""
        with suppress(OSError):
            while True:
                listener.accept()[0].close()


def hold() -> Name:
    """Hold the name. Raises `HeldError` where another mapper does; waits a little for any other process."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    found: Holder | None = None
    while True:
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(ADDRESS)
        except OSError as error:
            listener.close()
            found = holder() or found
            if found is not None and _is_mapper(found):
                raise HeldError(found) from error
            if time.monotonic() > deadline:
                _warn(found, error)
                return Name()
        else:
            return Name(listener)
        time.sleep(RETRY_SECONDS)


def _warn(found: Holder | None, error: OSError) -> None:
    whose = f"{found} of user {found.uid}, which is no mapper" if found else "another process"
    log.warning(
        "holding the name @%s: %s; %s has it: a second mapper in this network namespace would not be noticed",
        *(ADDRESS[1:].decode(), error.strerror, whose),
    )


def _is_mapper(found: Holder) -> bool:
    """Whether a process may do a mapper's work: it is root's or this user's, or has the capability.

    Any user may have all capabilities in a user namespace of its own: the process must be in ours, which
    the mapping of user numbers tells without a privilege.
    """
    if found.uid in (0, os.geteuid()):
        return True
    # Not for commands that need no kernel: its library takes a fifth of a second.
    from dockeripv6mapper.kernel.netlink import capabilities  # noqa: PLC0415

    try:
        ours, its = (Path(f"/proc/{process}/uid_map").read_text() for process in ("self", found.pid))
        return ours == its and "CAP_NET_ADMIN" in capabilities(str(found.pid))
    except OSError:
        return False


def holder() -> Holder | None:
    """The process that holds the name, whatever it is; None where none listens, or that cannot be told."""
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        with socket.socket(socket.AF_UNIX) as link:
            link.setblocking(False)
            try:
                link.connect(ADDRESS)
                credentials = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
            except BlockingIOError:
                # Too many have connected, and wait.
                if time.monotonic() > deadline:
                    return None
            except OSError:
                return None
            else:
                pid, uid, _ = CREDENTIALS.unpack(credentials)
                return Holder(pid, uid)
        time.sleep(RETRY_SECONDS)
