"""Early connects: a container that was just created is connected by the thread that read of it.

Between the create event and the container's start there are a few milliseconds. The thread decides by an
outlook that the controller made, and tells the controller of what it has begun, in order with the events.
Where anything is not plain it does nothing, and the passes do the same a little later.
"""

import logging
import math
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv6Address

from dockeripv6mapper.actions import Connect
from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.engine.endpoint_settings import added
from dockeripv6mapper.engine.journal import Journal, Unfinished
from dockeripv6mapper.engine.spares import Exchange, SpareConnections
from dockeripv6mapper.engine.under_way import UnderWay
from dockeripv6mapper.errors import MapperError
from dockeripv6mapper.mapping.outlook import Outlook
from dockeripv6mapper.model import Container

log = logging.getLogger(__name__)

MS = 1000


@dataclass(frozen=True, slots=True)
class Sent:
    """A connect that the engine was asked for; `Endpoints.conclude` awaits its answer."""

    action: Connect
    exchange: Exchange
    lag_ms: float
    """From the event to the written request; not a number where the event has no time."""
    posted: float
    """When the request was written, by `time.monotonic`."""


class EarlyConnects:
    """Used by the thread that reads events; only `publish` is called by another, the controller's."""

    def __init__(self, client: Client, journal: Journal, under_way: UnderWay) -> None:
        self._client = client
        self._journal = journal
        self._under_way = under_way
        self._outlook: Outlook | None = None
        self._spares: SpareConnections | None = None
        self._prefix = ""
        """The beginning of every path: the API's version."""
        self._image_changes = 0
        self._sent = 0
        self._handed_out: deque[IPv6Address] = deque()
        """The addresses of connects that the outlook does not account for yet, in their order."""

    def publish(self, outlook: Outlook) -> None:
        """Decide by `outlook` from now on."""
        self._outlook = outlook

    def subscribed(self) -> None:
        """Events flow (again): whatever happened before is not known. Opens connections to the engine.

        Raises `MapperError`.
        """
        self.images_changed()
        path = self._client.socket_path
        self.close()
        if path is None:
            return
        major, minor = self._client.api_version()
        self._prefix = f"/v{major}.{minor}"
        self._spares = SpareConnections(path, self._client.patience)
        self._spares.open()

    def close(self) -> None:
        """Close the connections that nothing is under way on."""
        if self._spares is not None:
            self._spares.close()
            self._spares = None

    def images_changed(self) -> None:
        """An image's name may mean another image from now on."""
        self._image_changes += 1

    def connect(self, created: Container, at: float | None) -> Sent | None:
        """Ask the engine to connect a container that was just created.

        `at`: its event's time, in seconds since the epoch. None: nothing was asked for.
        """
        try:
            return self._connect(created, at)
        except (MapperError, OSError) as error:
            # The passes meet the same trouble, and say it.
            log.debug("leaving container %s to the passes: %s", created.name, error)
            return None

    def _connect(self, created: Container, at: float | None) -> Sent | None:
        outlook, spares = self._outlook, self._spares
        if outlook is None or spares is None or outlook.images_as_of != self._image_changes:
            return None
        while len(self._handed_out) > self._sent - outlook.connects:
            self._handed_out.popleft()
        action = outlook.connect(created)
        if action is None or action.address in self._handed_out:
            return None
        if (exchange := self._ask(action, spares)) is None:
            return None
        lag_ms = math.nan if at is None else (time.time() - at) * MS
        self._sent += 1
        self._handed_out.append(action.address)
        return Sent(action, exchange, lag_ms, exchange.posted)

    def _ask(self, action: Connect, spares: SpareConnections) -> Exchange | None:
        """Note the connect, then write its request: what is under way must be known after a death.

        None: there is no connection to spare, or the controller is changing the container already, which it
        knows from a list. Raises `MapperError`, `OSError`; the request was not made then.
        """
        if not self._under_way.begin(action):
            return None
        with ExitStack() as undone:
            undone.callback(self._under_way.end, action.container_id)
            if (exchange := spares.take()) is None:
                return None
            undone.callback(exchange.close)
            undone.callback(self._journal.erase, action.container_id)
            self._journal.write(action.container_id, Unfinished(action.network_id, action.network, None))
            body = {"Container": action.container_id, "EndpointConfig": added(action.address)}
            exchange.post(f"{self._prefix}/networks/{action.network_id}/connect", body)
            undone.pop_all()
        return exchange
