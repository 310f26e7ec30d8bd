"""The loop: takes messages and timers, one at a time, and hands them to their handlers.

Level-triggered: an event only says where to look first. A pass compares the desired state with the observed
one, and acts on the difference. Every `resync` seconds everything is listed again. Engine calls and firewall
commands run on worker threads, and their results come back as messages. Netlink and sysctls take microseconds
and are called directly. All state is guarded by one lock, which is held while a message is handled.
"""

import logging
import threading
from collections.abc import Callable

from dockeripv6mapper import backoff
from dockeripv6mapper.controller.attempts import Attempts
from dockeripv6mapper.controller.container_events import ContainerEvents
from dockeripv6mapper.controller.interfaces import EngineEndpoints, EngineLists, HostKernel
from dockeripv6mapper.controller.jobs import (
    Finished,
    InspectContainer,
    InspectImage,
    Job,
    ListImages,
    ListNetworks,
    TakeSnapshot,
)
from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.controller.observers import Meter, Reports, ServiceManager
from dockeripv6mapper.controller.queue import (
    FirewallChanged,
    HostChanged,
    Message,
    Overflowed,
    Queue,
    ResyncNow,
    Stop,
)
from dockeripv6mapper.controller.reconcile import Reconciler
from dockeripv6mapper.controller.results import Results
from dockeripv6mapper.controller.shutdown import finish_running_jobs
from dockeripv6mapper.controller.timers import (
    Announce,
    Deadline,
    LookAtFirewall,
    LookAtHost,
    Recount,
    Report,
    Resync,
    Retry,
    RetryHost,
    RetryImage,
    Timer,
    Timers,
    Verify,
)
from dockeripv6mapper.controller.workers import Workers
from dockeripv6mapper.controller.workqueue import Employ, WorkQueue
from dockeripv6mapper.engine.cache import NETWORKS, Cache
from dockeripv6mapper.engine.events import (
    ContainerChanged,
    EventMessage,
    ImagesChanged,
    NetworksChanged,
    StreamLost,
    Subscribed,
)
from dockeripv6mapper.engine.refusals import RefusalRecord
from dockeripv6mapper.settings import Settings

log = logging.getLogger(__name__)

BURST_SECONDS = 0.1
"""Delay between a netlink notification and the observation: notifications come in bursts."""
FIREWALL_BURST_SECONDS, FIREWALL_INTERVAL_SECONDS = 0.05, 0.4
"""Delay from an nftables notification to the reading of our rules; minimum interval between two readings.

A reading takes up to 0.1 s of CPU, and another program may remove our rules after each.
"""
STREAM = "stream"
"""The key of the event stream's failures in the log."""
UNEXPECTED_ERROR = "unexpected error"
"""The key, in the log, of errors in the loop itself. They have ended when a snapshot succeeds."""
FIRST_LIST_SECONDS = 30.0
"""How long readiness waits for the first list: the timeout of a query to the engine."""
FIRST_PASS_SECONDS = 60.0
"""How long readiness waits for the first full pass. systemd allows 90 s."""


class Controller:
    """The daemon's loop, and the objects that it hands messages to."""

    def __init__(
        self,
        lists: EngineLists,
        endpoints: EngineEndpoints,
        kernel: HostKernel,
        settings: Settings,
        *,
        stop_events: Callable[[], None] = lambda: None,
        watch: Callable[[frozenset[int] | None], None] = lambda _: None,
        service: ServiceManager | None = None,
        meter: Meter | None = None,
        record: RefusalRecord | None = None,
        timers: Timers | None = None,
        employ: Employ = Workers,
    ) -> None:
        self._settings = settings
        self._stop_events = stop_events
        """Stops the event reader; called when the loop ends."""
        self._service = service or ServiceManager()
        self._meter = meter or Meter()
        self._queue = Queue()
        self._lock = threading.Lock()
        """Held while a message or a timer is handled: it guards all state below."""
        self._cache = Cache()
        self._jobs = WorkQueue(
            *(self.post, lists, endpoints, kernel, self._cache),
            employ=employ,
        )
        self._log_changes = LogChanges()
        self._timers = timers or Timers()
        self._attempts = Attempts(record)
        self._reconciler = Reconciler(
            cache=self._cache,
            jobs=self._jobs,
            endpoints=endpoints,
            kernel=kernel,
            watch=watch,
            timers=self._timers,
            log_changes=self._log_changes,
            attempts=self._attempts,
            meter=self._meter,
            settings=settings,
        )
        self._results = Results(
            cache=self._cache,
            jobs=self._jobs,
            endpoints=endpoints,
            reconciler=self._reconciler,
            attempts=self._attempts,
            timers=self._timers,
            log_changes=self._log_changes,
            meter=self._meter,
        )
        self._container_events = ContainerEvents(
            cache=self._cache,
            jobs=self._jobs,
            reconciler=self._reconciler,
            attempts=self._attempts,
            timers=self._timers,
            meter=self._meter,
        )
        self._reports = Reports(self._service, self._meter, self._reconciler.tally)
        self._firewall_look_due = 0.0
        """The earliest time of the next look at our firewall rules, by the timers' clock."""
        self._stopping = False

    def post(self, message: Message) -> None:
        """Put a message into the queue. From any thread."""
        self._queue.put(message)

    def deliver(self, message: EventMessage) -> None:
        """Handle a container's event at once, on the event reader's thread; queue any other event.

        A container's start follows its creation within two or three milliseconds, and packets wait for its
        proxy entry. Waking the loop's thread would cost 0.1 to 0.7 ms of these. If the loop is busy or
        messages wait, the event is queued too, so their order is kept.
        """
        if isinstance(message, ContainerChanged) and self._handle_now(message):
            # A new timer may be due before the loop would wake up.
            self._queue.wake()
        else:
            self._queue.put(message)

    def _handle_now(self, message: Message) -> bool:
        """Handle a message on this thread and return True; False where another is being handled or waits."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            if len(self._queue) or self._stopping:
                return False
            self._handle(message)
        except Exception as error:  # noqa: BLE001 - logged and repaired
            self._repair(error)
        finally:
            self._lock.release()
        return True

    def _repair(self, error: Exception) -> None:
        """Log an unexpected error, and have a full pass repair what was missed."""
        self._timers.hasten(Resync(), backoff.delay(self._log_changes.failed(UNEXPECTED_ERROR, error)))

    def run(self) -> None:
        """Run until `Stop` is posted."""
        self._timers.set(Resync(), self._settings.resync)
        self._timers.set(Deadline(listed=False), FIRST_LIST_SECONDS)
        self._timers.set(Deadline(listed=True), FIRST_PASS_SECONDS)
        while not self._stopping:
            self._service.beat()
            try:
                self.turn()
            except Exception as error:  # noqa: BLE001 - logged and repaired
                with self._lock:
                    self._repair(error)
        self._service.stopping()
        self._stop_events()
        finish_running_jobs(self._queue, self._jobs, self._reconciler)
        self._jobs.stop()

    def turn(self) -> None:
        """Wait for a message or a timer, and handle it."""
        with self._lock:
            seconds = min(self._timers.next_in(), self._service.beat_seconds)
        self._queue.wait(seconds)
        with self._lock:
            try:
                if (message := self._queue.pop()) is not None:
                    self._handle(message)
            finally:
                self._handle_due_timers()
            if self._reconciler.listed and self._jobs.idle:
                self._reports.first_pass_done()

    # --- messages -----------------------------------------------------------------------------------------

    def _handle(self, message: Message) -> None:
        match message:
            case ContainerChanged():
                self._container_events.take(message)
            case NetworksChanged():
                self._cache.touch(NETWORKS)
                self._jobs.ask(ListNetworks())
            case ImagesChanged():
                self._cache.images_changed()
                self._jobs.ask(ListImages())
            case Finished():
                self._finished(message)
            case HostChanged():
                self._timers.hasten(LookAtHost(), BURST_SECONDS)
            case FirewallChanged():
                self._look_at_firewall_soon()
            case Subscribed():
                self._subscribed()
            case StreamLost():
                self._log_changes.failed(STREAM, message.error)
                self._reports.engine_lost(message.error)
            case ResyncNow() | Overflowed():
                self._relist()
            case Stop():
                self._stopping = True

    def _look_at_firewall_soon(self) -> None:
        seconds = max(FIREWALL_BURST_SECONDS, self._firewall_look_due - self._timers.now)
        self._timers.hasten(LookAtFirewall(), seconds)

    def _subscribed(self) -> None:
        log.info("connected to the engine")
        # The relist comes first: a failure of the rest must not prevent it.
        self._timers.cancel_retries()
        self._relist()
        self._log_changes.engine_reconnected()
        self._log_changes.succeeded(STREAM)
        self._reports.engine_connected()

    def _finished(self, message: Finished[Job]) -> None:
        self._results.take(message)
        match message:
            case Finished(job=TakeSnapshot(), error=None):
                self._log_changes.succeeded(UNEXPECTED_ERROR)
            case Finished(job=TakeSnapshot(), error=error):
                self._reports.first_pass_late(str(error))

    # --- timers -------------------------------------------------------------------------------------------

    def _handle_due_timers(self) -> None:
        """Handle all due timers. One whose handler fails is set again, and does not keep others waiting."""
        now = self._timers.now
        while (timer := self._timers.take_due(now)) is not None:
            try:
                self._handle_timer(timer)
            except Exception as error:  # noqa: BLE001 - logged and retried
                self._timers.hasten(timer, backoff.delay(self._log_changes.failed(timer, error)))
            else:
                self._log_changes.succeeded(timer)

    def _handle_timer(self, timer: Timer) -> None:
        match timer:
            case Resync():
                self._resync()
            case Report():
                self._reports.publish()
            case Recount():
                self._reconciler.count_inbound()
            case Deadline(listed):
                self._report_lateness(listed=listed)
            case Retry(container_id):
                self._jobs.ask(InspectContainer(container_id))
            case LookAtHost():
                self._reconciler.host_changed()
            case LookAtFirewall():
                self._look_at_firewall()
            case Announce():
                self._reconciler.announce()
            case RetryHost():
                self._reconciler.pass_without_list()
            case RetryImage(image):
                self._jobs.ask(InspectImage(image))
            case Verify(container_id):
                self._cache.may_run(container_id)
                self._jobs.ask(InspectContainer(container_id))

    def _report_lateness(self, *, listed: bool) -> None:
        if listed:
            self._reports.first_pass_late(f"the engine takes more than {FIRST_PASS_SECONDS:g} s")
        elif not self._reconciler.listed:
            self._reports.first_pass_late(f"the engine has not answered for {FIRST_LIST_SECONDS:g} s")

    def _look_at_firewall(self) -> None:
        self._firewall_look_due = self._timers.now + FIREWALL_INTERVAL_SECONDS
        self._reconciler.firewall_changed()

    def _resync(self) -> None:
        self._timers.set(Resync(), self._settings.resync)
        if self._cache.images_wanted:
            self._jobs.ask(ListImages())
        self._jobs.ask(TakeSnapshot())

    def _relist(self) -> None:
        """List everything again, even while a list is being made: events may have been missed."""
        self._cache.touch_all()
        self._attempts.reconsider_all()
        self._reconciler.neighbours.all_changed()
        self._attempts.engine_changed()
        self._resync()
