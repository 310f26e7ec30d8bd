"""The protocol sd_notify(3): the daemon's readiness, watchdog and status line for systemd.

One message is one datagram to the socket that `$NOTIFY_SOCKET` names. systemd guarantees that the protocol is
stable and recommends to implement it directly. The Python bindings to libsystemd need a compiler or headers.
"""

import logging
import os
import socket
import time
from math import inf
from typing import Self

from dockeripv6mapper.controller.observers import ServiceManager

log = logging.getLogger(__name__)

BEATS_PER_WATCHDOG_TIMEOUT = 4
"""Watchdog messages within one `WatchdogSec=`. Two in a row may be late before systemd ends the daemon."""


class Notifier(ServiceManager):
    """systemd, or any service manager with the same protocol."""

    def __init__(self, connection: socket.socket, beat_seconds: float = inf) -> None:
        """`connection` is connected; `beat_seconds` is the interval of watchdog messages, `inf` for none."""
        self._connection = connection
        self._connection.setblocking(False)
        self.beat_seconds = beat_seconds
        self._next_beat = 0.0
        self._status = ""

    @classmethod
    def of_environment(cls) -> Self | None:
        """The service manager that started this process; None if the environment names none.

        The variables are removed from the environment, so that child processes do not send messages.
        """
        address = os.environ.pop("NOTIFY_SOCKET", "")
        timeout_usec = os.environ.pop("WATCHDOG_USEC", "")
        watched_pid = os.environ.pop("WATCHDOG_PID", "")
        if not address:
            return None
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            # A leading @ means an abstract address, which begins with a zero byte (unix(7)).
            connection.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        except OSError as error:
            connection.close()
            log.warning("connecting to the service manager at %s: %s", address, error)
            return None
        watched = timeout_usec.isdecimal() and watched_pid in ("", str(os.getpid()))
        return cls(connection, int(timeout_usec) / 1e6 / BEATS_PER_WATCHDOG_TIMEOUT if watched else inf)

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
        """Close the socket."""
        self._connection.close()

    def _send(self, message: str) -> None:
        try:
            self._connection.send(message.encode())
        except OSError as error:
            # The service manager restarts or is gone. Containers do not depend on it: go on.
            log.debug("sending %s to the service manager: %s", message, error)
