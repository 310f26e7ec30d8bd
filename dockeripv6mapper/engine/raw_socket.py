"""Raw connections: to the engine's local socket, without Docker's library.

The library takes one to two milliseconds for a call, and some tenths for an event; the start that a connect
has to precede comes within three. `spares` has the connections for those; here are the event stream, and what
both share.
"""

import json
import logging
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any

from dockeripv6mapper.errors import EngineRefusedError

log = logging.getLogger(__name__)

NOT_FOUND = 404
FIRST_ERROR = 400


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds the engine may be silent."""

    question: float = 30.0
    """A list of 1,000 containers takes a twentieth of that on two busy cores; who takes longer hangs."""
    change: float = 60.0
    """A connect waits for a start of the same container to end."""
    idle: int = 30
    """After so many seconds without a byte, a TCP connection is probed (tcp(7), `TCP_KEEPIDLE`)."""
    interval: int = 10
    """Between two probes (`TCP_KEEPINTVL`)."""
    probes: int = 3
    """Unanswered ones, after which the connection counts as lost (`TCP_KEEPCNT`)."""

    @property
    def keepalive(self) -> list[tuple[int, int, int]]:
        """Options of a TCP socket. No event may come for days, so silence alone tells nothing."""
        return [
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, self.idle),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, self.interval),
            (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, self.probes),
        ]


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
                raise EngineRefusedError(f"subscribing to events: {explanation(self._response.read())}")
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


def read_answer(connection: socket.socket) -> tuple[int, bytes, bool]:
    """Status and body of the next answer, and whether the connection may be used again."""
    with HTTPResponse(connection) as response:
        response.begin()
        return response.status, response.read(), not response.will_close


def explanation(body: bytes) -> str:
    """The engine's own words; as they are, where they are not what its API says they are."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, LookupError, TypeError):
        return body.decode(errors="replace").strip() or "no explanation"
