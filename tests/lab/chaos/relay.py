"""The relay: a socket between daemon and engine, on which calls go astray.

Whatever is not asked for passes as it is, byte by byte: the engine behind it is the real one.
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
    """What is done once, at one of the daemon's next calls."""

    calls: tuple[bytes, ...]
    """How the paths of the requests end, one after the other: `/connect`. It is done at the last of them."""
    after: bool
    """Once the engine has answered; else the engine never hears of the call."""
    action: Callable[[], None]


@dataclass(slots=True, eq=False)
class Connection:
    """One connection of the daemon's, on both sides of the relay."""

    daemon: socket.socket
    engine: socket.socket
    events: bool = False
    """Whether it carries the event stream."""
    interception: Interception | None = None
    """To be sprung by the engine's next answer."""

    def cut(self) -> None:
        """End it on both sides."""
        for side in (self.daemon, self.engine):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)


class Relay:
    """Listens on `path` for as long as its context lasts, and carries everything to `engine`."""

    def __init__(self, path: Path, engine: Path) -> None:
        self._path, self._engine = path, engine
        self._listener = socket.socket(socket.AF_UNIX)
        self._lines: set[Connection] = set()
        self._guard = threading.Lock()
        self.drop_events = False
        """Whether events are swallowed."""
        self._interception: Interception | None = None

    @property
    def url(self) -> str:
        """What the daemon is told as its engine."""
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
        """End every connection."""
        with self._guard:
            lines = list(self._lines)
        for line in lines:
            line.cut()

    def intercept(self, interception: Interception) -> None:
        """Lay a trap, in the place of one that is laid already."""
        with self._guard:
            self._interception = interception

    def pass_everything(self) -> None:
        """From now on, carry everything, and lay no trap."""
        self.drop_events = False
        with self._guard:
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
            except OSError:  # it does not run: the daemon is told so by the end of its connection
                daemon.close()
                engine.close()
                continue
            line = Connection(daemon, engine)
            with self._guard:
                self._lines.add(line)
            threading.Thread(target=self._carry, args=(line,), name="relay", daemon=True).start()

    def _carry(self, line: Connection) -> None:
        """Carry a connection both ways until either side ends it."""
        back = threading.Thread(target=self._pump, args=(line.engine, self._answer, line), daemon=True)
        back.start()
        self._pump(line.daemon, self._request, line)
        back.join()
        line.daemon.close()
        line.engine.close()
        with self._guard:
            self._lines.discard(line)

    def _pump(
        self, source: socket.socket, carry: Callable[[Connection, bytes], None], line: Connection
    ) -> None:
        with suppress(OSError):
            while chunk := source.recv(CHUNK):
                carry(line, chunk)
        line.cut()

    def _request(self, line: Connection, chunk: bytes) -> None:
        path = chunk.partition(b" HTTP/")[0]
        if path.startswith(b"GET") and b"/events" in path:
            line.events = True
        if (interception := self._matching(path)) is not None:
            if not interception.after:
                interception.action()
                line.cut()
                return
            line.interception = interception
        line.engine.sendall(chunk)

    def _matching(self, path: bytes) -> Interception | None:
        """The trap that a request is caught in; no other will be."""
        with self._guard:
            interception = self._interception
            if interception is None or not (
                path.startswith(b"POST") and path.endswith(interception.calls[0])
            ):
                return None
            self._interception = (
                replace(interception, calls=interception.calls[1:]) if len(interception.calls) > 1 else None
            )
            return interception if self._interception is None else None

    def _answer(self, line: Connection, chunk: bytes) -> None:
        interception, line.interception = line.interception, None
        if interception is not None:
            interception.action()
        # A subscription is answered all the same, else it would be no subscription.
        if not (line.events and self.drop_events) or chunk.startswith(b"HTTP/"):
            line.daemon.sendall(chunk)
