"""The queue: a bounded queue of messages for the loop.

On overflow, events are replaced by one message that causes a relist of everything.
"""

import logging
import math
import os
import select
import weakref
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from dockeripv6mapper.controller.jobs import Finished, Job
from dockeripv6mapper.engine.events import ContainerChanged, EventMessage, ImagesChanged, NetworksChanged

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HostChanged:
    """Something about the uplinks changed."""


@dataclass(frozen=True, slots=True)
class FirewallChanged:
    """Another program changed our firewall rules."""


@dataclass(frozen=True, slots=True)
class ResyncNow:
    """A full pass is asked for, by SIGHUP."""


@dataclass(frozen=True, slots=True)
class Overflowed:
    """Events were dropped, since the queue was full."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Wait for running actions, then return."""


Message = EventMessage | Finished[Job] | HostChanged | FirewallChanged | ResyncNow | Overflowed | Stop

CAPACITY = 4096
"""Messages. A thousand containers that start at once cause this many events, over a minute; each takes about
a kilobyte."""

DROPPABLE = (ContainerChanged, NetworksChanged, ImagesChanged, HostChanged, FirewallChanged, ResyncNow)
"""Messages that a relist replaces. The number of all others is limited by that of the jobs."""

MS = 1000


class Queue:
    """Any thread puts, one thread waits. A signal handler may put, whatever it interrupts.

    Not `queue.SimpleQueue`: in Python 3.11 its `get` may block for ever where the timeout ends while it takes
    its lock.
    """

    def __init__(self, capacity: int | None = None) -> None:
        self._capacity = CAPACITY if capacity is None else capacity
        self._messages: deque[Message] = deque()
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._wakeup, select.POLLIN)
        weakref.finalize(self, os.close, self._wakeup)
        self._overflowed = False
        """Whether an `Overflowed` waits. It replaces all droppable messages that come before it is taken."""

    def __len__(self) -> int:
        return len(self._messages)

    def put(self, message: Message) -> None:
        """Add a message. A droppable one may be dropped."""
        if isinstance(message, DROPPABLE):
            if self._overflowed:
                return
            if len(self) >= self._capacity:
                self._overflowed = True
                log.warning("event queue overflow (%d messages): listing everything again", self._capacity)
                message = Overflowed()
        self._messages.append(message)
        self.wake()

    def wake(self) -> None:
        """Have `wait` return, with or without a message."""
        os.eventfd_write(self._wakeup, 1)

    def wait(self, seconds: float) -> None:
        """Wait for a message or a `wake`."""
        if not self._messages:
            self._poll.poll(math.ceil(seconds * MS))
        with suppress(BlockingIOError):
            os.eventfd_read(self._wakeup)

    def pop(self) -> Message | None:
        """Remove and return the next message; None where there is none."""
        if not self._messages:
            return None
        message = self._messages.popleft()
        if isinstance(message, Overflowed):
            # Reset before the relist is requested: an event that comes after the list must be kept.
            self._overflowed = False
        return message

    def take(self, seconds: float) -> Message | None:
        """Wait, then remove and return the next message; None where none came in time."""
        self.wait(seconds)
        return self.pop()
