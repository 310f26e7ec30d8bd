"""Raw connections: to the engine's local socket, open before they are needed, one write for a request.

Docker's library takes one to two milliseconds for a call, and some tenths for an event; the start that a
connect has to precede comes within three. An answer is read by whoever has the time.
"""

import json
import logging
import math
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from queue import Empty, SimpleQueue
from typing import Any

from dockeripv6mapper.errors import (
    EngineRefusedError,
    EngineUnavailableError,
    GoneError,
    NoAnswerError,
)

log = logging.getLogger(__name__)

SPARES = 8
"""There are as many threads that await their answers: what a burst has beyond that is left to the passes."""
PING = b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n"
"""The engine drops a connection on which no request came for five minutes; after a first one it does not."""
NOT_FOUND = 404
FIRST_ERROR = 400


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds the engine may be silent."""

    question: float = 30.0
    """A list of 1,000 containers takes a twentieth of that on two busy cores; who takes longer hangs."""
    change: float = 60.0
    """A connect waits for a start of the same container to end."""


class Exchange:
    """One request and its answer, on a connection that goes back to the spare ones then."""

    def __init__(self, connection: socket.socket, spares: "SpareConnections") -> None:
        self._connection = connection
        self._spares = spares
        self.posted = math.nan
        """When the request was written, by `time.monotonic`."""

    def post(self, path: str, body: Mapping[str, Any]) -> None:
        """Write the request. Raises `OSError` where the engine has closed the connection."""
        content = json.dumps(body)
        head = f"POST {path} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length:"
        self._connection.sendall(f"{head} {len(content)}\r\n\r\n{content}".encode("ascii"))
        self.posted = time.monotonic()

    def close(self) -> None:
        """End it, and with it the connection."""
        self._connection.close()

    def result(self, doing: str) -> None:
        """Wait for the answer; raise what it says went wrong.

        `doing` begins the message of the `EngineRefusedError`, `GoneError`, `NoAnswerError` or
        `EngineUnavailableError`.
        """
        try:
            status, body, reusable = _answer(self._connection)
        except TimeoutError as error:
            self.close()
            raise NoAnswerError(f"{doing}: the engine does not answer") from error
        except (OSError, HTTPException) as error:
            self.close()
            raise EngineUnavailableError(f"{doing}: {error or 'the engine ended the connection'}") from error
        log.debug("%s: answer read after %.2f ms", doing, (time.monotonic() - self.posted) * 1000)
        if reusable:
            self._spares.put(self._connection)
        else:
            self.close()
        if status == NOT_FOUND:
            raise GoneError(f"{doing}: {_explanation(body)}")
        if status >= FIRST_ERROR:
            raise EngineRefusedError(f"{doing}: {_explanation(body)}")


class SpareConnections:
    """Connections to a socket, of which any thread may take one or give one back."""

    def __init__(self, path: str, patience: Patience | None = None) -> None:
        self._path = path
        self._patience = patience or Patience()
        self._spares: SimpleQueue[socket.socket] = SimpleQueue()

    def renew(self) -> None:
        """Replace all by new ones: the engine may be another process now.

        Raises `OSError`, `HTTPException`.
        """
        self.close()
        for _ in range(SPARES):
            with ExitStack() as unusable:
                connection = unusable.enter_context(socket.socket(socket.AF_UNIX))
                connection.settimeout(self._patience.question)
                connection.connect(self._path)
                connection.sendall(PING)
                if not _answer(connection)[2]:
                    # A proxy that takes one request a connection: none can be spared then.
                    return
                connection.settimeout(self._patience.change)
                unusable.pop_all()
            self.put(connection)

    def put(self, connection: socket.socket) -> None:
        """Take a connection back that nothing is under way on."""
        self._spares.put(connection)

    def take(self) -> Exchange | None:
        """An exchange to begin; None where there is no connection to spare."""
        try:
            return Exchange(self._spares.get_nowait(), self)
        except Empty:
            return None

    def close(self) -> None:
        """Close what is spare now."""
        try:
            while True:
                self._spares.get_nowait().close()
        except Empty:
            return


class EventStream:
    """The engine's events on a connection of their own, each as it comes: one line of JSON."""

    def __init__(self, path: str, target: str, patience: Patience) -> None:
        """Ask for `target` at the socket `path`.

        Raises `EngineRefusedError`, `OSError`, `HTTPException`.
        """
        with ExitStack() as unusable:
            self._connection = unusable.enter_context(socket.socket(socket.AF_UNIX))
            self._connection.settimeout(patience.question)
            self._connection.connect(path)
            self._connection.sendall(f"GET {target} HTTP/1.1\r\nHost: docker\r\n\r\n".encode("ascii"))
            self._response = unusable.enter_context(HTTPResponse(self._connection))
            self._response.begin()
            if self._response.status >= FIRST_ERROR:
                raise EngineRefusedError(f"subscribing to events: {_explanation(self._response.read())}")
            # Nothing may happen for days.
            self._connection.settimeout(None)
            unusable.pop_all()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield events until the stream ends. Raises `OSError`, `HTTPException`, `ValueError`."""
        with self._response:
            yield from map(json.loads, self._response)

    def close(self) -> None:
        """End the stream, from any thread."""
        with suppress(OSError):  # ended already
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()


def _answer(connection: socket.socket) -> tuple[int, bytes, bool]:
    """Status and body of the next answer, and whether the connection may be used again."""
    with HTTPResponse(connection) as response:
        response.begin()
        return response.status, response.read(), not response.will_close


def _explanation(body: bytes) -> str:
    """The engine's own words; as they are, where they are not what its API says they are."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, LookupError, TypeError):
        return body.decode(errors="replace").strip() or "no explanation"
