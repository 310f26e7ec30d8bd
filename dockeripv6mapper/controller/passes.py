"""The passes: observe → desired → plan → apply, for everything or for the containers that changed.

Here stands what is done with what was found out; when to find out more is `loop`'s and `lifecycle`'s.
"""

import logging
import time
from collections.abc import Callable, Iterable

from dockeripv6mapper.actions import Connect, EndpointAction, Reconnect, Vacate
from dockeripv6mapper.controller.audience import Meter
from dockeripv6mapper.controller.boundary import EngineEndpoints
from dockeripv6mapper.controller.forecast import Forecast
from dockeripv6mapper.controller.jobs import (
    Answer,
    Jobs,
    ListImages,
    ListNetworks,
    Look,
    LookAtImage,
    TakeSnapshot,
)
from dockeripv6mapper.controller.kernel_side import KernelSide
from dockeripv6mapper.controller.logbook import Logbook
from dockeripv6mapper.controller.races import Races
from dockeripv6mapper.controller.reachability import Reachability
from dockeripv6mapper.controller.timers import LookLater, Report, Retry, RetryImage, Timers, Verify
from dockeripv6mapper.controller.vetoes import Vetoes
from dockeripv6mapper.engine.client import Snapshot
from dockeripv6mapper.engine.inventory import IMAGES, NETWORKS, Inventory
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.outlook import Outlook
from dockeripv6mapper.mapping.planner import plan_endpoint
from dockeripv6mapper.mapping.progress import Tally, tally
from dockeripv6mapper.mapping.trust import labels_of_the_image
from dockeripv6mapper.model import Endpoint, ImageWanted, Mapping, Network
from dockeripv6mapper.settings import Settings
from dockeripv6mapper.surroundings import Surroundings

log = logging.getLogger(__name__)

REPORT_SECONDS = 1.0
"""How old what is said of how things are may become: counting all is not for every event."""


class Passes:
    """Takes in what jobs brought, and acts on what follows from it."""

    def __init__(
        self,
        *,
        inventory: Inventory,
        jobs: Jobs,
        endpoints: EngineEndpoints,
        kernel: KernelSide,
        timers: Timers,
        logbook: Logbook,
        vetoes: Vetoes,
        publish: Callable[[Outlook], None],
        meter: Meter,
        settings: Settings,
    ) -> None:
        self._inventory = inventory
        self._jobs = jobs
        self._endpoints = endpoints
        self._kernel = kernel
        self._timers = timers
        self._logbook = logbook
        self._vetoes = vetoes
        self._meter = meter
        self._races = Races(meter)
        self._settings = settings
        self._desired = Desired(settings, jobs.address_asked)
        self.forecast = Forecast(publish, jobs, settings)
        self._reachability = Reachability(jobs, logbook, settings)
        self._awaited: set[str] = set()
        """Containers of which the last full pass knew too little: what they may have was spared."""
        self.listed = False
        """Whether the engine has been listed once: before that, nothing may be concluded from an absence."""

    # --- observe ------------------------------------------------------------------------------------------

    def take_snapshot(self, answer: Answer) -> None:
        """A full pass over a list of everything."""
        if self._inventory.is_all_stale(answer.asked):
            # Whoever found that events were missed asked for another.
            return
        snapshot: Snapshot = answer.found
        # At first, a list that a newer one will follow is better than none.
        if not self.listed or not self._inventory.is_stale(NETWORKS, answer.asked):
            self._replace_networks(snapshot.networks)
        merged = self._inventory.replace_containers(snapshot.containers, answer.asked)
        self._vetoes.listed(answer.asked)
        for container_id in merged.stale:
            self._jobs.ask(Look(container_id))
        self._take_images(Answer(answer.asked, snapshot.images))
        known, under_way = self._inventory.containers, self._jobs.under_way
        self._endpoints.prune(lambda each: each in known or each in merged.stale or each in under_way)
        for network in snapshot.networks:
            self._logbook.network(network)
        self.listed = True
        self._kernel.observe(self._facts())
        self._evaluate(merged.changed | self._desired.forgotten(self._facts()), whole=True)

    def without_engine(self) -> None:
        """A full pass over the host's side alone: while the engine is away, what is there stays right."""
        self._kernel.observe(self._facts())
        self._evaluate(list(self._inventory.containers), whole=True)

    def take_networks(self, answer: Answer) -> None:
        """All networks were listed: evaluate everything that may name one."""
        if self._inventory.is_stale(NETWORKS, answer.asked):
            self._jobs.ask(ListNetworks())
            return
        self._replace_networks(answer.found)
        self._vetoes.lift_all()
        self._evaluate(list(self._inventory.containers))

    def take_images(self, answer: Answer) -> None:
        """All images were listed: evaluate what waits for one."""
        self._take_images(answer)
        decisions = ((each, self._desired.decision(each)) for each in self._inventory.containers)
        self._evaluate([each for each, decision in decisions if isinstance(decision, ImageWanted)])

    def take_container(self, container_id: str, answer: Answer) -> None:
        """A container was looked at."""
        if self._inventory.is_stale(container_id, answer.asked):
            if LookLater(container_id) not in self._timers:  # it is looked at soon in any case
                self._jobs.ask(Look(container_id))
            return
        if answer.found is None:
            self._inventory.drop(container_id)
        else:
            self._inventory.put(answer.found)
        self.take_change(container_id)

    def take_attached(self, action: Connect | Reconnect) -> None:
        """A container was attached: its packets are let through before it is looked at."""
        container = self._inventory.containers.get(action.container_id)
        known = container and self._inventory.networks.endpoint(container, action.network_id, action.network)
        name = known.network if known else action.network
        endpoint = Endpoint(name, action.network_id, requested=action.address, ours=True)
        self._inventory.attach(action.container_id, endpoint)
        self._vetoes.attached(action.container_id)
        self.take_change(action.container_id)
        self._jobs.ask(Look(action.container_id))

    def take_refusal(self, action: Reconnect | Vacate) -> None:
        """A move was refused: who is in its way is to be found out, and no answer of before tells that."""
        self._inventory.touch(action.container_id)
        self._vetoes.refused(action, self._inventory.epoch)
        self._jobs.ask(TakeSnapshot())

    def take_image(self, image: str, answer: Answer) -> None:
        """An image was looked at, for which containers wait."""
        self._inventory.put_image(image, answer.found)
        self._evaluate([each.id for each in self._inventory.containers.values() if each.image == image])

    def take_survey(self, network_id: str, surroundings: Surroundings) -> None:
        """It was looked at what decides whether a network's containers are reached."""
        self._reachability.judge(network_id, surroundings, self._facts(), self._desired)

    def take_change(self, container_id: str) -> None:
        """The inventory has something new of a container."""
        self._evaluate([container_id])

    def _replace_networks(self, networks: tuple[Network, ...]) -> None:
        for gone in {each.id for each in self._inventory.networks} - {each.id for each in networks}:
            self._logbook.forget(gone)
        self._inventory.replace_networks(networks)

    def _take_images(self, answer: Answer) -> None:
        if self._inventory.is_stale(IMAGES, answer.asked):
            self._jobs.ask(ListImages())
        else:
            self._inventory.replace_images(answer.found)

    # --- what is told -------------------------------------------------------------------------------------

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
        self._races.started(container, decision, acting=container_id in self._jobs.under_way)

    # --- desired, plan, apply -----------------------------------------------------------------------------

    def _facts(self) -> Facts:
        inventory = self._inventory
        return Facts(inventory.containers, inventory.networks, inventory.images, self._kernel.seen)

    def _evaluate(self, container_ids: Iterable[str], *, whole: bool = False) -> None:
        """Decide anew on some containers and on those that contend with them, and act on it.

        `whole`: they are all there are, and what is proxied beyond them is to be removed.
        """
        if not self.listed:
            return
        began = time.monotonic()
        facts = self._facts()
        update = self._desired.update(facts, container_ids)
        affected = update.containers
        self._vetoes.lift(update.by_others)
        # First the kernel's side: what a dead container had open is closed before its address can go on.
        held = {container_id for container_id in affected if self._held(container_id)}
        known = affected - held
        self._kernel.settle(facts, self._desired, known)
        awaited, self._awaited = self._awaited, held if whole else self._awaited - known
        if whole or (awaited and not self._awaited):
            self._settle_all(facts)
        for container_id in affected:
            self._act(facts, container_id)
        self.forecast.publish(self._inventory, facts, self._desired)
        self._meter.passed(time.monotonic() - began, whole=whole)
        self._timers.hasten(Report(), REPORT_SECONDS)

    def _settle_all(self, facts: Facts) -> None:
        """Remove what nobody needs, and spare what those may have of whom too little is known."""
        held = (each for each in facts.containers.values() if self._held(each.id))
        spared = {endpoint.address for each in held for endpoint in each.endpoints if endpoint.address}
        self._kernel.settle_all(facts, spared)

    def _held(self, container_id: str) -> bool:
        """Whether a container's proxy entries stay as they are for the moment.

        While the engine attaches a running container, its interface may not be up yet: a proxied packet
        would start the host's own resolution, which fails and backs off for up to a second. And while its
        image is not known, nothing is known.
        """
        container = self._inventory.containers.get(container_id)
        if container is None or not container.running:
            return False
        decision = self._desired.decision(container_id)
        return container_id in self._jobs.under_way or isinstance(decision, ImageWanted)

    def _act(self, facts: Facts, container_id: str) -> None:
        """Have the engine do what one container needs, unless it is at it, or failed a moment ago."""
        container = facts.containers.get(container_id)
        if container is None:
            self._logbook.forget(container_id, Look(container_id))
            self._vetoes.lift([container_id])
            self._races.gone(container_id)
            self._timers.cancel(Retry(container_id), Verify(container_id), LookLater(container_id))
            return
        decision = self._desired.decision(container_id)
        self._logbook.decision(container, decision)
        self._logbook.ignored(container, labels_of_the_image(container, facts, self._settings))
        if isinstance(decision, Mapping) and container.running:
            self._reachability.ask(container, decision)
        if isinstance(decision, ImageWanted) and RetryImage(decision.image) not in self._timers:
            self._jobs.ask(LookAtImage(decision.image))
        if container_id in self._jobs.under_way or Retry(container_id) in self._timers:
            return
        unfinished = self._endpoints.unfinished(container_id)
        action = plan_endpoint(container, decision, facts, unfinished=unfinished)
        if action is None:
            self._logbook.succeeded(container_id)
        elif action not in self._vetoes:
            self._apply(action)

    def _apply(self, action: EndpointAction) -> None:
        if self._settings.dry_run:
            self._logbook.once(action.container_id, f"would {action}", logging.INFO)
            return
        if self._jobs.act(action):
            log.debug("asking the engine: %s", action)
