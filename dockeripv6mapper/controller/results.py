"""Results: the handlers of finished jobs: update the cache, evaluate what changed, retry what failed.

A result that is older than an event is asked for again. A failed job is retried with exponential backoff per
container; other containers do not wait for it.
"""

import logging
from dataclasses import dataclass, field

from dockeripv6mapper import backoff
from dockeripv6mapper.actions import Connect, EndpointAction, EndpointChange, Reconnect, Restore, Vacate
from dockeripv6mapper.controller.attempts import Attempts
from dockeripv6mapper.controller.interfaces import EngineEndpoints
from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.controller.observers import Meter
from dockeripv6mapper.controller.reconcile import Reconciler
from dockeripv6mapper.controller.timers import Resync, Retry, RetryImage, Timers
from dockeripv6mapper.controller.workqueue import (
    Answer,
    Command,
    Finished,
    InspectContainer,
    InspectImage,
    Job,
    ListImages,
    ListNetworks,
    Question,
    TakeSnapshot,
    WorkQueue,
)
from dockeripv6mapper.engine.cache import IMAGES, NETWORKS, Cache
from dockeripv6mapper.engine.client import Snapshot
from dockeripv6mapper.engine.listed import Listed
from dockeripv6mapper.engine.recovery import LATE_SECONDS
from dockeripv6mapper.errors import EngineRefusedError, MapperError, NotFinishedError
from dockeripv6mapper.mapping import labels
from dockeripv6mapper.model import Container, Endpoint, Network

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Results:
    """Handles finished jobs."""

    cache: Cache
    jobs: WorkQueue
    endpoints: EngineEndpoints
    reconciler: Reconciler
    attempts: Attempts
    timers: Timers
    log_changes: LogChanges
    meter: Meter
    _unreadable: dict[str, frozenset[tuple[str, str]]] = field(default_factory=dict)
    """Subjects that could not be read from the last list, by kind: container or network."""

    def take(self, finished: Finished[Job]) -> None:
        """Handle a job's result or error."""
        job = finished.job
        self.jobs.done(job)
        if isinstance(job, Command):
            value = finished.result.value if finished.error is None else None
            self.reconciler.take_command(job, value, finished.error)
            self.reconciler.evaluate_waiting()
            return
        if isinstance(job, EndpointChange):
            self.meter.acted(type(job).__name__.lower(), finished.seconds, failed=finished.error is not None)
        if finished.error is not None:
            self._failed(job, finished.error)
            return
        self.log_changes.succeeded(_subject(job))
        if isinstance(job, EndpointChange | Restore):
            self._acted(job, finished.result)
        else:
            self._answered(job, finished.result)

    def _acted(self, action: EndpointAction, answer: Answer) -> None:
        if answer.changed:
            log.info("done: %s", action)
        else:
            self._take_idle(action)
        if answer.changed and isinstance(action, Connect | Reconnect):
            self._take_attached(action)
        else:
            self._take_container(action.container_id, answer)

    def _answered(self, question: Question, answer: Answer) -> None:
        match question:
            case TakeSnapshot():
                self.log_changes.succeeded(ListNetworks())
                self._take_snapshot(answer)
            case ListNetworks():
                self._take_networks(answer)
            case ListImages():
                self._take_images(answer)
            case InspectImage(image):
                self._take_image(image, answer)
            case InspectContainer(container_id):
                self._take_container(container_id, answer)

    def _failed(self, job: Job, error: Exception) -> None:
        count = self.log_changes.failed(_subject(job), error)
        match job:
            case EndpointChange() | Restore():
                if _takes_off_the_network(job) and _is_final(error):
                    self._take_refusal(job)
                self.timers.set(Retry(job.container_id), backoff.delay(count))
                self.meter.retrying()
                self.jobs.ask(InspectContainer(job.container_id))
                # Its address is not in flight any more, which may have kept other containers from it.
                self.reconciler.evaluate([job.container_id])
            case InspectContainer(container_id):
                self.timers.set(Retry(container_id), backoff.delay(count))
                self.meter.retrying()
            case InspectImage(image):
                self.timers.set(RetryImage(image), backoff.delay(count))
            case TakeSnapshot() | ListNetworks() | ListImages():
                # The next resync lists images too, while they are wanted.
                self.timers.hasten(Resync(), backoff.delay(count))
                self.reconciler.without_engine()

    # --- into the cache -----------------------------------------------------------------------------------

    def _take_snapshot(self, answer: Answer) -> None:
        """Update the cache from a list of everything, and make a full pass."""
        if self.cache.is_all_stale(answer.asked):
            # Events were missed since, and another list was asked for then.
            return
        snapshot: Snapshot = answer.value
        if not self.reconciler.listed:
            self._inspect_labelled(snapshot)
        # At first a stale list is better than none; a newer one follows.
        if not self.reconciler.listed or not self.cache.is_stale(NETWORKS, answer.asked):
            self._replace_networks(snapshot.networks)
        merged = self.cache.replace_containers(snapshot.containers, answer.asked)
        self._log_unreadable("container", snapshot.containers)
        self.attempts.listed(answer.asked)
        for container_id in merged.stale:
            # A container that cannot be inspected either is retried with backoff.
            if container_id not in snapshot.containers.unreadable or Retry(container_id) not in self.timers:
                self.jobs.ask(InspectContainer(container_id))
        if self.cache.complete:
            acting = {action.container_id for action in self.jobs.actions}
            self.endpoints.prune(self.cache.containers.keys() | merged.stale | acting)
        for network in snapshot.networks.items:
            self.log_changes.network(network)
        self.reconciler.full_pass(merged.changed)

    def _inspect_labelled(self, snapshot: Snapshot) -> None:
        """Inspect each labelled container once: only a mark shows a move that a reboot interrupted."""
        for container in snapshot.containers.items:
            if container.endpoints and labels.NETWORK in container.labels:
                self.jobs.ask(InspectContainer(container.id))

    def _take_networks(self, answer: Answer) -> None:
        """Update the networks, and evaluate all containers."""
        if self.cache.is_stale(NETWORKS, answer.asked):
            self.jobs.ask(ListNetworks())
            return
        self._replace_networks(answer.value)
        self.attempts.reconsider_all()
        self.reconciler.evaluate(list(self.cache.containers))

    def _take_images(self, answer: Answer) -> None:
        """Update the images, and evaluate the containers that wait for one."""
        self.reconciler.images_listed = True
        if self.cache.is_stale(IMAGES, answer.asked):
            self.jobs.ask(ListImages())
        else:
            self.cache.replace_images(answer.value)
        self.reconciler.evaluate(self.reconciler.waiting_for_images())

    def _take_image(self, image: str, answer: Answer) -> None:
        """Update one image, and evaluate its containers."""
        self.cache.put_image(image, answer.value)
        self.reconciler.evaluate([each.id for each in self.cache.containers.values() if each.image == image])

    def _take_container(self, container_id: str, answer: Answer) -> None:
        """Update one container, and evaluate it."""
        if self.cache.is_stale(container_id, answer.asked):
            self.jobs.ask(InspectContainer(container_id))
            return
        if answer.value is None:
            self.cache.drop(container_id)
        else:
            self.cache.put(answer.value)
        self.reconciler.evaluate([container_id])

    def _take_attached(self, action: Connect | Reconnect) -> None:
        """Evaluate an attached container at once, so that it is proxied before its inspection."""
        container = self.cache.containers.get(action.container_id)
        known = container and self.cache.networks.endpoint(container, action.network_id, action.network)
        name = known.network if known else action.network
        endpoint = Endpoint(name, action.network_id, requested=action.address, ours=True)
        self.cache.attach(action.container_id, endpoint)
        self.reconciler.evaluate([action.container_id])
        self.jobs.ask(InspectContainer(action.container_id))

    def _take_idle(self, action: EndpointAction) -> None:
        """An action did nothing. It is repeated after everything was listed.

        But a `Restore` whose note has to be kept a little longer is repeated after that (see `LATE_SECONDS`).
        """
        if isinstance(action, Restore) and self.endpoints.unfinished(action.container_id):
            self.timers.set(Retry(action.container_id), LATE_SECONDS)
        else:
            self.attempts.idle(action)

    def _take_refusal(self, action: EndpointAction) -> None:
        """A move was refused. List everything, to find the container that has the address."""
        self.cache.touch(action.container_id)
        self.attempts.refused(action, self.cache.epoch)
        self.jobs.ask(TakeSnapshot())

    def _replace_networks(self, answer: Listed[Network]) -> None:
        before = {each.id for each in self.cache.networks}
        self.cache.replace_networks(answer)
        for gone in before - {each.id for each in self.cache.networks}:
            self.log_changes.forget(gone)
        self._log_unreadable("network", answer)

    def _log_unreadable(self, kind: str, answer: Listed[Container] | Listed[Network]) -> None:
        """Log which items cannot be read, when that begins, changes or ends."""
        faults = {(kind, each): text for each, text in answer.faults.items()}
        for subject in self._unreadable.get(kind, frozenset()) - faults.keys():
            self.log_changes.succeeded(subject)
        for subject, text in faults.items():
            self.log_changes.failed(subject, MapperError(f"{text}; it stays as it was last known"))
        self._unreadable[kind] = frozenset(faults)


def _takes_off_the_network(action: EndpointAction) -> bool:
    """Whether each try of an action takes the container off its network for a moment."""
    return isinstance(action, Reconnect | Vacate | Restore)


def _is_final(error: Exception) -> bool:
    """Whether the engine refused an action, and the endpoint is as it was before."""
    return isinstance(error, EngineRefusedError) and not isinstance(error, NotFinishedError)


def _subject(job: Job) -> object:
    """The key of a job's failures: the container's ID for an action, whatever the action is."""
    return job.container_id if isinstance(job, EndpointChange | Restore) else job
