"""HTTP on the engine's local socket, with the standard library: one request, and the event stream.

Docker's library takes one to two milliseconds for a call and some tenths for an event. A container's start
follows its creation within three, and the connect must precede it. An engine that is reached over TCP is
called by the library alone.
"""

import json
import logging
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any

from dockeripv6mapper.engine.errors import refused_error
from dockeripv6mapper.errors import EngineRefusedError, GoneError

log = logging.getLogger(__name__)

NOT_FOUND = 404
FIRST_ERROR = 400
MS = 1000


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How many seconds the engine may be silent."""

    question: float = 30.0
    """A list of 1,000 containers takes a twentieth of that on two busy cores."""
    change: float = 60.0
    """A connect waits for a start of the same container to end."""
    idle: int = 30
    """After so many seconds without a byte, a TCP connection is probed (tcp(7), `TCP_KEEPIDLE`)."""
    interval: int = 10
    """Between two probes (`TCP_KEEPINTVL`)."""
    probes: int = 3
    """Unanswered probes, after which the connection counts as lost (`TCP_KEEPCNT`)."""

    @property
    def keepalive(self) -> list[tuple[int, int, int]]:
        """Options of a TCP socket. No event may come for days, so silence alone tells nothing."""
        return [
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, self.idle),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, self.interval),
            (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, self.probes),
        ]


class PendingResponse:
    """A request that was written, and whose answer is to be read."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._written = time.time()

    def result(self, doing: str) -> None:
        """Wait for the answer.

        `doing` is the beginning of the message of a `GoneError` or an `EngineRefusedError`. Also raises
        `OSError` and `HTTPException`.
        """
        log.debug("%s: request written at %.6f", doing, self._written)
        with self._connection, HTTPResponse(self._connection) as response:
            response.begin()
            answer = response.read()
        log.debug("%s: answer read after %.2f ms", doing, (time.time() - self._written) * MS)
        if response.status == NOT_FOUND:
            raise GoneError(f"{doing}: {explanation(answer)}")
        if response.status >= FIRST_ERROR:
            raise refused_error(doing, explanation(answer))


def post(
    path: str, target: str, body: Mapping[str, Any], timeout: float, *, wait: bool = True
) -> PendingResponse:
    """Write `POST target` to the engine at the socket `path`. Raises `OSError`.

    `timeout`: of the answer, in seconds. `wait`: False raises where the engine does not accept at once.
    """
    connection = _connected(path, timeout if wait else 0)
    with ExitStack() as on_error:
        on_error.enter_context(connection)
        _write(connection, "POST", target, json.dumps(body))
        connection.settimeout(timeout)
        on_error.pop_all()
    return PendingResponse(connection)


def _connected(path: str, seconds: float) -> socket.socket:
    """A connection to a local socket. Raises `OSError`. With 0 seconds it does not wait."""
    with ExitStack() as on_error:
        connection = on_error.enter_context(socket.socket(socket.AF_UNIX))
        connection.settimeout(seconds)
        connection.connect(path)
        on_error.pop_all()
    return connection


def _write(connection: socket.socket, method: str, target: str, body: str = "") -> None:
    head = f"{method} {target} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode("ascii"))


class EventStream:
    """The engine's events on a connection of their own, each as it comes: one line of JSON."""

    def __init__(self, path: str, target: str, timeouts: Timeouts) -> None:
        """Send `GET target` to the engine at the socket `path`.

        Raises `EngineRefusedError`, `OSError`, `HTTPException`.
        """
        with ExitStack() as on_error:
            self._connection = on_error.enter_context(_connected(path, timeouts.question))
            _write(self._connection, "GET", target)
            self._response = on_error.enter_context(HTTPResponse(self._connection))
            self._response.begin()
            if self._response.status >= FIRST_ERROR:
                raise EngineRefusedError(f"subscribing to events: {explanation(self._response.read())}")
            # No event may come for days.
            self._connection.settimeout(None)
            on_error.pop_all()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield events until the stream ends. Raises `OSError`, `HTTPException`, `ValueError`."""
        with self._response:
            yield from map(json.loads, self._response)

    def close(self) -> None:
        """End the stream, from any thread."""
        with suppress(OSError):  # ended already
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()


def explanation(body: bytes) -> str:
    """The engine's own error message; the whole body where it is not what the API documents."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, LookupError, TypeError):
        return body.decode(errors="replace").strip() or "no explanation"
