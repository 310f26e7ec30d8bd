"""Container events: what follows from each event of a container.

A create, start, die or destroy event is acted upon at once, without an inspection. After any other event the
container is inspected.
"""

import time
from dataclasses import dataclass, field

from dockeripv6mapper.controller.attempts import Attempts
from dockeripv6mapper.controller.jobs import InspectContainer
from dockeripv6mapper.controller.observers import Meter
from dockeripv6mapper.controller.reconcile import Reconciler
from dockeripv6mapper.controller.timers import Retry, Timers, Verify
from dockeripv6mapper.controller.workqueue import WorkQueue
from dockeripv6mapper.engine.cache import Cache
from dockeripv6mapper.engine.events import Change, ContainerChanged
from dockeripv6mapper.model import AddressMapping, Container

VERIFY_SECONDS = 1.0
"""How long after a die event a list may still show the container as running (engine 20.10)."""

ENDPOINT_CHANGES = (Change.ATTACHED, Change.DETACHED)
"""Events that our own actions cause, too."""


@dataclass(slots=True)
class ContainerEvents:
    """Handles the events of containers."""

    cache: Cache
    jobs: WorkQueue
    reconciler: Reconciler
    attempts: Attempts
    timers: Timers
    meter: Meter
    _new: set[str] = field(default_factory=set)
    """IDs of the containers that were created, and not started yet."""

    def take(self, message: ContainerChanged) -> None:
        """Handle one event."""
        container_id = message.container_id
        now = time.time()
        self.cache.touch(container_id)
        if message.at is not None:
            self.meter.event(now - message.at)
        if message.change not in ENDPOINT_CHANGES:
            # An action that failed before may succeed now.
            self.timers.cancel(Retry(container_id))
            self.attempts.lift([container_id])
            self.attempts.container_changed(container_id)
        if message.change in (Change.STARTED, Change.ATTACHED):
            self.reconciler.neighbours.changed(container_id)
        match message.change:
            case Change.CREATED if message.created and container_id not in self.cache.containers:
                self._created(message.created)
            case Change.DESTROYED:
                self.cache.drop(container_id)
                self.reconciler.evaluate([container_id])
            case Change.STARTED:
                self._started(container_id)
            case Change.DIED:
                self._died(container_id)
            case change:
                self._inspect(container_id, change)

    def _created(self, created: Container) -> None:
        """Evaluate a new container: the event has everything that has to be known of it."""
        self.cache.put(created)
        self.reconciler.evaluate_new(created)
        self._new = {each for each in self._new if each in self.cache.containers} | {created.id}

    def _started(self, container_id: str) -> None:
        self._count_race(container_id)
        self.cache.mark_started(container_id)
        self.reconciler.evaluate([container_id])
        self._inspect(container_id, Change.STARTED)

    def _count_race(self, container_id: str) -> None:
        """Count whether a new container has its address before its first process runs.

        A connect that reaches the engine between create and start is answered long before the start event; a
        later one is answered after it.
        """
        container = self.cache.containers.get(container_id)
        decision = self.reconciler.decision(container_id)
        if container_id not in self._new or container is None:
            return
        self._new.discard(container_id)
        if isinstance(decision, AddressMapping):
            attached = any(each.requested == decision.address for each in container.endpoints)
            self.meter.raced(won=attached and not self.jobs.acting(container_id))

    def _died(self, container_id: str) -> None:
        self.cache.mark_dead(container_id)
        self.timers.set(Verify(container_id), VERIFY_SECONDS)
        self.reconciler.evaluate([container_id])
        self._inspect(container_id, Change.DIED)

    def _inspect(self, container_id: str, change: Change) -> None:
        """Have the container inspected, unless an action runs on it that is followed by an inspection."""
        expected = change is Change.STARTED or change in ENDPOINT_CHANGES
        if not (expected and self.jobs.acting(container_id)):
            self.jobs.ask(InspectContainer(container_id))
