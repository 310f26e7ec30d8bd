"""Container events: what is done when the engine tells of a container, from its creation to its end.

A creation, a start, a death and an end are acted upon before anybody has looked; of all else an event only
says where to look.
"""

import time

from dockeripv6mapper.controller.attempts import Attempts
from dockeripv6mapper.controller.observers import Meter
from dockeripv6mapper.controller.reconcile import Reconciler
from dockeripv6mapper.controller.timers import Retry, Timers, Verify
from dockeripv6mapper.controller.workqueue import InspectContainer, WorkQueue
from dockeripv6mapper.engine.cache import Inventory
from dockeripv6mapper.engine.events import Change, ContainerChanged
from dockeripv6mapper.model import Container

VERIFY_SECONDS = 1.0
"""How long after a death the engine's lists are believed again."""

ENDPOINT_CHANGES = (Change.ATTACHED, Change.DETACHED)
"""What our own actions bring about, too."""


class ContainerEvents:
    """Takes in the news of containers."""

    def __init__(
        self,
        *,
        inventory: Inventory,
        jobs: WorkQueue,
        reconciler: Reconciler,
        attempts: Attempts,
        timers: Timers,
        meter: Meter,
    ) -> None:
        self._inventory = inventory
        self._jobs = jobs
        self._reconciler = reconciler
        self._attempts = attempts
        self._timers = timers
        self._meter = meter

    def take(self, message: ContainerChanged) -> None:
        """Do at once what follows from an event, and have its container looked at where that tells more."""
        container_id = message.container_id
        heard = time.time()
        self._inventory.touch(container_id)
        if message.at is not None:
            self._meter.event(heard - message.at)
        if message.change not in ENDPOINT_CHANGES:
            # Whatever failed before may succeed now.
            self._timers.cancel(Retry(container_id))
            self._attempts.lift([container_id])
        match message.change:
            case Change.CREATED if message.created and container_id not in self._inventory.containers:
                self._created(message.created)
            case Change.DESTROYED:
                self._inventory.drop(container_id)
                self._reconciler.evaluate([container_id])
            case Change.STARTED:
                self._started(container_id)
            case Change.DIED:
                self._died(container_id)
            case change:
                self._inspect(container_id, change)

    def _created(self, created: Container) -> None:
        """A container is new: its event says all that there is to know of it."""
        self._inventory.put(created)
        self._reconciler.note_created(created.id)
        self._reconciler.evaluate([created.id])

    def _started(self, container_id: str) -> None:
        self._reconciler.note_started(container_id)
        self._inventory.mark_started(container_id)
        self._reconciler.evaluate([container_id])
        self._inspect(container_id, Change.STARTED)

    def _died(self, container_id: str) -> None:
        self._inventory.mark_dead(container_id)
        self._timers.set(Verify(container_id), VERIFY_SECONDS)
        self._reconciler.evaluate([container_id])
        self._inspect(container_id, Change.DIED)

    def _inspect(self, container_id: str, change: Change) -> None:
        """Have the container inspected, unless an action runs on it that is followed by an inspection."""
        expected = change is Change.STARTED or change in ENDPOINT_CHANGES
        if not (expected and self._jobs.acting(container_id)):
            self._jobs.ask(InspectContainer(container_id))
