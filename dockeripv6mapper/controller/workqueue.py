"""The work queue: engine calls and firewall commands, run by worker threads.

The loop never waits for the engine. It submits a job, and the result arrives as a `Finished` message.
Questions are deduplicated: one that waits or runs is not asked again. At most one action per container runs
at a time.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address
from queue import SimpleQueue
from typing import Any, Generic, TypeAlias, TypeVar

from dockeripv6mapper.actions import Connect, EndpointAction, Reconnect
from dockeripv6mapper.controller.interfaces import EngineEndpoints, EngineLists, HostKernel
from dockeripv6mapper.engine.cache import Cache
from dockeripv6mapper.engine.http import PendingResponse
from dockeripv6mapper.errors import GoneError
from dockeripv6mapper.model import FirewallRules


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """List containers and networks. Result: a `Snapshot`."""


@dataclass(frozen=True, slots=True)
class ListNetworks:
    """List the networks. Result: a `Listed[Network]`."""


@dataclass(frozen=True, slots=True)
class ListImages:
    """List the images. Result: their labels, by ID and name.

    After a subscription and when images change, not at every pass: engine 29 takes 0.5 s of CPU for it.
    """


@dataclass(frozen=True, slots=True)
class InspectContainer:
    """Inspect one container. Result: a `Container`, or None where it is gone."""

    container_id: str


@dataclass(frozen=True, slots=True)
class InspectImage:
    """Inspect an image. Result: its labels, or None where it is gone."""

    image: str


@dataclass(frozen=True, slots=True)
class ListFirewall:
    """List our nft table. Result: its `FirewallRules`; None where it cannot be listed."""


@dataclass(frozen=True, slots=True)
class WriteFirewall:
    """Replace our nft table's contents by `rules`."""

    rules: FirewallRules


@dataclass(frozen=True, slots=True)
class PutAcceptRules:
    """Add our accept rules where they are missing. Result: a list of the places."""

    mark: int


@dataclass(frozen=True, slots=True)
class CloseForwarding:
    """Set the policy that the engine sets when it switches forwarding on. Result: a `Forwarded`."""


Question: TypeAlias = TakeSnapshot | ListNetworks | ListImages | InspectContainer | InspectImage
FirewallJob: TypeAlias = ListFirewall | WriteFirewall | PutAcceptRules
Command: TypeAlias = FirewallJob | CloseForwarding
"""nft and iptables, which may wait ten seconds for a lock."""
Job: TypeAlias = Question | Command | EndpointAction
"""An action's result is the container afterwards, unless it was attached just as asked."""

INSPECTION_THREADS = 8
"""An inspection that hangs occupies one thread until its timeout."""
LIST_THREADS = 3
"""One for each kind of list: no list waits behind inspections that hang."""
ACTION_THREADS = 16
"""A connect of a running container takes 75 to 150 ms; during a container's start, as long as that start.
While eight hang, the answers of new containers' connects must still be read."""
COMMAND_THREADS = 1
"""Commands change the same rules, so they run one after the other, and never wait behind an engine call."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a job."""

    asked: int
    """The cache's epoch when the job began: an answer may be older than a later event."""
    value: Any
    changed: bool = False
    """Whether an action changed anything."""


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finished(Generic[T]):
    """A job has ended, with a result or an error."""

    job: T
    result: Any = None
    error: Exception | None = None
    seconds: float = 0.0
    """Run time, without the time in the queue."""


class Workers(Generic[T]):
    """A pool of `count` threads that run jobs in the order of their submission.

    Not `concurrent.futures`: its threads are joined at exit, and one call that hangs in the engine would keep
    the daemon from stopping.
    """

    def __init__(self, count: int, deliver: Callable[[Finished[T]], None]) -> None:
        self._deliver = deliver
        self._jobs: SimpleQueue[tuple[T, Callable[[], Any]] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"worker-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: T, call: Callable[[], Any]) -> None:
        """Have a thread make `call`, and deliver `Finished(job, …)` from that thread."""
        self._jobs.put((job, call))

    def stop(self) -> None:
        """Let every thread end after its current job. Does not wait."""
        for _ in self._threads:
            self._jobs.put(None)

    def _work(self) -> None:
        while (task := self._jobs.get()) is not None:
            job, call = task
            began = time.monotonic()
            try:
                finished = Finished(job, call(), None, time.monotonic() - began)
            except Exception as error:  # noqa: BLE001 - delivered, not swallowed: the loop logs it
                finished = Finished(job, None, error, time.monotonic() - began)
            self._deliver(finished)


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

    def act(self, action: EndpointAction) -> None:
        """Begin an action, and have a worker carry out the rest. Its container must not be `acting`.

        A container's start follows its creation within milliseconds, and the connect must precede it. So the
        request of a connect is written here, and not by a worker, which would have to wake up first.
        """
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
        """Whether no job waits or runs."""
        return not self._acting and not self._asked

    def stop(self) -> None:
        """Start no further job."""
        for workers in (self._inspections, self._list_workers, self._actions, self._commands):
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
