"""The bulletin: how things are, said to whoever started the daemon and to whoever counts."""

from collections.abc import Callable

from dockeripv6mapper.controller.observers import Meter, ServiceManager
from dockeripv6mapper.mapping.progress import Tally


class Bulletin:
    """Reports that the daemon is ready, and from then on how many containers are in which state.

    Ready means that the daemon waits for nothing but the engine. A service manager that waited for the engine
    too would kill a daemon whose engine is away, and start it again and again.
    """

    def __init__(self, service: ServiceManager, meter: Meter, tally: Callable[[], Tally]) -> None:
        self._service = service
        self._meter = meter
        self._tally = tally
        self._connected = False
        self._ready = False

    def engine_came(self) -> None:
        """Events flow."""
        self._connected = True
        self._meter.engine_connected(True)
        self.publish()

    def engine_went(self, error: Exception) -> None:
        """Events do not flow, or no longer: until the engine is back there is nothing to wait for."""
        self._connected = False
        self._be_ready(f"the engine is away: {error}; its containers are mapped when it is back")
        self._meter.engine_connected(False)
        self.publish()

    def publish(self) -> None:
        """Say how things are now."""
        tally = self._tally()
        self._meter.tallied(tally)
        self._service.status(str(tally) if self._connected else f"the engine is away; {tally}")

    def done(self) -> None:
        """A full pass is done, and what followed from it."""
        if not self._ready:
            self._be_ready("")
            self.publish()

    def not_done(self, why: str) -> None:
        """No full pass can be made yet, or what follows from it takes too long: be ready without it."""
        self._be_ready(f"{why}; containers are mapped later")

    def _be_ready(self, missing: str) -> None:
        if not self._ready:
            self._ready = True
            self._service.ready(missing)
