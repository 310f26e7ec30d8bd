"""Events: the engine's event stream, as messages for the controller.

An event proves only that a container was created, started, died or was removed; its state is inspected.
The stream is subscribed to again whenever it ends. Each subscription is reported, since everything has to be
listed then.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from dockeripv6mapper import backoff
from dockeripv6mapper.engine.client import Client, Events
from dockeripv6mapper.engine.errors import PARSE_ERRORS, TRANSPORT_ERRORS
from dockeripv6mapper.engine.translate import NANOSECONDS, container_from_event
from dockeripv6mapper.errors import EngineUnavailableError
from dockeripv6mapper.model import Container

log = logging.getLogger(__name__)

LONGEST_RETRY_SECONDS = 3.0
"""Maximum delay before a new subscription, since container starts wait for it.

All is right again within five seconds: the rest is for looking at everything.
"""
STEADY_SECONDS = 10.0
"""After a stream that lasted this long, the delay starts from its minimum again."""
STOP_SECONDS = 1.0
"""How long `stop` waits for the thread, which an engine that does not answer may block."""


class Change(Enum):
    """What happened to a container."""

    CREATED = auto()
    STARTED = auto()
    DIED = auto()
    DESTROYED = auto()
    ATTACHED = auto()
    """It was attached to a network: by its start, by its user, or by the mapper."""
    DETACHED = auto()
    """It was detached from a network."""
    OTHER = auto()
    """Any other event, after which it has to be inspected."""


@dataclass(frozen=True, slots=True)
class ContainerChanged:
    """An event of a container."""

    container_id: str
    change: Change
    created: Container | None = None
    """The container, as a create event describes it."""
    at: float | None = field(default=None, compare=False)
    """The event's time, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class NetworksChanged:
    """A network was created, removed or changed."""


@dataclass(frozen=True, slots=True)
class ImagesChanged:
    """An image was added, removed or renamed."""


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The event stream is subscribed to."""


@dataclass(frozen=True, slots=True)
class StreamLost:
    """The event stream has ended."""

    error: Exception


EventMessage = ContainerChanged | NetworksChanged | ImagesChanged | Subscribed | StreamLost

_CONTAINER_CHANGES = {
    "create": Change.CREATED,
    "start": Change.STARTED,
    "die": Change.DIED,
    "destroy": Change.DESTROYED,
}
_ENDPOINT_CHANGES = {"connect": Change.ATTACHED, "disconnect": Change.DETACHED}


def translate(event: Mapping[str, Any]) -> EventMessage | None:
    """The message for an engine's event; None for an event that does not matter."""
    actor = event.get("Actor") or {}
    attributes = actor.get("Attributes") or {}
    action = event.get("Action", "")
    if event.get("Type") == "network":
        if (changed := _ENDPOINT_CHANGES.get(action)) is None:
            return NetworksChanged()
        container_id = attributes.get("container")
        return ContainerChanged(container_id, changed) if container_id else None
    if event.get("Type") == "image":
        return ImagesChanged()
    if event.get("Type") != "container" or not (container_id := actor.get("ID")):
        return None
    change = _CONTAINER_CHANGES.get(action, Change.OTHER)
    created = None
    if change is Change.CREATED:
        created = container_from_event(container_id, attributes, event.get("timeNano", 0))
    at = event["timeNano"] / NANOSECONDS if "timeNano" in event else None
    return ContainerChanged(container_id, change, created, at=at)


def _translated(event: Mapping[str, Any]) -> EventMessage | None:
    """As `translate`; None also for an event that cannot be read: the next ones can."""
    try:
        return translate(event)
    except PARSE_ERRORS as error:
        log.warning("ignoring an event that cannot be read: %r: %.200r", error, event)
        return None


class EventReader:
    """Subscribes and reads events on a thread of its own, until it is stopped."""

    def __init__(self, client: Client, deliver: Callable[[EventMessage], None]) -> None:
        self._client = client
        self._deliver = deliver
        self._stopping = threading.Event()
        self._stream: Events | None = None
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        """Subscribe, and keep subscribed."""
        self._thread.start()

    def stop(self) -> None:
        """End the stream and the thread: nothing is delivered any more. May be repeated."""
        self._stopping.set()
        self._end_stream()
        self._thread.join(timeout=STOP_SECONDS)

    def _end_stream(self) -> None:
        try:
            if (stream := self._stream) is not None:
                stream.close()
        except (*TRANSPORT_ERRORS, *PARSE_ERRORS) as error:
            # It is just ending by itself, and the library finds no socket to close.
            log.debug("ending the event stream: %r", error)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            self._follow()
            failures = 1 if time.monotonic() - began > STEADY_SECONDS else failures + 1
            self._stopping.wait(backoff.delay(failures, longest=LONGEST_RETRY_SECONDS))

    def _follow(self) -> None:
        """Deliver one subscription's events until it ends."""
        try:
            self._read()
            error: Exception = EngineUnavailableError("the engine ended the event stream")
        except Exception as caught:  # noqa: BLE001 - handed over, not swallowed: the reading has to go on
            error = caught
        # Open connections lead to an engine that has ended. Close them now, and not at a garbage collection.
        self._end_stream()
        self._stream = None
        self._client.close()
        if not self._stopping.is_set():
            self._deliver(StreamLost(error))

    def _read(self) -> None:
        """Raises `MapperError`."""
        self._stream = stream = self._client.events()
        if self._stopping.is_set():
            self._end_stream()
        self._deliver(Subscribed())
        for event in self._events(stream):
            if (message := _translated(event)) is not None:
                self._deliver(message)

    def _events(self, stream: Events) -> Iterator[Mapping[str, Any]]:
        with self._client.session("reading events"):
            yield from stream
