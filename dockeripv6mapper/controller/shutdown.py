"""Shutdown: what the loop still waits for before it ends."""

import logging
import time

from dockeripv6mapper.controller.jobs import Command, Finished
from dockeripv6mapper.controller.queue import Queue
from dockeripv6mapper.controller.reconcile import Reconciler
from dockeripv6mapper.controller.workqueue import WorkQueue

log = logging.getLogger(__name__)

DRAIN_SECONDS = 10.0
"""How long a shutdown waits for running actions and firewall commands."""


def finish_running_jobs(queue: Queue, jobs: WorkQueue, reconciler: Reconciler) -> None:
    """Wait for running actions and firewall commands, at most `DRAIN_SECONDS`; drop all other messages.

    An action that is cut off has to be finished by the next process. A port that is to be closed stays open
    if its command is cut off.
    """
    deadline = time.monotonic() + DRAIN_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        busy = jobs.actions or jobs.commanding
        match queue.take(left if busy else 0.0):
            case Finished(job=job) as finished:
                jobs.done(job)
                if isinstance(job, Command):
                    value = finished.result.value if finished.error is None else None
                    reconciler.take_command(job, value, finished.error)
            case None:
                break
    for action in jobs.actions:
        log.warning("stopping while the engine still works on container %s", action.container)
    if jobs.commanding:
        log.warning("stopping while a command of nft or iptables has not ended")
