"""Observers: the interfaces of the service manager and the metrics, and the reports to both.

The two interfaces do nothing here. `daemon` implements the first with sd_notify, `report.metrics` the second.
They are called under the loop's lock and must return at once.
"""

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # The command line needs only the names of these classes.
    from dockeripv6mapper.mapping.state import Tally


class ServiceManager:
    """The service manager that started the daemon."""

    beat_seconds: float = inf
    """Maximum interval between two calls of `beat`."""

    def ready(self, missing: str) -> None:
        """The daemon is ready. `missing`: why no full pass was made yet; empty where one was."""

    def beat(self) -> None:
        """The loop is alive. May be called at any rate."""

    def status(self, text: str) -> None:
        """The current state, in one line."""

    def stopping(self) -> None:
        """The loop has begun to end."""


class Meter:
    """Metrics."""

    def engine_connected(self, connected: bool) -> None:
        """Whether the event stream is subscribed to."""

    def event(self, lag: float) -> None:
        """An event was handled, `lag` seconds after it happened."""

    def passed(self, seconds: float, *, whole: bool) -> None:
        """A pass ended: over everything, or over some containers."""

    def acted(self, action: str, seconds: float, *, failed: bool) -> None:
        """An action ended; the engine's answers took `seconds`."""

    def raced(self, *, won: bool) -> None:
        """A new container was started. `won`: its address was there before."""

    def retrying(self) -> None:
        """An action or inspection failed, and will be retried."""

    def answered(self, uplink: str) -> None:
        """The daemon answered a neighbour solicitation, besides the kernel. Called on another thread."""

    def tallied(self, tally: "Tally") -> None:
        """The current numbers of containers and proxy entries."""


class Reports:
    """Reports readiness once, and the current state whenever it may have changed.

    Ready means that the daemon waits for nothing but the engine. Otherwise a service manager would kill and
    restart the daemon again and again while the engine is unreachable.
    """

    def __init__(self, service: ServiceManager, meter: Meter, tally: "Callable[[], Tally]") -> None:
        self._service = service
        self._meter = meter
        self._tally = tally
        self._connected = False
        self._ready = False

    def engine_connected(self) -> None:
        """The event stream is subscribed to."""
        self._connected = True
        self._meter.engine_connected(True)
        self.publish()

    def engine_lost(self, error: Exception) -> None:
        """The event stream has ended. Until the engine is back there is nothing to wait for."""
        self._connected = False
        self._be_ready(f"the engine is unreachable: {error}; containers are mapped once it answers")
        self._meter.engine_connected(False)
        self.publish()

    def publish(self) -> None:
        """Report the current state."""
        tally = self._tally()
        self._meter.tallied(tally)
        self._service.status(str(tally) if self._connected else f"the engine is unreachable; {tally}")

    def first_pass_done(self) -> None:
        """A full pass has ended, and every action that followed from it."""
        if not self._ready:
            self._be_ready("")
            self.publish()

    def first_pass_late(self, why: str) -> None:
        """The first full pass fails or takes too long: be ready without it."""
        self._be_ready(f"{why}; containers are mapped later")

    def _be_ready(self, missing: str) -> None:
        if not self._ready:
            self._ready = True
            self._service.ready(missing)
