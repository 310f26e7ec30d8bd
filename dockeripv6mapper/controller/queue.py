"""The queue: a bounded queue of messages for the loop.

On overflow, events are replaced by one message that causes a relist of everything.
"""

import logging
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from dockeripv6mapper.controller.workqueue import Finished, Job
from dockeripv6mapper.engine.events import ContainerChanged, EventMessage, ImagesChanged, NetworksChanged

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HostChanged:
    """Something about the uplinks changed."""


@dataclass(frozen=True, slots=True)
class ResyncNow:
    """A full pass is asked for, by SIGHUP."""


@dataclass(frozen=True, slots=True)
class Overflowed:
    """Events were dropped, since the queue was full."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Wait for running actions, then return."""


Message = EventMessage | Finished[Job] | HostChanged | ResyncNow | Overflowed | Stop

CAPACITY = 4096
"""Messages. A thousand containers that start at once cause this many events, over a minute; each takes about
a kilobyte."""

DROPPABLE = (ContainerChanged, NetworksChanged, ImagesChanged, HostChanged, ResyncNow)
"""Messages that a relist replaces. There are only as many others as jobs, or few."""


class Queue:
    """Any thread puts, the loop's thread takes."""

    def __init__(self, capacity: int | None = None) -> None:
        self._capacity = CAPACITY if capacity is None else capacity
        self._queue: SimpleQueue[Message] = SimpleQueue()
        self._overflowed = False
        """Whether an `Overflowed` waits. It replaces all droppable messages that come before it is taken."""

    def put(self, message: Message) -> None:
        """Add a message. A droppable one may be dropped."""
        if not isinstance(message, DROPPABLE):
            self._queue.put(message)
        elif self._overflowed:
            return
        elif self._queue.qsize() < self._capacity:
            self._queue.put(message)
        else:
            self._overflowed = True
            log.warning("event queue overflow (%d messages): listing everything again", self._capacity)
            self._queue.put(Overflowed())

    def take(self, seconds: float) -> Message | None:
        """The next message; None where none came in time."""
        try:
            message = self._queue.get(timeout=seconds)
        except Empty:
            return None
        if isinstance(message, Overflowed):
            # Before the relist is asked for: what it does not show any more must not be dropped.
            self._overflowed = False
        return message
