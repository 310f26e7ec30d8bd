"""Results: handlers of finished jobs. They update the cache, evaluate what changed and retry what failed.

A result that may be older than an event is dropped, and the job is repeated. A failed job is retried with
exponential backoff per container; other containers do not wait for it.
"""

import logging
from dataclasses import dataclass, field

from dockeripv6mapper import backoff
from dockeripv6mapper.actions import Connect, EndpointAction, EndpointChange, Reconnect, Restore, Vacate
from dockeripv6mapper.controller.attempts import Attempts
from dockeripv6mapper.controller.interfaces import EngineEndpoints
from dockeripv6mapper.controller.jobs import (
    Answer,
    Command,
    CountInbound,
    Finished,
    InspectContainer,
    InspectImage,
    Job,
    ListImages,
    ListNetworks,
    Question,
    TakeSnapshot,
)
from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.controller.observers import Meter
from dockeripv6mapper.controller.reconcile import Reconciler
from dockeripv6mapper.controller.timers import Resync, Retry, RetryImage, Timers
from dockeripv6mapper.controller.workqueue import WorkQueue
from dockeripv6mapper.engine.cache import IMAGES, NETWORKS, Cache
from dockeripv6mapper.engine.client import Snapshot
from dockeripv6mapper.engine.listed import Listed
from dockeripv6mapper.engine.recovery import LATE_SECONDS
from dockeripv6mapper.errors import EngineRefusedError, LastingRefusalError, MapperError, NotFinishedError
from dockeripv6mapper.mapping import labels
from dockeripv6mapper.model import Container, Endpoint, Network, Refusal

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
    """Items of the last list that could not be read, each as (kind, ID), by kind: container or network."""

    def take(self, finished: Finished[Job]) -> None:
        """Handle a job's result or error."""
        job = finished.job
        self.jobs.done(job)
        if isinstance(job, CountInbound):
            self.reconciler.take_inbound_count(finished)
            return
        if isinstance(job, Command):
            value = finished.result.value if finished.error is None else None
            self.reconciler.take_command(job, value, finished.error)
            self.reconciler.evaluate_waiting()
            return
        if isinstance(job, EndpointChange | Restore):
            self.reconciler.neighbours.changed(job.container_id)
        if isinstance(job, EndpointChange):
            self.meter.acted(type(job).__name__.lower(), finished.seconds, failed=finished.error is not None)
        if finished.error is not None:
            self._failed(job, finished.error)
            return
        self.log_changes.succeeded(_subject(job))
        if isinstance(job, EndpointChange | Restore):
            self._take_action(job, finished.result)
        else:
            self._take_answer(job, finished.result)

    def _take_action(self, action: EndpointAction, answer: Answer) -> None:
        if answer.changed:
            log.info("done: %s", action)
        if answer.changed and isinstance(action, Connect | Reconnect):
            self._take_attached(action)
            # An engine may answer success and change nothing (seen with Podman): wait for the next list.
            self.attempts.idle(action)
            return
        if not (answer.changed and isinstance(action, Restore)):
            # A `Restore` may soon be needed again, and until it is done the container may be detached.
            self._note_idle(action)
        self._take_container(action.container_id, answer)

    def _take_answer(self, question: Question, answer: Answer) -> None:
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
        if isinstance(job, Connect | Reconnect) and isinstance(error, LastingRefusalError):
            self._refused_for_good(job, error)
            return
        count = self.log_changes.failed(_subject(job), error)
        match job:
            case EndpointChange() | Restore():
                if _detaches_for_a_moment(job) and _is_final(error):
                    self._note_refusal(job)
                self.timers.set(Retry(job.container_id), backoff.delay(count))
                self.meter.retrying()
                self.jobs.ask(InspectContainer(job.container_id))
                # The address is not in flight any more: another container may get it now.
                self.reconciler.evaluate([job.container_id])
            case InspectContainer(container_id):
                self.timers.set(Retry(container_id), backoff.delay(count))
                self.meter.retrying()
            case InspectImage(image):
                self.timers.set(RetryImage(image), backoff.delay(count))
            case TakeSnapshot() | ListNetworks() | ListImages():
                # A resync repeats each of these. It lists images only while they are wanted.
                self.timers.hasten(Resync(), backoff.delay(count))
                self.reconciler.pass_without_list()

    def _refused_for_good(self, action: Connect | Reconnect, error: LastingRefusalError) -> None:
        """Have every container refused that the engine would refuse for the same reason: no retry."""
        self.attempts.refused_for_good(action, error)
        self.jobs.ask(InspectContainer(action.container_id))
        self.reconciler.evaluate(list(self.cache.containers))
        if not isinstance(self.reconciler.decision(action.container_id), Refusal):
            # A refusal is logged with its reason. A container that has the address already is not refused.
            remedy = f" ({error.hint})" if error.hint else ""
            self.log_changes.once(action.container_id, f"not retrying: {error}{remedy}")

    # --- into the cache -----------------------------------------------------------------------------------

    def _take_snapshot(self, answer: Answer) -> None:
        """Update the cache from a list of everything, and make a full pass."""
        if self.cache.is_all_stale(answer.asked):
            # Events were missed since, and another list was asked for then.
            return
        snapshot: Snapshot = answer.value
        self.cache.routes_by_family = snapshot.routes_by_family
        self.cache.filters_with_nftables = snapshot.filters_with_nftables
        if not self.reconciler.listed:
            self._inspect_labelled(snapshot)
        # At first a stale list is better than none; a newer one follows.
        if not self.reconciler.listed or not self.cache.is_stale(NETWORKS, answer.asked):
            self._replace_networks(snapshot.networks)
        merged = self.cache.replace_containers(snapshot.containers, answer.asked)
        self._log_unreadable("container", snapshot.containers)
        self.attempts.listed(answer.asked)
        for container_id in merged.stale:
            # If the inspection of an unreadable container failed too, its retry waits with backoff.
            if container_id not in snapshot.containers.unreadable or Retry(container_id) not in self.timers:
                self.jobs.ask(InspectContainer(container_id))
        if self.cache.complete:
            acting = {action.container_id for action in self.jobs.actions}
            self.endpoints.prune(self.cache.containers.keys() | merged.stale | acting)
        for network in snapshot.networks.items:
            self.log_changes.network(network)
        self.reconciler.full_pass(merged.changed)

    def _inspect_labelled(self, snapshot: Snapshot) -> None:
        """Inspect each labelled container once: lists lack the mark that shows a move cut off by a reboot."""
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

    def _note_idle(self, action: EndpointAction) -> None:
        """Note an action that may have done nothing. It is not repeated before everything is listed again.

        The next pass that plans no action for the container removes the note.

        But a `Restore` may keep its note for `LATE_SECONDS`, as the engine may act late: then it is repeated.
        """
        if isinstance(action, Restore) and self.endpoints.unfinished(action.container_id):
            self.timers.set(Retry(action.container_id), LATE_SECONDS)
        else:
            self.attempts.idle(action)

    def _note_refusal(self, action: EndpointAction) -> None:
        """Note that a move was refused, and list everything: an unknown container may have the address."""
        self.cache.touch(action.container_id)
        self.attempts.refused(action, self.cache.epoch)
        self.jobs.ask(TakeSnapshot())

    def _replace_networks(self, answer: Listed[Network]) -> None:
        before = {each.id for each in self.cache.networks}
        self.cache.replace_networks(answer)
        for gone in before - {each.id for each in self.cache.networks}:
            self.log_changes.forget(gone)
            self.attempts.network_gone(gone)
        self._log_unreadable("network", answer)

    def _log_unreadable(self, kind: str, answer: Listed[Container] | Listed[Network]) -> None:
        """Log which items cannot be read, when that begins, changes or ends."""
        faults = {(kind, each): text for each, text in answer.faults.items()}
        for subject in self._unreadable.get(kind, frozenset()) - faults.keys():
            self.log_changes.succeeded(subject)
        for subject, text in faults.items():
            self.log_changes.failed(subject, MapperError(f"{text}; keeping its last known state"))
        self._unreadable[kind] = frozenset(faults)


def _detaches_for_a_moment(action: EndpointAction) -> bool:
    """Whether even a refused action detaches the container from its network for a moment."""
    return isinstance(action, Reconnect | Vacate | Restore)


def _is_final(error: Exception) -> bool:
    """Whether the engine refused an action, and the endpoint is as it was before."""
    return isinstance(error, EngineRefusedError) and not isinstance(error, NotFinishedError)


def _subject(job: Job) -> object:
    """The key of a job's failures: the container's ID for an action, whatever the action is."""
    return job.container_id if isinstance(job, EndpointChange | Restore) else job
