"""Outcomes: what is done about what the workers bring: answers, ended actions, and failures of either.

A failure is said when it begins, and tried again ever more seldom; it keeps nobody else from being served.
"""

import logging

from dockeripv6mapper import backoff
from dockeripv6mapper.actions import Connect, EndpointAction, EndpointChange, Reconnect, Restore, Vacate
from dockeripv6mapper.controller.attempts import Attempts
from dockeripv6mapper.controller.intake import Intake
from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.controller.observers import Meter
from dockeripv6mapper.controller.reconcile import Reconciler
from dockeripv6mapper.controller.timers import Resync, Retry, RetryImage, Timers
from dockeripv6mapper.controller.workqueue import (
    Answer,
    Job,
    Jobs,
    KernelJob,
    ListImages,
    ListNetworks,
    Look,
    LookAtImage,
    Question,
    TakeSnapshot,
)
from dockeripv6mapper.engine.workers import Finished
from dockeripv6mapper.errors import EngineRefusedError, NotFinishedError

log = logging.getLogger(__name__)


class Outcomes:
    """Whatever comes back from the workers."""

    def __init__(
        self,
        *,
        jobs: Jobs,
        intake: Intake,
        reconciler: Reconciler,
        attempts: Attempts,
        timers: Timers,
        log_changes: LogChanges,
        meter: Meter,
    ) -> None:
        self._jobs = jobs
        self._intake = intake
        self._reconciler = reconciler
        self._attempts = attempts
        self._timers = timers
        self._log_changes = log_changes
        self._meter = meter

    def take(self, finished: Finished[Job]) -> None:
        """Take in what a job brought, or deal with its failure."""
        job = finished.job
        self._jobs.done(job)
        if isinstance(job, KernelJob):
            found = finished.result.found if finished.error is None else None
            self._reconciler.kernel_ended(job, found, finished.error)
            return
        if isinstance(job, EndpointChange):
            self._meter.acted(type(job).__name__.lower(), finished.seconds, failed=finished.error is not None)
        if finished.error is not None:
            self._failed(job, finished.error)
            return
        self._log_changes.succeeded(_subject(job))
        if isinstance(job, EndpointChange | Restore):
            self._acted(job, finished.result)
        else:
            self._answered(job, finished.result)

    def _acted(self, action: EndpointAction, answer: Answer) -> None:
        if answer.changed:
            log.info("done: %s", action)
        else:
            self._intake.take_idle(action)
        if answer.changed and isinstance(action, Connect | Reconnect):
            self._intake.take_attached(action)
        else:
            self._intake.take_container(action.container_id, answer)

    def _answered(self, question: Question, answer: Answer) -> None:
        match question:
            case TakeSnapshot():
                self._log_changes.succeeded(ListNetworks())
                self._intake.take_snapshot(answer)
            case ListNetworks():
                self._intake.take_networks(answer)
            case ListImages():
                self._intake.take_images(answer)
            case LookAtImage(image):
                self._intake.take_image(image, answer)
            case Look(container_id):
                self._intake.take_container(container_id, answer)

    def _failed(self, job: Job, error: Exception) -> None:
        count = self._log_changes.failed(_subject(job), error)
        match job:
            case EndpointChange() | Restore():
                if _takes_off_the_network(job) and _is_final(error):
                    self._intake.take_refusal(job)
                self._timers.set(Retry(job.container_id), backoff.delay(count))
                self._meter.retrying()
                self._jobs.ask(Look(job.container_id))
                # Its address is not in flight any more: other containers may have been refused because of it.
                self._reconciler.evaluate([job.container_id])
            case Look(container_id):
                self._timers.set(Retry(container_id), backoff.delay(count))
                self._meter.retrying()
            case LookAtImage(image):
                self._timers.set(RetryImage(image), backoff.delay(count))
            case TakeSnapshot() | ListNetworks() | ListImages():
                # The next full pass lists images too while they are wanted.
                self._timers.hasten(Resync(), backoff.delay(count))
                self._reconciler.without_engine()


def _takes_off_the_network(action: EndpointAction) -> bool:
    """Whether each try of an action detaches the container for a moment."""
    return isinstance(action, Reconnect | Vacate | Restore)


def _is_final(error: Exception) -> bool:
    """Whether the engine said no, and what was there before is there again."""
    return isinstance(error, EngineRefusedError) and not isinstance(error, NotFinishedError)


def _subject(job: Job) -> object:
    """What a job's failure is remembered under: an action's by its container, whatever the action was."""
    return job.container_id if isinstance(job, EndpointChange | Restore) else job
