"""Spare connections: to the engine's local socket, open before they are needed, one write for a request.

A thread of their own opens another for each that is used up, so that neither the thread that reads events nor
one that awaits an answer waits for it.
"""

import json
import logging
import math
import select
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from http.client import HTTPException
from queue import Empty, SimpleQueue
from typing import Any

from dockeripv6mapper import backoff
from dockeripv6mapper.engine.raw_socket import FIRST_ERROR, NOT_FOUND, Patience, explanation, read_answer
from dockeripv6mapper.errors import EngineRefusedError, EngineUnavailableError, GoneError, NoAnswerError

log = logging.getLogger(__name__)

SPARES = 8
"""There are as many threads that await their answers: what a burst has beyond that is left to the passes."""
PING = b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n"
"""The engine drops a connection on which no request came for five minutes; after a first one it does not."""


class Exchange:
    """One request and its answer, on a connection that goes back to the spare ones then, or is replaced."""

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
        self._spares.replace()

    def result(self, doing: str) -> None:
        """Wait for the answer; raise what it says went wrong.

        `doing` begins the message of the `EngineRefusedError`, `GoneError`, `NoAnswerError` or
        `EngineUnavailableError`.
        """
        try:
            status, body, reusable = read_answer(self._connection)
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
            raise GoneError(f"{doing}: {explanation(body)}")
        if status >= FIRST_ERROR:
            raise EngineRefusedError(f"{doing}: {explanation(body)}")


class SpareConnections:
    """Connections to a socket, of which any thread may take one or give one back, until they are closed."""

    def __init__(self, path: str, patience: Patience | None = None) -> None:
        self._path = path
        self._patience = patience or Patience()
        self._spares: SimpleQueue[socket.socket] = SimpleQueue()
        self._missing: SimpleQueue[None] = SimpleQueue()
        """One entry for each connection that is to be opened; and one to wake the thread at the end."""
        self._closed = threading.Event()
        self._failing = False
        """Whether it was logged that there are none."""
        self._thread = threading.Thread(target=self._open_missing, name="spares", daemon=True)

    def open(self) -> None:
        """Open all. Those that cannot be opened now are opened later, by the thread."""
        for number in range(SPARES):
            try:
                self.put(self._open())
            except (OSError, HTTPException) as error:
                self._say_failing(error)
                for _ in range(SPARES - number):
                    self.replace()
                break
        self._thread.start()

    def put(self, connection: socket.socket) -> None:
        """Take a connection back that nothing is under way on."""
        self._spares.put(connection)
        if self._closed.is_set():
            self._drop_all()

    def replace(self) -> None:
        """Have another opened, in place of one that was closed."""
        self._missing.put(None)

    def take(self) -> Exchange | None:
        """An exchange to begin; None where there is no connection to spare."""
        try:
            while _was_closed(connection := self._spares.get_nowait()):
                connection.close()
                self.replace()
        except Empty:
            return None
        return Exchange(connection, self)

    def close(self) -> None:
        """Close what is spare now, and what is given back later."""
        self._closed.set()
        self._missing.put(None)
        self._drop_all()

    def _drop_all(self) -> None:
        try:
            while True:
                self._spares.get_nowait().close()
        except Empty:
            return

    def _open(self) -> socket.socket:
        """A new connection. Raises `OSError`, `HTTPException`."""
        with ExitStack() as unusable:
            connection = unusable.enter_context(socket.socket(socket.AF_UNIX))
            connection.settimeout(self._patience.question)
            connection.connect(self._path)
            connection.sendall(PING)
            status, _, reusable = read_answer(connection)
            if not reusable or status >= FIRST_ERROR:
                # A proxy that takes one request a connection, or has no engine behind it.
                raise HTTPException(f"the connection ends with its first answer, whose status is {status}")
            connection.settimeout(self._patience.change)
            unusable.pop_all()
        return connection

    def _open_missing(self) -> None:
        """Open one connection for each that is missing, however often that has to be tried."""
        failures = 0
        while not self._closed.is_set():
            self._missing.get()
            while not self._closed.is_set():
                try:
                    self.put(self._open())
                except (OSError, HTTPException) as error:
                    failures += 1
                    if self._spares.empty():
                        self._say_failing(error)
                    self._closed.wait(backoff.delay(failures))
                else:
                    failures = 0
                    self._say_working()
                    break

    def _say_failing(self, error: Exception) -> None:
        if not self._failing and not self._closed.is_set():
            self._failing = True
            log.warning(
                "until this ends new containers are connected by the passes, some milliseconds later: "
                "opening connections to %s: %s",
                *(self._path, error or "the engine ended the connection"),
            )

    def _say_working(self) -> None:
        if self._failing:
            self._failing = False
            log.info("new containers are connected at once again")


def _was_closed(connection: socket.socket) -> bool:
    """Whether the other end closed a connection on which no answer is due: then there is its end to read."""
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))
