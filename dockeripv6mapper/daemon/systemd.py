"""Notify: what the daemon tells the service manager, in the protocol of sd_notify(3).

One datagram a message, on a socket that the service manager names. systemd promises that the protocol stays
as it is, and recommends to speak it directly: the bindings to its library want a compiler or its headers
wherever the program is installed, for what are a few lines here.
"""

import logging
import os
import socket
import time
from math import inf
from typing import Self

from dockeripv6mapper.controller.observers import ServiceManager

log = logging.getLogger(__name__)

BEATS_PER_LIMIT = 4
"""How often a sign of life is due within the service manager's limit: two may be late without harm."""


class Notifier(ServiceManager):
    """A service manager that listens on a socket."""

    def __init__(self, connection: socket.socket, beat_seconds: float = inf) -> None:
        """`connection` has its other end already; `beat_seconds`: how often it wants a sign of life."""
        self._connection = connection
        self._connection.setblocking(False)
        self.beat_seconds = beat_seconds
        self._next_beat = 0.0
        self._status = ""

    @classmethod
    def of_environment(cls) -> Self | None:
        """The service manager that started this process; None where that was somebody else.

        What names it is taken out of the environment: programs that we run are not to speak for us.
        """
        address = os.environ.pop("NOTIFY_SOCKET", "")
        limit = os.environ.pop("WATCHDOG_USEC", "")
        whose = os.environ.pop("WATCHDOG_PID", "")
        if not address:
            return None
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            # An @ stands for the zero byte with which an address in the abstract namespace begins.
            connection.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        except OSError as error:
            connection.close()
            log.warning("connecting to the service manager at %s: %s", address, error)
            return None
        watched = limit.isdecimal() and whose in ("", str(os.getpid()))
        return cls(connection, int(limit) / 1e6 / BEATS_PER_LIMIT if watched else inf)

    def ready(self, missing: str) -> None:
        if missing:
            log.info("ready: %s", missing)
        self._send("READY=1")

    def beat(self) -> None:
        now = time.monotonic()
        if self.beat_seconds < inf and now >= self._next_beat:
            self._next_beat = now + self.beat_seconds
            self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def close(self) -> None:
        """Say no more."""
        self._connection.close()

    def _send(self, message: str) -> None:
        try:
            self._connection.send(message.encode())
        except OSError as error:
            # It is restarting, or gone: it asks nothing of us then, and containers come first.
            log.debug("telling the service manager %s: %s", message, error)
