"""Container events: what is done when the engine tells of a container, from its creation to its end.

A creation, a start, a death and an end are acted upon before anybody has looked; of all else an event only
says where to look.
"""

import time

from dockeripv6mapper.controller.attempts import Attempts
from dockeripv6mapper.controller.observers import Meter
from dockeripv6mapper.controller.reconcile import Reconciler
from dockeripv6mapper.controller.timers import LookLater, Retry, Timers, Verify
from dockeripv6mapper.controller.workqueue import Jobs, Look
from dockeripv6mapper.engine.cache import Inventory
from dockeripv6mapper.engine.connect_early import Sent
from dockeripv6mapper.engine.events import Change, ContainerChanged
from dockeripv6mapper.model import Container

VERIFY_SECONDS = 1.0
"""How long after a death the engine's lists are believed again."""
START_SECONDS = 0.5
"""How long after news that a container which does not run was attached it is looked at: it is being started,
which is news of each of its networks and then of the start."""
YIELD_SECONDS = 0.002
"""How long after a connect was asked for the loop leaves a core to the engine, which has to see to it before
it is asked for the start, a few milliseconds later; and the mapper goes before the engine (`Nice=-15`). The
answer is awaited after that: the thread that does so needs a core, too."""

ENDPOINT_CHANGES = (Change.ATTACHED, Change.DETACHED)
"""What our own actions bring about, too."""


class ContainerEvents:
    """Takes in the news of containers."""

    def __init__(
        self,
        *,
        inventory: Inventory,
        jobs: Jobs,
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
        if message.sent is not None:
            # Before anything that may go wrong: nobody acts upon the container until this has an end.
            self._follow(message.sent)
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
                self._look(container_id, change)

    def _follow(self, sent: Sent) -> None:
        """Await the answer to a connect that was begun, when the engine has had the time to see to it."""
        time.sleep(max(0.0, sent.posted + YIELD_SECONDS - time.monotonic()))
        self._reconciler.forecast.follow(sent)

    def _created(self, created: Container) -> None:
        """A container is new: its event says all that there is to know of it."""
        self._inventory.put(created)
        self._reconciler.note_created(created.id)
        self._reconciler.evaluate([created.id])

    def _started(self, container_id: str) -> None:
        self._reconciler.note_started(container_id)
        self._inventory.mark_started(container_id)
        self._reconciler.evaluate([container_id])
        self._look(container_id, Change.STARTED)

    def _died(self, container_id: str) -> None:
        self._inventory.mark_dead(container_id)
        self._timers.set(Verify(container_id), VERIFY_SECONDS)
        self._reconciler.evaluate([container_id])
        self._look(container_id, Change.DIED)

    def _look(self, container_id: str, change: Change) -> None:
        """Have the container looked at: now, later if it is being started, or when its action has ended."""
        acting = container_id in self._jobs.under_way
        if change is Change.ATTACHED and self._inventory.is_at_rest(container_id) and not acting:
            self._timers.hasten(LookLater(container_id), START_SECONDS)
            return
        # An answer that comes too late would be left to that look.
        self._timers.cancel(LookLater(container_id))
        expected = change is Change.STARTED or change in ENDPOINT_CHANGES
        if acting and expected:
            # The engine lets nobody look while it attaches, and an action's end is looked at in any case.
            return
        self._jobs.ask(Look(container_id))
