"""A socket proxy: an engine's socket of which only some requests get through.

HTTP over a unix socket, one request for each connection, so that none can hide behind another. What is not
allowed is answered with 403, as the well-known proxies do. Runs on a thread of its own; Python's standard
library alone, for the lab has no registry to pull one of those from.
"""

import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HEAD_LIMIT = 65536
"""Bytes that a request's head may have."""
FORBIDDEN = (
    b'HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{"message":"no"}'
)


class SocketProxy(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Reconciler to `engine` what `allowed` matches whole, a pattern for `METHOD /path?query`."""

    daemon_threads = True

    def __init__(self, path: Path, engine: Path, allowed: re.Pattern[str]) -> None:
        super().__init__(str(path), _Connection)
        self.engine = engine
        self.allowed = allowed
        self.passed: list[str] = []
        self.refused: list[str] = []


@contextmanager
def running(path: Path, engine: Path, allowed: re.Pattern[str]) -> Iterator[SocketProxy]:
    """Listen at `path` for as long as the context lasts."""
    with SocketProxy(path, engine, allowed) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
            path.unlink()


class _Connection(socketserver.BaseRequestHandler):
    server: SocketProxy
    request: socket.socket

    def handle(self) -> None:
        """Pass one request on, and its answer back, for as long as that goes on."""
        head, body = self._read_head()
        line, *headers = head.split("\r\n")
        asked = line.rpartition(" ")[0]
        if not asked:
            return
        kept = [each for each in headers if each and not each.lower().startswith("connection:")]
        length = next(
            (int(each.split(":")[1]) for each in kept if each.lower().startswith("content-length:")), 0
        )
        while len(body) < length and (part := self.request.recv(length - len(body))):
            body += part
        if not self.server.allowed.fullmatch(asked):
            # All was read: what is closed with something unread resets, and the answer may be lost by that.
            self.server.refused.append(asked)
            self.request.sendall(FORBIDDEN)
            return
        self.server.passed.append(asked)
        with socket.socket(socket.AF_UNIX) as engine:
            try:
                engine.connect(str(self.server.engine))
            except OSError:
                return  # the engine is away: the client sees a connection that ends
            engine.sendall("\r\n".join((line, *kept, "Connection: close", "", "")).encode() + body)
            self._pump(engine)

    def _read_head(self) -> tuple[str, bytes]:
        """Return the request's head, and what of its body came with it."""
        received = b""
        while b"\r\n\r\n" not in received and len(received) < HEAD_LIMIT:
            if not (part := self.request.recv(4096)):
                break
            received += part
        head, _, rest = received.partition(b"\r\n\r\n")
        return head.decode("latin-1"), rest

    def _pump(self, engine: socket.socket) -> None:
        """Pass the answer back until either side ends it: an event stream ends with the client."""
        gone = threading.Thread(target=self._end_with_client, args=(engine,), daemon=True)
        gone.start()
        try:
            while part := engine.recv(65536):
                self.request.sendall(part)
        except OSError:
            return  # one of both has ended it

    def _end_with_client(self, engine: socket.socket) -> None:
        try:
            self.request.recv(1)
            engine.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # both have ended already
