"""Races: whether a new container has its address before its first process runs.

A connect that reaches the engine between create and start is answered within milliseconds, long before the
start event; one that comes too late is answered after it.
"""

from dockeripv6mapper.controller.observers import Meter
from dockeripv6mapper.model import Container, Decision, Mapping


class Races:
    """The containers whose creation was seen, and which have not been started yet."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._open: set[str] = set()

    def created(self, container_id: str) -> None:
        """A race begins."""
        self._open.add(container_id)

    def started(self, container: Container | None, decision: Decision, *, acting: bool) -> None:
        """A race ends. `container`: as last seen; `acting`: the engine is still at work on it."""
        if container is None or container.id not in self._open:
            return
        self._open.discard(container.id)
        if isinstance(decision, Mapping):
            attached = any(each.requested == decision.address for each in container.endpoints)
            self._meter.raced(won=attached and not acting)

    def gone(self, container_id: str) -> None:
        """The container was removed, started or not."""
        self._open.discard(container_id)
