"""The work queue: engine calls and firewall commands, run by worker threads.

The loop never waits for the engine. It submits a job, and the result arrives as a `Finished` message.
Questions are deduplicated: one that waits or runs is not asked again. At most one action per container runs
at a time.
"""

import logging
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address
from typing import TypeAlias

from dockeripv6mapper.actions import Connect, EndpointAction, Reconnect
from dockeripv6mapper.controller.interfaces import EngineEndpoints, EngineLists, HostKernel
from dockeripv6mapper.controller.jobs import (
    Answer,
    CloseForwarding,
    Command,
    CountInbound,
    Finished,
    InspectContainer,
    InspectImage,
    Job,
    ListFirewall,
    ListImages,
    ListNetworks,
    PutAcceptRules,
    Question,
    TakeSnapshot,
    WriteFirewall,
)
from dockeripv6mapper.controller.workers import Workers
from dockeripv6mapper.engine.cache import Cache
from dockeripv6mapper.engine.http import PendingResponse
from dockeripv6mapper.errors import GoneError
from dockeripv6mapper.mapping.reachability import count_inbound

log = logging.getLogger(__name__)

INSPECTION_THREADS = 8
"""An inspection that hangs occupies one thread until its timeout."""
LIST_THREADS = 3
"""One for each kind of list: no list waits behind inspections that hang."""
ACTION_THREADS = 16
"""A connect of a running container takes 75 to 150 ms; during a container's start, as long as that start.
While eight hang, the answers of new containers' connects must still be read."""
COMMAND_THREADS = 1
"""Commands change the same rules, so they run one after the other, and never wait behind an engine call."""
COUNT_THREADS = 1
"""No command, and no shutdown, waits behind a count."""

Deliver: TypeAlias = Callable[[Finished[Job]], None]
Employ: TypeAlias = Callable[[int, Deliver], Workers[Job]]
"""Starts a number of workers that deliver to a function."""


class WorkQueue:
    """The jobs that wait or run. Used under the loop's lock; workers only run the calls."""

    def __init__(
        self,
        deliver: Deliver,
        lists: EngineLists,
        endpoints: EngineEndpoints,
        kernel: HostKernel,
        cache: Cache,
        *,
        employ: Employ = Workers,
    ) -> None:
        # One pool for each kind of call that may hang by itself.
        self._inspections = employ(INSPECTION_THREADS, deliver)
        self._list_workers = employ(LIST_THREADS, deliver)
        self._actions = employ(ACTION_THREADS, deliver)
        self._commands = employ(COMMAND_THREADS, deliver)
        self._counts = employ(COUNT_THREADS, deliver)
        self._lists = lists
        self._endpoints = endpoints
        self._kernel = kernel
        self._cache = cache
        self._asked: set[Job] = set()
        self._acting: dict[str, EndpointAction] = {}
        """The action of each container that is being changed, by the container's ID."""
        self._list_again = False
        """Whether to take another snapshot after the running one, which does not show later changes."""

    def ask(self, job: Question | Command) -> None:
        """Submit a job, unless the same one waits or runs; a `TakeSnapshot` is then repeated afterwards."""
        if job not in self._asked:
            self._asked.add(job)
            self._workers_for(job).submit(job, lambda: self._run(job))
        elif isinstance(job, TakeSnapshot):
            self._list_again = True

    def count(self, job: CountInbound) -> None:
        """Submit a count. It may be cut off, so `idle` and `commanding` leave it out."""
        self._counts.submit(job, lambda: self._count(job))

    def act(self, action: EndpointAction) -> None:
        """Begin an action, and have a worker carry out the rest. Its container must not be `acting`.

        A container's start follows its creation within milliseconds, and the connect must precede it. So the
        request of a connect is written here, and not by a worker, which would have to wake up first.
        """
        log.debug("asking the engine: %s", action)
        self._acting[action.container_id] = action
        begun = self._endpoints.begin(action)
        self._actions.submit(action, lambda: self._act(action, begun))

    def done(self, job: Job) -> None:
        """Note that a job has ended."""
        if isinstance(job, EndpointAction):
            self._acting.pop(job.container_id, None)
            return
        self._asked.discard(job)
        if isinstance(job, TakeSnapshot) and self._list_again:
            self._list_again = False
            self.ask(job)

    def asked(self, job: Question | Command) -> bool:
        """Whether this job waits or runs."""
        return job in self._asked

    def acting(self, container_id: str) -> bool:
        """Whether an action on this container waits or runs."""
        return container_id in self._acting

    @property
    def actions(self) -> list[EndpointAction]:
        """All actions that wait or run."""
        return list(self._acting.values())

    def in_flight(self) -> dict[str, IPv6Address]:
        """The addresses at which containers are being attached, by the container's ID."""
        return {
            container_id: action.address
            for container_id, action in self._acting.items()
            if isinstance(action, Connect | Reconnect)
        }

    @property
    def commanding(self) -> bool:
        """Whether a firewall command waits or runs."""
        return any(isinstance(each, Command) for each in self._asked)

    @property
    def idle(self) -> bool:
        """Whether no job waits or runs, but for a count."""
        return not self._acting and not self._asked

    def stop(self) -> None:
        """Start no further job."""
        for_engine = (self._inspections, self._list_workers, self._actions)
        for workers in (*for_engine, self._commands, self._counts):
            workers.stop()

    def _workers_for(self, job: Question | Command) -> Workers[Job]:
        match job:
            case InspectContainer() | InspectImage():
                return self._inspections
            case TakeSnapshot() | ListNetworks() | ListImages():
                return self._list_workers
        return self._commands

    # --- on a worker's thread: of the cache only the epoch may be read --------------------------------

    def _run(self, job: Question | Command) -> Answer:
        asked = self._cache.epoch
        return Answer(asked, self._command(job) if isinstance(job, Command) else self._answer(job))

    def _answer(self, question: Question) -> object:
        match question:
            case InspectContainer(container_id):
                return self._lists.container(container_id)
            case InspectImage(image):
                return _image_labels(image, self._lists)
            case ListNetworks():
                return self._lists.networks()
            case ListImages():
                return self._lists.images()
            case TakeSnapshot():
                return self._lists.snapshot()

    def _command(self, command: Command) -> object:
        match command:
            case ListFirewall():
                return self._kernel.observe_firewall()
            case WriteFirewall(rules):
                self._kernel.apply_firewall(rules)
                return None
            case PutAcceptRules(mark):
                return self._kernel.put_accept_rules(mark)
            case CloseForwarding():
                return self._kernel.close_forwarding()

    def _count(self, job: CountInbound) -> Answer:
        asked = self._cache.epoch
        counts = count_inbound(self._kernel.observe_ruleset(), job.decisions, job.facts, job.settings)
        return Answer(asked, counts)

    def _act(self, action: EndpointAction, begun: PendingResponse | None) -> Answer:
        changed = self._endpoints.apply(action, begun)
        asked = self._cache.epoch
        if changed and isinstance(action, Connect | Reconnect):
            # The result is known, and packets wait for it: no inspection.
            return Answer(asked, None, changed=True)
        return Answer(asked, self._lists.container(action.container_id), changed=changed)


def _image_labels(image: str, lists: EngineLists) -> Mapping[str, str] | None:
    try:
        return lists.image_labels(image)
    except GoneError:
        return None
