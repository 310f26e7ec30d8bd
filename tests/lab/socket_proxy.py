"""A docker socket proxy: forwards only allowed requests to an engine's unix socket.

One HTTP request per connection, so that each request is checked. Other requests are answered with 403, as
common socket proxies do. Runs in a thread; standard library only, since the lab cannot pull an image.
"""

import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HEAD_LIMIT = 65536
"""Maximum size of a request's head, in bytes."""
FORBIDDEN = (
    b'HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{"message":"no"}'
)


class SocketProxy(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Forwards to `engine` the requests whose `METHOD /path?query` matches `allowed` completely."""

    daemon_threads = True

    def __init__(self, path: Path, engine: Path, allowed: re.Pattern[str]) -> None:
        super().__init__(str(path), _Connection)
        self.engine = engine
        self.allowed = allowed
        self.forwarded: list[str] = []
        self.refused: list[str] = []


@contextmanager
def running(path: Path, engine: Path, allowed: re.Pattern[str]) -> Iterator[SocketProxy]:
    """Listen at `path` for the duration of the context."""
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
        """Forward one request, and its response until either side closes it."""
        head, body = self._read_head()
        line, *headers = head.split("\r\n")
        target = line.rpartition(" ")[0]
        if not target:
            return
        fields = [each for each in headers if each and not each.lower().startswith("connection:")]
        length = next(
            (int(each.split(":")[1]) for each in fields if each.lower().startswith("content-length:")), 0
        )
        while len(body) < length and (part := self.request.recv(length - len(body))):
            body += part
        if not self.server.allowed.fullmatch(target):
            # The body was read first: closing a socket with unread data resets it, and the 403 may be lost.
            self.server.refused.append(target)
            self.request.sendall(FORBIDDEN)
            return
        self.server.forwarded.append(target)
        with socket.socket(socket.AF_UNIX) as engine:
            try:
                engine.connect(str(self.server.engine))
            except OSError:
                return  # the engine is down: the client sees a closed connection
            engine.sendall("\r\n".join((line, *fields, "Connection: close", "", "")).encode() + body)
            self._pump(engine)

    def _read_head(self) -> tuple[str, bytes]:
        """Return the request's head, and the part of its body that was received with it."""
        received = b""
        while b"\r\n\r\n" not in received and len(received) < HEAD_LIMIT:
            if not (part := self.request.recv(4096)):
                break
            received += part
        head, _, rest = received.partition(b"\r\n\r\n")
        return head.decode("latin-1"), rest

    def _pump(self, engine: socket.socket) -> None:
        """Forward the response until either side closes it: only the client ends an event stream."""
        watcher = threading.Thread(target=self._close_with_client, args=(engine,), daemon=True)
        watcher.start()
        try:
            while part := engine.recv(65536):
                self.request.sendall(part)
        except OSError:
            return  # either side has closed it

    def _close_with_client(self, engine: socket.socket) -> None:
        try:
            self.request.recv(1)
            engine.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # both sides are closed already
