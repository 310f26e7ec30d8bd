"""What the loop is told, by threads, signals and workers."""

from dataclasses import dataclass

from dockeripv6mapper.controller.workqueue import Job
from dockeripv6mapper.engine.events import EventMessage
from dockeripv6mapper.engine.workers import Finished


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
