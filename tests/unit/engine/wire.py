"""A fake engine on a local socket. It answers some calls wrongly, where a test says so.

Real engines do not misbehave on demand. What they answer is tested in the lab.
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
"""Answers by the last part of the path. Other paths are answered with an inspection or a list."""

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
"""In place of an answer: send none until the test ends."""


def answer(status: int, body: str, *, length: int | None = None, last: bool = True) -> bytes:
    """The bytes of an HTTP answer; `last`: the connection is closed after it.

    A `length` above the body's makes an answer that is cut short.
    """
    size = len(body) if length is None else length
    fields = f"Content-Type: application/json\r\nContent-Length: {size}\r\n"
    end = "Connection: close\r\n" if last else ""
    return f"HTTP/1.1 {status} Status\r\n{fields}{end}\r\n{body}".encode()


@dataclass(frozen=True, slots=True)
class Change:
    """A connect or a disconnect that the engine received."""

    path: str
    body: Mapping[str, Any]

    @property
    def verb(self) -> str:
        """`connect` or `disconnect`."""
        return self.path.rpartition("/")[2]

    @property
    def network(self) -> str:
        """The network's name or ID, as the call gave it."""
        return self.path.split("/")[-2]

    @property
    def version(self) -> str:
        """The version of the API that the call used: `1.41`."""
        return self.path.split("/")[1].removeprefix("v")

    @property
    def endpoint(self) -> Mapping[str, Any]:
        """The `EndpointSettings` of a connect."""
        settings: Mapping[str, Any] = self.body["EndpointConfig"]
        return settings


class Wire:
    """A fake engine that listens at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listener = socket.socket(socket.AF_UNIX)
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._ended = threading.Event()
        self.spoils: dict[str, bytes] = {}
        """Wrong answers, by the end of the request's path. The connection is closed after one."""
        self.inspected: dict[str, object] = {}
        """The endpoints that an inspection shows, by network."""
        self.state: dict[str, object] = {"Status": "created", "Running": False}
        """The container's state in an inspection."""
        self.config: dict[str, str] = {}
        """The container's configuration in an inspection, besides labels."""
        self.network_mode = "bridge"
        """The network that the container was created on."""
        self.version = "1.41"
        """The newest version of the API that is offered."""
        self.components = ["Engine", "containerd", "runc", "docker-init"]
        """The programs that the engine says it consists of."""
        self.asked: list[str] = []
        """The path of each request."""
        self.changes: list[Change] = []
        """Every connect and disconnect that was received."""
        self.refusals: dict[int, bytes] = {}
        """Answers to the n-th of `changes`, from 0, in place of success."""

    @property
    def url(self) -> str:
        """The engine's address for a client."""
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
        """Close all connections."""
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _start(self, thread: threading.Thread) -> None:
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while not self._ended.is_set():
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                self._start(threading.Thread(target=self._serve, args=(connection,)))

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as requests, suppress(OSError):
            while request := requests.readline():
                length = 0
                while header := requests.readline().strip():
                    name, _, value = header.lower().partition(b":")
                    length = int(value) if name == b"content-length" else length
                body = requests.read(length)
                path = request.split()[1].decode().partition("?")[0]
                self.asked.append(path)
                wrong_answer = next((each for end, each in self.spoils.items() if path.endswith(end)), None)
                if path.endswith(("/connect", "/disconnect")):
                    self.changes.append(Change(path, json.loads(body)))
                    wrong_answer = self.refusals.get(len(self.changes) - 1, wrong_answer)
                if wrong_answer is not None:
                    connection.sendall(wrong_answer)
                    if wrong_answer == HANG:
                        self._ended.wait(timeout=60)
                    return
                connection.sendall(answer(200, json.dumps(self._right_answer(path)), last=False))

    def _right_answer(self, path: str) -> object:
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
            components = [{"Name": name, "Version": ""} for name in self.components]
            return {"ApiVersion": self.version, "Components": components}
        return SINGLE.get(end, [])
