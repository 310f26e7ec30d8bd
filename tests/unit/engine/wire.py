"""The wire: a local socket that answers as an engine does, but for the calls that it is told to spoil.

An engine that misbehaves cannot be had otherwise. What a real one answers is tested on the real ones.
"""

import json
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

INSPECTED = {
    "Id": "6ba2",
    "Name": "/mon_container",
    "Image": "sha256:1",
    "Created": "2026-01-02T03:04:05.678Z",
    "Config": {"Labels": {}},
    "HostConfig": {"NetworkMode": "bridge"},
    "State": {"Status": "created", "Running": False},
    "NetworkSettings": {"Networks": {}},
}
SINGLE = {"_ping": "OK", "info": {}}
"""What is answered, by the end of the path; else an inspection to `…/json` of one, and else an empty list."""

NETWORK = {
    "Id": "net-id",
    "Name": "he_ipv6",
    "Driver": "bridge",
    "EnableIPv6": True,
    "Internal": False,
    "IPAM": {"Config": None},
    "Options": None,
    "Labels": None,
}
"""The one network that is listed."""

HANG = b""
"""In place of an answer: there is none, until the test ends."""


def answer(status: int, body: str, *, length: int | None = None, last: bool = True) -> bytes:
    """An answer as it goes over the wire, by default the last on its connection.

    With a `length` that the body does not have, it is cut short.
    """
    size = len(body) if length is None else length
    fields = f"Content-Type: application/json\r\nContent-Length: {size}\r\n"
    end = "Connection: close\r\n" if last else ""
    return f"HTTP/1.1 {status} Status\r\n{fields}{end}\r\n{body}".encode()


@dataclass(frozen=True, slots=True)
class Change:
    """A connect or a disconnect, as it came over the wire."""

    path: str
    body: Mapping[str, Any]

    @property
    def verb(self) -> str:
        """`connect` or `disconnect`."""
        return self.path.rpartition("/")[2]

    @property
    def network(self) -> str:
        """How the network was named."""
        return self.path.split("/")[-2]

    @property
    def version(self) -> str:
        """The version of the API that it was made in: `1.41`."""
        return self.path.split("/")[1].removeprefix("v")

    @property
    def endpoint(self) -> Mapping[str, Any]:
        """The `EndpointSettings` of a connect."""
        settings: Mapping[str, Any] = self.body["EndpointConfig"]
        return settings


class Wire:
    """Answers at `path`; what it `spoils`, by the end of a request's path, it answers so, and hangs up."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listener = socket.socket(socket.AF_UNIX)
        self._lines: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._ended = threading.Event()
        self.spoils: dict[str, bytes] = {}
        self.inspected: dict[str, object] = {}
        """The endpoints that an inspection shows, by network."""
        self.state: dict[str, object] = {"Status": "created", "Running": False}
        """What an inspection shows as the container's state."""
        self.config: dict[str, str] = {}
        """What it shows as the container's configuration, besides labels."""
        self.network_mode = "bridge"
        """The network that the container was created on."""
        self.version = "1.41"
        self.asked: list[str] = []
        self.changes: list[Change] = []
        """Every connect and disconnect that arrived."""
        self.refusals: dict[int, bytes] = {}
        """What the n-th of `changes`, from 0, is answered in place of success."""

    @property
    def url(self) -> str:
        """What a client is told as its engine."""
        return f"unix://{self._path}"

    def __enter__(self) -> Self:
        self._listener.bind(str(self._path))
        self._listener.listen()
        self._start(threading.Thread(target=self._accept))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self.hang_up()
        for thread in self._threads:
            thread.join(timeout=10)
        self._listener.close()

    def hang_up(self) -> None:
        """End every connection that there is."""
        for line in self._lines:
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def _start(self, thread: threading.Thread) -> None:
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while not self._ended.is_set():
                line, _ = self._listener.accept()
                self._lines.append(line)
                self._start(threading.Thread(target=self._serve, args=(line,)))

    def _serve(self, line: socket.socket) -> None:
        with line, line.makefile("rb") as requests, suppress(OSError):
            while request := requests.readline():
                length = 0
                while header := requests.readline().strip():
                    name, _, value = header.lower().partition(b":")
                    length = int(value) if name == b"content-length" else length
                body = requests.read(length)
                path = request.split()[1].decode().partition("?")[0]
                self.asked.append(path)
                spoilt = next((each for end, each in self.spoils.items() if path.endswith(end)), None)
                if path.endswith(("/connect", "/disconnect")):
                    self.changes.append(Change(path, json.loads(body)))
                    spoilt = self.refusals.get(len(self.changes) - 1, spoilt)
                if spoilt is not None:
                    line.sendall(spoilt)
                    if spoilt == HANG:
                        self._ended.wait(timeout=60)
                    return
                line.sendall(answer(200, json.dumps(self._good(path)), last=False))

    def _good(self, path: str) -> object:
        end = path.rpartition("/")[2]
        if end == "networks":
            return [NETWORK]
        if end == "json" and path.count("/") > 3:
            return {
                **INSPECTED,
                "State": self.state,
                "Config": {"Labels": {}, **self.config},
                "HostConfig": {"NetworkMode": self.network_mode},
                "NetworkSettings": {"Networks": self.inspected},
            }
        if end == "version":
            return {"ApiVersion": self.version}
        return SINGLE.get(end, [])
