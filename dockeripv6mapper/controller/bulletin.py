"""The bulletin: how things are, said to whoever started the daemon and to whoever counts."""

from collections.abc import Callable

from dockeripv6mapper.controller.audience import Meter, ServiceManager
from dockeripv6mapper.mapping.progress import Tally


class Bulletin:
    """Says when all is done for the first time, and from then on how many are in which state."""

    def __init__(self, service: ServiceManager, meter: Meter, tally: Callable[[], Tally]) -> None:
        self._service = service
        self._meter = meter
        self._tally = tally
        self._connected = False
        self._ready = False

    def set_connected(self, connected: bool) -> None:
        """Say that the engine came or went."""
        self._connected = connected
        self._meter.engine_connected(connected)
        self.publish()

    def publish(self) -> None:
        """Say how things are now."""
        tally = self._tally()
        self._meter.tallied(tally)
        self._service.status(str(tally) if self._connected else f"the engine is away; {tally}")

    def done(self) -> None:
        """Everything was looked at, and nothing is under way; the first time, the daemon is ready."""
        if not self._ready:
            self._ready = True
            self.publish()
            self._service.ready()
