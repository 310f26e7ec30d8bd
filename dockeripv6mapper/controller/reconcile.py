"""Reconcile: desired → plan → apply, for everything or for the containers that changed.

Here stands what is done about what is known; how it becomes known is `results`', and when to find out more is
`loop`'s and `container_events`'.
"""

import logging
import time
from collections.abc import Container as Collection
from collections.abc import Iterable
from ipaddress import IPv6Address

from dockeripv6mapper.actions import Connect, EndpointAction, Reconnect
from dockeripv6mapper.controller.attempts import Attempts
from dockeripv6mapper.controller.interfaces import EngineEndpoints
from dockeripv6mapper.controller.kernel_side import KernelSide
from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.controller.observers import Meter
from dockeripv6mapper.controller.races import Races
from dockeripv6mapper.controller.reachability import Reachability
from dockeripv6mapper.controller.timers import Report, Retry, RetryImage, Timers, Verify
from dockeripv6mapper.controller.workqueue import (
    Command,
    InspectContainer,
    InspectImage,
    ListImages,
    WorkQueue,
)
from dockeripv6mapper.engine.cache import Inventory
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.image_labels import labels_of_the_image
from dockeripv6mapper.mapping.planner import plan_endpoint
from dockeripv6mapper.mapping.progress import Tally, tally
from dockeripv6mapper.mapping.spared import spared
from dockeripv6mapper.model import ImageWanted, Mapping, MarkWanted, Undecided
from dockeripv6mapper.settings import Settings

log = logging.getLogger(__name__)

REPORT_SECONDS = 1.0
"""How old what is said of how things are may become: counting all is not for every event."""


class Reconciler:
    """Acts on what follows from what is known."""

    def __init__(
        self,
        *,
        inventory: Inventory,
        jobs: WorkQueue,
        endpoints: EngineEndpoints,
        kernel: KernelSide,
        timers: Timers,
        log_changes: LogChanges,
        attempts: Attempts,
        meter: Meter,
        settings: Settings,
    ) -> None:
        self._inventory = inventory
        self._jobs = jobs
        self._endpoints = endpoints
        self._kernel = kernel
        self._timers = timers
        self._log_changes = log_changes
        self._attempts = attempts
        self._meter = meter
        self._races = Races(meter)
        self._settings = settings
        self._desired = Desired(settings)
        self._reachability = Reachability(log_changes)
        self._waiting: set[str] = set()
        """Containers whose action waits until the firewall has closed its address."""
        self._awaited: set[str] = set()
        """Containers of which the last full pass knew too little: what they may have was spared."""
        self.listed = False
        """Whether the engine has been listed once: before that, nothing may be concluded from an absence."""
        self.images_listed = False
        """Whether its images have been."""

    def full_pass(self, listed: Iterable[str]) -> None:
        """A pass over all there is, of which a list has just told; `listed`: what was there, and what is."""
        self.listed = True
        self._kernel.observe(self._facts())
        self._pass({*listed, *self._desired.forgotten(self._facts())}, whole=True)

    def without_engine(self) -> None:
        """A full pass over the host's side alone: while the engine is away, what is there stays right."""
        self._kernel.observe(self._facts())
        self._pass(list(self._inventory.containers), whole=True)

    def host_changed(self) -> None:
        """The kernel has notified of a change: look at the host, and ask the engine nothing."""
        if self._kernel.observe(self._facts()):
            self._pass(list(self._inventory.containers), whole=True)

    def take_command(self, job: Command, found: object, error: Exception | None) -> None:
        """A command of the kernel's side has ended: go on with that side alone."""
        self._kernel.ended(job, found, error)

    def kernel_ended(self, job: Command, found: object, error: Exception | None) -> None:
        """A command of the kernel's side has ended: go on with what waited for it."""
        self.take_command(job, found, error)
        waiting, self._waiting = self._waiting, set()
        self.evaluate(waiting)

    def evaluate(self, container_ids: Iterable[str]) -> None:
        """A pass over some containers of which something new is known, and those that contend with them."""
        self._pass(container_ids, whole=False)

    # --- what is told -------------------------------------------------------------------------------------

    def waiting_for_images(self) -> list[str]:
        """The containers that wait until their image is known."""
        decisions = ((each, self._desired.decision(each)) for each in self._inventory.containers)
        return [each for each, decision in decisions if isinstance(decision, ImageWanted)]

    def tally(self) -> Tally:
        """Count what there is."""
        return tally(self._facts(), self._desired, self._kernel.count)

    def note_created(self, container_id: str) -> None:
        """A container is new: whether it will be mapped before it is started is to be counted."""
        self._races.created(container_id)

    def note_started(self, container_id: str) -> None:
        """A container was started: count whether it was mapped before."""
        container = self._inventory.containers.get(container_id)
        decision = self._desired.decision(container_id)
        self._races.started(container, decision, acting=self._jobs.acting(container_id))

    # --- desired, plan, apply -----------------------------------------------------------------------------

    def _facts(self) -> Facts:
        inventory = self._inventory
        return Facts(
            containers=inventory.containers,
            networks=inventory.networks,
            images=inventory.images,
            host=self._kernel.seen,
            in_flight=self._jobs.in_flight(),
        )

    def _pass(self, container_ids: Iterable[str], *, whole: bool) -> None:
        """Decide anew on some containers and on those that contend with them, and act on it.

        `whole`: they are all there are, and what is proxied beyond them is to be removed.
        """
        if not self.listed:
            return
        began = time.monotonic()
        facts = self._facts()
        update = self._desired.update(facts, container_ids)
        affected = update.containers
        self._attempts.reconsider(update.by_others)
        # First the kernel's side: it says which addresses cannot be given to anybody yet.
        held = {container_id for container_id in affected if self._held(container_id)}
        known = affected - held
        self._kernel.settle(facts, self._desired, known)
        awaited, self._awaited = self._awaited, held if whole else self._awaited - known
        if whole or (awaited and not self._awaited):
            self._settle_all(facts)
        exposed = self._kernel.exposed()
        for container_id in affected:
            self._act(facts, container_id, exposed)
        self._meter.passed(time.monotonic() - began, whole=whole)
        self._timers.hasten(Report(), REPORT_SECONDS)

    def _settle_all(self, facts: Facts) -> None:
        """Remove what no container needs, and spare what one may have of which too little is known."""
        held = filter(self._held, facts.containers)
        self._kernel.settle_all(facts, spared(facts, held, complete=self._inventory.complete))

    def _held(self, container_id: str) -> bool:
        """Whether a container's proxy entries stay as they are for the moment.

        While the engine attaches a running container, its interface may not be up yet: a proxied packet
        would start the host's own resolution, which fails and backs off for up to a second. And while
        nothing can be decided on it, nothing is removed.
        """
        container = self._inventory.containers.get(container_id)
        if container is None or not container.running:
            return False
        decision = self._desired.decision(container_id)
        return self._jobs.acting(container_id) or isinstance(decision, Undecided)

    def _act(self, facts: Facts, container_id: str, exposed: Collection[IPv6Address]) -> None:
        """Have the engine do what one container needs, unless it is at it, or failed a moment ago."""
        container = facts.containers.get(container_id)
        if container is None:
            timers = (Retry(container_id), Verify(container_id))
            self._log_changes.forget(container_id, InspectContainer(container_id), *timers)
            self._attempts.lift([container_id])
            self._races.gone(container_id)
            self._timers.cancel(*timers)
            return
        decision = self._desired.decision(container_id)
        self._log_changes.decision(container, decision)
        self._log_changes.ignored(container, labels_of_the_image(container, facts, self._settings))
        if isinstance(decision, Mapping) and container.running:
            self._reachability.check(container, decision, facts, self._desired)
        if isinstance(decision, ImageWanted):
            self._look_at_image(decision.image)
        if self._jobs.acting(container_id) or Retry(container_id) in self._timers:
            return
        if isinstance(decision, MarkWanted):
            self._jobs.ask(InspectContainer(container_id))
        unfinished = self._endpoints.unfinished(container_id)
        action = plan_endpoint(container, decision, facts, unfinished=unfinished)
        if action is None:
            self._log_changes.succeeded(container_id)
            self._log_changes.dry_run(container_id, ())
            self._attempts.lift([container_id])
        elif isinstance(action, Connect | Reconnect) and action.address in exposed:
            self._waiting.add(container_id)
            if self._kernel.failing:
                what = f"what was open at {action.address} cannot be closed yet"
                self._log_changes.once(container_id, f"container {container.name} waits: {what}")
        elif action not in self._attempts:
            self._apply(action)

    def _look_at_image(self, image: str) -> None:
        """Find out an image's labels, unless the first list of all is about to tell them."""
        first_list = self._jobs.asked(ListImages()) and not self.images_listed
        if not first_list and RetryImage(image) not in self._timers:
            self._jobs.ask(InspectImage(image))

    def _apply(self, action: EndpointAction) -> None:
        if self._settings.dry_run:
            self._log_changes.dry_run(action.container_id, [f"would {action}"])
            return
        log.debug("asking the engine: %s", action)
        self._jobs.act(action)
        # The next decision, on another container, must consider the address that is in flight.
        self._desired.update(self._facts(), [action.container_id])
