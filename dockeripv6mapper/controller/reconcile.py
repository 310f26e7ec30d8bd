"""Reconcile: desired → plan → apply, for all containers or for those that changed.

`container_events` and `results` update the cache, and call this. A pass works out what is desired of the
containers in its scope and of all that compete with them for an address, makes one plan, and carries it out:
the firewall first, then sysctls and proxy entries, then the engine.
"""

import logging
import time
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import replace

from dockeripv6mapper import backoff
from dockeripv6mapper.actions import Connect, SysctlChange
from dockeripv6mapper.controller.attempts import Attempts
from dockeripv6mapper.controller.endpoints import EndpointActions
from dockeripv6mapper.controller.firewall import FirewallTable
from dockeripv6mapper.controller.host import HostState
from dockeripv6mapper.controller.inbound_count import InboundCount
from dockeripv6mapper.controller.interfaces import EngineEndpoints, HostKernel
from dockeripv6mapper.controller.jobs import (
    CloseForwarding,
    Command,
    Finished,
    InspectContainer,
    InspectImage,
    Job,
    ListImages,
)
from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.controller.neighbours import ResolvedNeighbours
from dockeripv6mapper.controller.observers import Meter
from dockeripv6mapper.controller.removal import Removal
from dockeripv6mapper.controller.sysctls import SOLICITATION_SECONDS
from dockeripv6mapper.controller.timers import (
    LookAtHost,
    Report,
    Retry,
    RetryHost,
    RetryImage,
    Timers,
    Verify,
)
from dockeripv6mapper.controller.workqueue import WorkQueue
from dockeripv6mapper.engine.cache import IMAGE_ID, Cache
from dockeripv6mapper.mapping.desired import Affected, Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.planner import Plan, plan, plan_endpoint
from dockeripv6mapper.mapping.state import Tally, tally
from dockeripv6mapper.model import Container, Decision, ImageWanted, MarkWanted, ProxyEntry
from dockeripv6mapper.settings import FirewallMode, Settings

log = logging.getLogger(__name__)

REPORT_SECONDS = 1.0
"""Minimum interval between status updates."""
NO_CONTAINERS = Affected(frozenset(), frozenset(), frozenset())


class Reconciler:
    """Brings engine and kernel to what is desired. Used under the loop's lock."""

    def __init__(
        self,
        *,
        cache: Cache,
        jobs: WorkQueue,
        endpoints: EngineEndpoints,
        kernel: HostKernel,
        timers: Timers,
        log_changes: LogChanges,
        attempts: Attempts,
        watch: Callable[[frozenset[int] | None], None],
        meter: Meter,
        settings: Settings,
    ) -> None:
        self._cache = cache
        self._jobs = jobs
        self._endpoints = endpoints
        self._timers = timers
        self._log_changes = log_changes
        self._attempts = attempts
        self._meter = meter
        self._settings = settings
        self._desired = Desired(settings)
        self._host = HostState(kernel, settings, log_changes, timers, watch=watch, ask=jobs.ask)
        self._host_failures = 0
        """How many retries in a row the kernel or the firewall refused."""
        self._actions = EndpointActions(jobs, timers, attempts, log_changes, settings)
        self._firewall = FirewallTable(jobs.ask, settings, log_changes)
        self._removal = Removal(self._desired)
        self.neighbours = ResolvedNeighbours(kernel, log_changes)
        self._unapplied: AbstractSet[ProxyEntry] = frozenset()
        """Proxy entries that the actions of the last pass affect. They are in the scope of the next pass."""
        self._inbound = InboundCount(jobs, timers, log_changes, settings)
        self.listed = False
        """Whether the engine has been listed. Before that, a container may exist that the cache lacks."""
        self.images_listed = False
        """Whether its images have been listed."""

    def full_pass(self, listed: Iterable[str]) -> None:
        """A pass over everything, after a list. `listed`: IDs in the list, or in the cache before it."""
        self.listed = True
        self._observe_host()
        self._pass({*listed, *self._desired.forgotten(self._facts())}, whole=True)

    def pass_without_list(self) -> None:
        """A full pass with the engine as last listed: the host is kept right while no list succeeds."""
        self._observe_host()
        self._pass(self._cache.containers.keys(), whole=True)

    def host_changed(self) -> None:
        """Observe the host after a notification by the kernel. A full pass if it changed; no new list."""
        if self._observe_host():
            self._pass(self._cache.containers.keys(), whole=True)

    def firewall_changed(self) -> None:
        """Read our nft table and accept rules after another program changed them, and restore them."""
        if not self.listed:
            # The first pass reads them.
            return
        log.debug("another program changed our firewall rules, or DOCKER-USER: reading them")
        self._firewall.changed()
        self._apply_firewall()

    def evaluate(self, container_ids: Iterable[str]) -> None:
        """A pass over some containers that changed."""
        self._pass(container_ids, whole=False)

    def evaluate_new(self, created: Container) -> None:
        """A pass over a container that was just created. Its connect comes first, since its start follows."""
        self._pass([created.id], whole=False, created=created)

    def take_command(self, job: Command, value: object, error: Exception | None) -> None:
        """Take the result of a firewall command, and carry out the parts of the plan that waited for it."""
        if isinstance(job, CloseForwarding):
            self._host.sysctls.policy_ended(value, error)
        else:
            self._firewall.ended(job, value, error)
        following = self._apply_firewall()
        if isinstance(job, CloseForwarding):
            self._apply_sysctls(following.sysctls, retry=error is None)
        self._host.add_withheld(self._desired.needs.entries, self._firewall.unclosed())
        self._retry_host_later()

    def _apply_firewall(self) -> Plan:
        """Carry out the firewall's part of a new plan; returns the plan."""
        facts = self._facts()
        following = plan(self._desired, facts, self._settings, NO_CONTAINERS, spared=self._removal.spared)
        self._firewall.apply(following.firewall, observed=bool(facts.host.links), whole=False)
        return following

    def evaluate_waiting(self) -> None:
        """A pass over the containers that wait for the firewall."""
        self.evaluate(self._actions.take_waiting())

    def announce(self) -> None:
        """Send the announcements that are due."""
        self._host.announcements.send_due()

    def count_inbound(self) -> None:
        """Have the containers counted by what gets in, for the metrics."""
        self._inbound.start(self._facts(), self._desired)

    def take_inbound_count(self, count: Finished[Job]) -> None:
        """Take the result of that count."""
        if self._inbound.ended(count):
            self._timers.hasten(Report(), REPORT_SECONDS)

    # --- queries ------------------------------------------------------------------------------------------

    def decision(self, container_id: str) -> Decision:
        """What is desired of a container."""
        return self._desired.decision(container_id)

    def waiting_for_images(self) -> list[str]:
        """The containers on which nothing can be decided before their image's labels are known."""
        decisions = ((each, self._desired.decision(each)) for each in self._cache.containers)
        return [each for each, decision in decisions if isinstance(decision, ImageWanted)]

    def tally(self) -> Tally:
        """Count containers by state, refusals and proxy entries."""
        return tally(self._facts(), self._desired, self._host.count, self._inbound.last)

    # --- observe ------------------------------------------------------------------------------------------

    def _facts(self) -> Facts:
        cache = self._cache
        return Facts(
            containers=cache.containers,
            networks=cache.networks,
            images=cache.images,
            host=self._host.with_table(self._firewall.rules),
            in_flight=self._jobs.in_flight(),
            acting={action.container_id for action in self._jobs.actions},
            engine_refusals=self._attempts.lasting,
            routes_by_family=cache.routes_by_family,
            filters_with_nftables=cache.filters_with_nftables,
            complete=cache.complete,
            sysctls=self._host.sysctls.current,
            appeared=self._host.sysctls.appeared,
        )

    def _observe_host(self) -> bool:
        """Observe the host and set its sysctls, even before the first list. Returns whether it changed."""
        changed = self._host.observe(self._facts())
        if self._host.observed:
            now = plan(self._desired, self._facts(), self._settings, NO_CONTAINERS)
            self._apply_sysctls(now.sysctls, retry=True)
            self._host.sysctls.solicit()
            self._host.log_uplinks(self._facts())
        if self._host.sysctls.awaits_route:
            self._timers.hasten(LookAtHost(), SOLICITATION_SECONDS)
        self._retry_host_later()
        return changed

    # --- desired → plan → apply ---------------------------------------------------------------------------

    def _pass(self, container_ids: Iterable[str], *, whole: bool, created: Container | None = None) -> None:
        """Decide on some containers and on those that compete with them, and carry out the plan.

        `whole`: these are all containers, so everything of ours that none of them needs is removed.
        `created`: one of them, if it was just created.
        """
        if not self.listed:
            return
        began = time.monotonic()
        facts = self._facts()
        scope = self._desired.update(facts, container_ids)
        if created is not None:
            self._connect_new(facts, created)
        scope = replace(scope, entries=scope.entries | self._unapplied)
        self._unapplied = frozenset()
        self._attempts.reconsider(scope.by_others)
        removing = self._removal.update(facts, scope, whole=whole)
        unfinished = {each for each in scope.containers if self._endpoints.unfinished(each)}
        todo = plan(
            *(self._desired, facts, self._settings, scope),
            whole=removing,
            unfinished=unfinished,
            spared=self._removal.spared,
        )
        if not self._settings.dry_run:
            # Before the proxy entries, which bring the first packets.
            self.neighbours.update(scope.containers, facts, self._desired)
        self._apply_to_host(facts, todo, scope, whole=removing)
        self._apply_to_engine(todo, scope.containers)
        for container_id in scope.containers:
            self._log_and_ask(facts, container_id)
        self._meter.passed(time.monotonic() - began, whole=whole)
        self._timers.hasten(Report(), REPORT_SECONDS)
        self._inbound.outdated()

    def _connect_new(self, facts: Facts, created: Container) -> None:
        """Attach a container that was just created, before the rest of the pass is done.

        Its start follows within two or three milliseconds. The rest of the pass takes 0.2 to 0.3 ms.
        """
        if self._settings.dry_run or self._settings.firewall is FirewallMode.CLOSED:
            return
        unfinished = self._endpoints.unfinished(created.id)
        action = plan_endpoint(created, self._desired.decision(created.id), facts, unfinished=unfinished)
        if isinstance(action, Connect) and action.address not in self._firewall.exposed():
            self._jobs.act(action)

    def _apply_to_host(self, facts: Facts, todo: Plan, scope: Affected, *, whole: bool) -> None:
        """Carry out the firewall's and the host's part of a plan."""
        spared_now = self._removal.spared

        def is_in_scope(entry: ProxyEntry) -> bool:
            return entry in scope.entries or (whole and entry.address not in spared_now)

        self._firewall.apply(todo.firewall, observed=bool(facts.host.links), whole=whole)
        self._apply_sysctls(todo.sysctls, retry=False)
        self._host.apply(todo.proxies, is_in_scope, self._firewall.unclosed())
        self._retry_host_later()

    def _apply_to_engine(self, todo: Plan, scope: AbstractSet[str]) -> None:
        """Carry out the engine's part of a plan for the containers in `scope`."""
        self._actions.apply(
            todo.endpoints,
            scope & self._cache.containers.keys(),
            exposed=self._firewall.exposed(),
            failing=self._host.failing or self._firewall.failing,
        )
        # The next decision on another container must consider the addresses that are in flight.
        acting = (each.container_id for each in todo.endpoints if self._jobs.acting(each.container_id))
        self._unapplied = self._desired.update(self._facts(), acting).entries

    def _apply_sysctls(self, planned: tuple[SysctlChange, ...], *, retry: bool) -> None:
        """Carry out the sysctls' part of a plan, once the host was observed.

        Another program may have changed a value since it was read. So the values are read again before a
        change, and the plan is made from those.
        """
        facts = self._facts()
        if not facts.host.links:
            return
        if self._host.sysctls.may_apply(planned, retry=retry):
            self._host.sysctls.read(facts)
            planned = plan(self._desired, self._facts(), self._settings, NO_CONTAINERS).sysctls
        self._host.sysctls.apply(planned, retry=retry)

    def _retry_host_later(self) -> None:
        """Have everything retried that the kernel or the firewall refused, with exponential backoff.

        Other passes retry it too; they do not make the next retry wait any longer.
        """
        if not (self._host.failing or self._firewall.failing):
            self._host_failures = 0
            self._timers.cancel(RetryHost())
        elif RetryHost() not in self._timers:
            self._host_failures += 1
            self._timers.set(RetryHost(), backoff.delay(self._host_failures))

    def _log_and_ask(self, facts: Facts, container_id: str) -> None:
        """Log the decision on a container. If it waits for a fact, ask for that fact."""
        container = facts.containers.get(container_id)
        if container is None:
            self._forget(container_id)
            return
        decision = self._desired.decision(container_id)
        needs = self._desired.needs.of(container_id)
        self._log_changes.container(container, decision, needs, facts, self._settings)
        if isinstance(decision, ImageWanted) and _is_known_by_event(container):
            # One name may stand for several platforms: the container shows which one it has.
            self._jobs.ask(InspectContainer(container_id))
        elif isinstance(decision, ImageWanted):
            self._inspect_image(decision.image)
        elif isinstance(decision, MarkWanted) and not self._actions.is_busy(container_id):
            self._jobs.ask(InspectContainer(container_id))

    def _forget(self, container_id: str) -> None:
        timers = (Retry(container_id), Verify(container_id))
        self._log_changes.forget(container_id, InspectContainer(container_id), *timers)
        self._attempts.lift([container_id])
        self._timers.cancel(*timers)

    def _inspect_image(self, image: str) -> None:
        """Ask for an image's labels, unless the first list of all images is about to show them."""
        first_list = self._jobs.asked(ListImages()) and not self.images_listed
        if not first_list and RetryImage(image) not in self._timers:
            self._jobs.ask(InspectImage(image))


def _is_known_by_event(container: Container) -> bool:
    """Whether only a container's create event is known, which has the name of its image."""
    return container.network_mode is None and not container.image.startswith(IMAGE_ID)
