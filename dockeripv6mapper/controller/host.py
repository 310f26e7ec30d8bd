"""The host: sysctls and proxy entries, brought to what is desired and kept there."""

import logging
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Container as Collection
from collections.abc import Set as AbstractSet
from dataclasses import replace
from ipaddress import IPv6Address

from dockeripv6mapper.controller.host_sysctls import HostSysctls
from dockeripv6mapper.controller.interfaces import HostKernel
from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.controller.workqueue import CloseForwarding
from dockeripv6mapper.errors import MapperError
from dockeripv6mapper.mapping import labels
from dockeripv6mapper.mapping.desired import Desired, all_uplinks
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.planner import ProxyPlan, plan_proxies
from dockeripv6mapper.model import Host, Link, ProxyEntry
from dockeripv6mapper.settings import ProxyMode, Settings

log = logging.getLogger(__name__)

ANNOUNCING = "announcing"


class HostSide:
    """What is known of the host, and which proxy entries each container needs."""

    def __init__(
        self,
        kernel: HostKernel,
        settings: Settings,
        log_changes: LogChanges,
        *,
        watch: Callable[[frozenset[int] | None], None],
        ask: Callable[[CloseForwarding], None],
        unclosed: Callable[[], AbstractSet[IPv6Address]],
    ) -> None:
        self._kernel = kernel
        self._settings = settings
        self._log_changes = log_changes
        self._watch = watch
        self.seen = Host()
        self._present: dict[ProxyEntry, bool] = {}
        """All proxy entries that are there, and whether each is ours."""
        self._wanted: dict[str, frozenset[ProxyEntry]] = {}
        """The proxy entries that are wanted, by container."""
        self._wanting: dict[ProxyEntry, set[str]] = {}
        """The same the other way round: an address may pass from one container to the next."""
        self._uplinks: tuple[Link, ...] | None = None
        self._failed: set[ProxyEntry] = set()
        """Entries that are wanted and could not be added, or not removed."""
        self._unclosed = unclosed
        """Which addresses the firewall has yet to close: nothing answers for them before."""
        self._withheld: set[ProxyEntry] = set()
        """Entries that wait for that."""
        self._would: dict[ProxyEntry, str] = {}
        """What a dry run would do now."""
        self._observed = True
        self._sysctls = HostSysctls(kernel, settings, log_changes, ask)

    @property
    def failing(self) -> bool:
        """Whether the kernel refuses something that has to be."""
        return not self._observed or bool(self._failed) or self._sysctls.failing

    @property
    def count(self) -> int:
        """How many of the proxy entries that are there are ours."""
        return sum(self._present.values())

    @property
    def soliciting(self) -> bool:
        """Whether a router is to be asked for once more."""
        return self._sysctls.soliciting

    def observe(self, facts: Facts) -> bool:
        """Look at everything afresh, and set the sysctls right; returns whether anything is not as it was."""
        before = (replace(self.seen, entries={}), self._present)
        try:
            self.seen = self._kernel.observe()
        except MapperError as error:
            self._observed = False
            self._log_changes.failed("observing the host", error)
            return True
        self._observed = True
        self._log_changes.succeeded("observing the host")
        self._present = dict(self.seen.entries)
        facts = replace(facts, host=self.seen)
        links = all_uplinks(facts, self._settings)
        self._sysctls.observed(facts, links)
        self._say_uplinks(links)
        self._say_missing_uplinks(facts)
        missing = [name for name in self._settings.uplinks if name not in self.seen.links]
        self._watch(None if missing else frozenset(link.index for link in links))
        return before != (replace(self.seen, entries={}), self._present)

    def settle(self, facts: Facts, desired: Desired, container_ids: Iterable[str]) -> None:
        """Bring the proxy entries of some containers to what is desired."""
        scope: set[ProxyEntry] = set()
        routing = False
        for container_id in container_ids:
            scope |= self._want(container_id, desired.entries(facts, container_id))
            routing = routing or desired.is_routed(facts, container_id)
        self._sysctls.need(routing=routing, proxying=bool(self._wanting))
        self._settle(scope)

    def _settle(self, scope: AbstractSet[ProxyEntry]) -> None:
        """Bring the entries in `scope` to what is desired."""
        wanted = {entry for entry in scope if entry in self._wanting}
        # Somebody else's entry may be gone since it was seen: adding looks again.
        present = {entry: True for entry in scope if self._present.get(entry)}
        self._apply(plan_proxies(wanted, present), scope)

    def settle_all(self, spared: Collection[IPv6Address]) -> None:
        """Bring all proxy entries to what `settle` was last told, except those of the `spared` addresses."""
        present = {entry: ours for entry, ours in self._present.items() if entry.address not in spared}
        wanted = {entry for entry in self._wanting if entry.address not in spared}
        scope = {entry for entry in self._failed | self._would.keys() if entry.address not in spared}
        self._apply(plan_proxies(wanted, present), scope)

    def forwarding_closed(self, found: object, error: Exception | None) -> None:
        """What had to be closed before forwarding is switched on is, or could not be."""
        self._sysctls.forwarding_closed(found, error)

    def add_withheld(self) -> None:
        """Add the entries whose addresses the firewall has closed meanwhile."""
        withheld, self._withheld = self._withheld, set()
        self._settle(withheld)

    def _want(self, container_id: str, entries: frozenset[ProxyEntry]) -> frozenset[ProxyEntry]:
        """Replace what one container needs; returns every entry that it needed or needs."""
        before = self._wanted.pop(container_id, frozenset())
        for entry in before - entries:
            self._wanting[entry].discard(container_id)
            if not self._wanting[entry]:
                del self._wanting[entry]
        for entry in entries:
            self._wanting.setdefault(entry, set()).add(container_id)
        if entries:
            self._wanted[container_id] = entries
        return before | entries

    def _apply(self, plan: ProxyPlan, scope: AbstractSet[ProxyEntry]) -> None:
        """Carry out a plan; of the entries in `scope` it holds all that has to be done."""
        for entry in self._failed & scope - {*plan.add, *plan.remove}:
            self._succeeded(entry)
        if self._settings.dry_run:
            self._say_dry_run(plan, scope)
            return
        if plan.remove:
            self._remove(plan.remove)
        unclosed = self._unclosed()
        self._withheld.update(entry for entry in plan.add if entry.address in unclosed)
        if add := [entry for entry in plan.add if entry.address not in unclosed]:
            self._add(add)

    def _say_dry_run(self, plan: ProxyPlan, scope: AbstractSet[ProxyEntry]) -> None:
        kept = {entry: text for entry, text in self._would.items() if entry not in scope}
        adds = {entry: f"would proxy {entry}" for entry in plan.add}
        removals = {entry: f"would stop proxying {entry}" for entry in plan.remove}
        self._would = kept | adds | removals
        self._log_changes.dry_run("proxy entries", self._would.values())

    def _remove(self, entries: Iterable[ProxyEntry]) -> None:
        outcome = self._kernel.remove_proxies(entries)
        for entry in outcome.done:
            self._present.pop(entry, None)
            self._succeeded(entry)
            log.info("no longer proxying %s", entry)
        self._say_failures(outcome.failed)

    def _add(self, entries: Iterable[ProxyEntry]) -> None:
        outcome = self._kernel.add_proxies(entries)
        self._announce(outcome.done)
        self._present.update(dict.fromkeys(outcome.done, True) | dict.fromkeys(outcome.found, False))
        for entry in outcome.done:
            self._succeeded(entry)
            log.info("proxying %s", entry)
        for entry in outcome.found:
            self._succeeded(entry)
            log.debug("%s is proxied by somebody else's entry already", entry)
        self._say_failures(outcome.failed)

    def _announce(self, entries: Iterable[ProxyEntry]) -> None:
        """Tell the neighbours of entries of ours: it spares them a second, and is no loss where it fails."""
        try:
            self._kernel.announce(entries)
        except MapperError as error:
            self._log_changes.failed(ANNOUNCING, error)
        else:
            self._log_changes.succeeded(ANNOUNCING)

    def _say_failures(self, failed: Mapping[ProxyEntry, MapperError]) -> None:
        for entry, error in failed.items():
            self._failed.add(entry)
            self._log_changes.failed(entry, error)

    def _succeeded(self, entry: ProxyEntry) -> None:
        """Nothing is left to be tried for an entry: it is as it has to be, or nobody's concern any more."""
        self._failed.discard(entry)
        self._log_changes.succeeded(entry)

    def _say_missing_uplinks(self, facts: Facts) -> None:
        for network in facts.networks:
            name = network.labels.get(labels.UPLINK)
            if name is not None and name not in self.seen.links:
                label = f"label {labels.UPLINK}={labels.shown(name)}"
                self._log_changes.once(network.id, f"network {network.name}: {label}: there is no such link")

    def _say_uplinks(self, links: tuple[Link, ...]) -> None:
        if links == self._uplinks:
            return
        self._uplinks = links
        if self._settings.proxy is ProxyMode.OFF:
            return
        if not links and not self._sysctls.awaits_route:
            named = " ".join(self._settings.uplinks)
            why = (
                f"there is no link {named}"
                if named
                else "no link has an IPv6 default route (--uplink names one)"
            )
            log.warning("no uplink: %s; containers are mapped, and nothing answers for them", why)
        for link in links:
            if link.neighbour_discovery:
                log.info("uplink %s: proxying neighbour discovery", link.name)
            else:
                log.info("uplink %s has no neighbour discovery, so it needs no proxy entries", link.name)
