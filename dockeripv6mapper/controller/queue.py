"""The queue: the messages that wait for the loop, which are not more than it can make up for.

Where too many wait, hints are dropped, and one message in their place has everything taken afresh.
"""

import logging
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from dockeripv6mapper.controller.workqueue import Job
from dockeripv6mapper.engine.events import ContainerChanged, EventMessage, NetworksChanged
from dockeripv6mapper.engine.workers import Finished

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HostChanged:
    """Something about the uplinks changed."""


@dataclass(frozen=True, slots=True)
class ResyncNow:
    """Somebody asks for a full pass."""


@dataclass(frozen=True, slots=True)
class Overflowed:
    """Events were dropped, since too many waited."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Finish what is under way, and return."""


Message = EventMessage | Finished[Job] | HostChanged | ResyncNow | Overflowed | Stop

CAPACITY = 4096
"""Messages. A thousand containers that start at once are as many events, over a minute; an event that
waits takes about a kilobyte."""


class Queue:
    """Filled from any thread, emptied by one. Neither waits for a lock."""

    def __init__(self, capacity: int | None = None) -> None:
        self._capacity = CAPACITY if capacity is None else capacity
        self._queue: SimpleQueue[Message] = SimpleQueue()
        self._overflowed = False
        """Whether an `Overflowed` waits: it covers every hint that comes before it is taken."""

    def put(self, message: Message) -> None:
        """Leave a message; a hint may be dropped."""
        if not _is_hint(message):
            self._queue.put(message)
        elif self._overflowed:
            return
        elif self._queue.qsize() < self._capacity:
            self._queue.put(message)
        else:
            self._overflowed = True
            log.warning("more happens than can be followed: looking at everything")
            self._queue.put(Overflowed())

    def take(self, seconds: float) -> Message | None:
        """The next message; None where none came in time."""
        try:
            message = self._queue.get(timeout=seconds)
        except Empty:
            return None
        if isinstance(message, Overflowed):
            # Before anything is asked for on its account: a hint that is dropped now would come too late.
            self._overflowed = False
        return message


def _is_hint(message: Message) -> bool:
    """Whether a look at everything tells the same.

    Not where a connect has been begun, whose answer has to be awaited, nor of images, whose changes the
    fast path counts too. Of what is no hint there are only as many as calls under way, or few.
    """
    match message:
        case ContainerChanged(sent=None) | NetworksChanged() | HostChanged() | ResyncNow():
            return True
    return False
