"""Observers: who is told how the daemon does. Here nobody listens.

`daemon.notify` tells the service manager, `report.metrics` counts. Both are called on the loop's own thread,
and return at once.
"""

from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # The command line needs only the names of these classes.
    from dockeripv6mapper.mapping.progress import Tally


class ServiceManager:
    """What started the daemon, and watches over it."""

    beat_seconds: float = inf
    """How often the loop has to give a sign of life, at least."""

    def ready(self, missing: str) -> None:
        """The daemon is ready. `missing`: why no full pass has been made; empty where one has."""

    def beat(self) -> None:
        """The loop is alive. May be called at any rate."""

    def status(self, text: str) -> None:
        """How things are, in one line."""

    def stopping(self) -> None:
        """The loop has begun to end."""


class Meter:
    """Numbers for whoever watches a fleet."""

    def engine_connected(self, connected: bool) -> None:
        """Events flow, or do not."""

    def event(self, lag: float) -> None:
        """An event was taken up, so many seconds after it happened."""

    def passed(self, seconds: float, *, whole: bool) -> None:
        """A pass was made: over everything, or over some containers."""

    def acted(self, action: str, seconds: float, *, failed: bool) -> None:
        """The engine answered a call that was to change an endpoint; the answer was awaited for so long."""

    def raced(self, *, won: bool) -> None:
        """A new container was started: count whether its address was there before."""

    def retrying(self) -> None:
        """Something failed for a container, and will be tried again."""

    def tallied(self, tally: "Tally") -> None:
        """How many there are of each kind now."""
