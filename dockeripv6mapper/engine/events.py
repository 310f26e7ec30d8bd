"""The event stream: hints that something changed, as messages for the controller.

An event is never taken for the truth, except that a container was created, started or died: what it is
like now is looked up. The stream is subscribed to anew whenever it ends, and every subscription is
announced, since whatever happened before it has to be listed. What must precede a start is begun here, by
the `fast_path`.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any

from dockeripv6mapper import backoff
from dockeripv6mapper.engine.client import Client, Events
from dockeripv6mapper.engine.fast_path import FastPath, Sent
from dockeripv6mapper.engine.translate import NANOSECONDS, container_from_event
from dockeripv6mapper.errors import EngineUnavailableError, MapperError
from dockeripv6mapper.model import Container

LONGEST_RETRY_SECONDS = 10.0
"""An engine that comes back is noticed within this time: every container start waits for it."""


class Change(Enum):
    """What happened to a container."""

    CREATED = auto()
    STARTED = auto()
    DIED = auto()
    DESTROYED = auto()
    ENDPOINT = auto()
    """It was attached to a network or detached, perhaps by ourselves."""
    OTHER = auto()
    """Anything else after which it has to be looked at."""


@dataclass(frozen=True, slots=True)
class ContainerChanged:
    """Something happened to a container."""

    container_id: str
    change: Change
    created: Container | None = None
    """What a create event tells of it."""
    sent: Sent | None = None
    """The connect that the engine was asked for at once."""
    at: float | None = field(default=None, compare=False)
    """When, in seconds since the epoch, by the engine's clock."""


@dataclass(frozen=True, slots=True)
class NetworksChanged:
    """A network came, went, or was altered."""


@dataclass(frozen=True, slots=True)
class ImagesChanged:
    """An image came, went, or got another name."""


@dataclass(frozen=True, slots=True)
class Subscribed:
    """Events flow from now on."""


@dataclass(frozen=True, slots=True)
class StreamLost:
    """No events any more."""

    error: MapperError


EventMessage = ContainerChanged | NetworksChanged | ImagesChanged | Subscribed | StreamLost

_CONTAINER_CHANGES = {
    "create": Change.CREATED,
    "start": Change.STARTED,
    "die": Change.DIED,
    "destroy": Change.DESTROYED,
}
_ENDPOINT_ACTIONS = frozenset({"connect", "disconnect"})


def translate(event: Mapping[str, Any]) -> EventMessage | None:
    """The engine's event → a message; None for one that says nothing here."""
    actor = event.get("Actor") or {}
    attributes = actor.get("Attributes") or {}
    action = event.get("Action", "")
    if event.get("Type") == "network":
        if action not in _ENDPOINT_ACTIONS:
            return NetworksChanged()
        container_id = attributes.get("container")
        return ContainerChanged(container_id, Change.ENDPOINT) if container_id else None
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


class EventReader:
    """Reads the stream on a thread of its own, for as long as it is not stopped."""

    def __init__(self, client: Client, fast_path: FastPath, deliver: Callable[[EventMessage], None]) -> None:
        self._client = client
        self._fast_path = fast_path
        self._deliver = deliver
        self._stopping = threading.Event()
        self._stream: Events | None = None
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        """Subscribe, and keep subscribed."""
        self._thread.start()

    def stop(self) -> None:
        """End the stream and the thread."""
        self._stopping.set()
        if self._stream is not None:
            self._stream.close()

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            began = self._follow()
            failures = 1 if began else failures + 1
            self._stopping.wait(backoff.delay(failures, longest=LONGEST_RETRY_SECONDS))

    def _follow(self) -> bool:
        """Deliver one subscription's events until it ends; returns whether it began."""
        began = False
        try:
            self._stream = stream = self._client.events()
            began = True
            self._fast_path.subscribed()
            self._deliver(Subscribed())
            with self._client.speaking("reading events"):
                for event in stream:
                    if (message := translate(event)) is not None:
                        self._deliver(self._act_at_once(message))
            error: MapperError = EngineUnavailableError("the engine ended the event stream")
        except MapperError as caught:
            error = caught
        if not self._stopping.is_set():
            self._deliver(StreamLost(error))
        return began

    def _act_at_once(self, message: EventMessage) -> EventMessage:
        """Do what cannot wait for the controller; returns the message that tells it of that."""
        match message:
            case ContainerChanged(created=Container() as created):
                return replace(message, sent=self._fast_path.connect(created, message.at))
            case ImagesChanged():
                self._fast_path.images_changed()
        return message
