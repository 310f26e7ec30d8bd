"""The relay: a Unix socket between daemon and engine, which can drop, close and intercept.

Everything else passes unchanged, byte by byte, to the real engine.
"""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Interception:
    """An action at one of the daemon's next requests. It is done once."""

    requests: tuple[bytes, ...]
    """Ends of the paths of successive POST requests, as `/connect`. The action is done at the last one."""
    after: bool
    """Whether to act after the engine's answer; else before the request, which the engine never gets."""
    action: Callable[[], None]


@dataclass(slots=True, eq=False)
class Connection:
    """A connection of the daemon, on both sides of the relay."""

    daemon: socket.socket
    engine: socket.socket
    events: bool = False
    """Whether this is the event stream."""
    interception: Interception | None = None
    """Its action is done at the engine's next answer."""

    def cut(self) -> None:
        """Close both sides."""
        for side in (self.daemon, self.engine):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)


class Relay:
    """Listens on `path` during its context, and forwards to the socket `engine`."""

    def __init__(self, path: Path, engine: Path) -> None:
        self._path, self._engine = path, engine
        self._listener = socket.socket(socket.AF_UNIX)
        self._connections: set[Connection] = set()
        self._lock = threading.Lock()
        self.drop_events = False
        """Whether events are dropped."""
        self._interception: Interception | None = None

    @property
    def url(self) -> str:
        """The daemon's `--docker-host`."""
        return f"unix://{self._path}"

    def __enter__(self) -> Self:
        self._listener.bind(str(self._path))
        self._listener.listen()
        threading.Thread(target=self._accept, name="relay", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A close alone does not wake the thread that waits in accept.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._path.unlink()
        self.cut()

    def cut(self) -> None:
        """Close every connection."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            connection.cut()

    def intercept(self, interception: Interception) -> None:
        """Intercept a coming request, instead of one that was to be intercepted before."""
        with self._lock:
            self._interception = interception

    def pass_everything(self) -> None:
        """Drop and intercept nothing from now on."""
        self.drop_events = False
        with self._lock:
            self._interception = None

    def _accept(self) -> None:
        while True:
            try:
                daemon, _ = self._listener.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX)
            try:
                engine.connect(str(self._engine))
            except OSError:  # the engine does not run: the daemon sees a closed connection
                daemon.close()
                engine.close()
                continue
            connection = Connection(daemon, engine)
            with self._lock:
                self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), name="relay", daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        """Forward both ways until either side closes."""
        back = threading.Thread(
            target=self._forward, args=(connection.engine, self._answer, connection), daemon=True
        )
        back.start()
        self._forward(connection.daemon, self._request, connection)
        back.join()
        connection.daemon.close()
        connection.engine.close()
        with self._lock:
            self._connections.discard(connection)

    def _forward(
        self, source: socket.socket, handle: Callable[[Connection, bytes], None], connection: Connection
    ) -> None:
        with suppress(OSError):
            while chunk := source.recv(CHUNK):
                handle(connection, chunk)
        connection.cut()

    def _request(self, connection: Connection, chunk: bytes) -> None:
        path = chunk.partition(b" HTTP/")[0]
        if path.startswith(b"GET") and b"/events" in path:
            connection.events = True
        if (interception := self._matching(path)) is not None:
            if not interception.after:
                interception.action()
                connection.cut()
                return
            connection.interception = interception
        connection.engine.sendall(chunk)

    def _matching(self, path: bytes) -> Interception | None:
        """The interception, where this is the last request of it."""
        with self._lock:
            interception = self._interception
            if interception is None or not path.startswith(b"POST"):
                return None
            first, *others = interception.requests
            if not path.endswith(first):
                return None
            self._interception = replace(interception, requests=tuple(others)) if others else None
            return None if others else interception

    def _answer(self, connection: Connection, chunk: bytes) -> None:
        interception, connection.interception = connection.interception, None
        if interception is not None:
            interception.action()
        # The answer to the subscription itself still passes.
        if not (connection.events and self.drop_events) or chunk.startswith(b"HTTP/"):
            connection.daemon.sendall(chunk)
