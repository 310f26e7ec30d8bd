"""The host: observes it, and carries out the plan for its proxy entries. `sysctls` does so for sysctls."""

import logging
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from ipaddress import IPv6Address

from dockeripv6mapper.controller.announcements import Announcements
from dockeripv6mapper.controller.interfaces import HostKernel
from dockeripv6mapper.controller.jobs import CloseForwarding
from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.controller.sysctls import HostSysctls
from dockeripv6mapper.controller.timers import Timers
from dockeripv6mapper.errors import MapperError
from dockeripv6mapper.mapping import labels
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.links import find_link
from dockeripv6mapper.mapping.planner import ProxyPlan
from dockeripv6mapper.mapping.uplinks import all_uplinks, missing_uplinks, why_uplink
from dockeripv6mapper.model import FirewallRules, Host, ProxyEntry
from dockeripv6mapper.settings import ProxyMode, Settings

log = logging.getLogger(__name__)

OBSERVING = "observing the host"


class HostState:
    """The host as last observed, and the changes that were refused or wait.

    `watch` sets the links, by index, whose changes are reported; None for all links (`kernel.watch.Watcher`).
    """

    def __init__(
        self,
        kernel: HostKernel,
        settings: Settings,
        log_changes: LogChanges,
        timers: Timers,
        *,
        watch: Callable[[frozenset[int] | None], None],
        ask: Callable[[CloseForwarding], None],
    ) -> None:
        self._kernel = kernel
        self._settings = settings
        self._log_changes = log_changes
        self._watch = watch
        self._last = Host()
        self._present: dict[ProxyEntry, bool] = {}
        """All proxy entries on the host, with our changes, and whether each is ours."""
        self._uplinks: tuple[dict[str, bool], tuple[str, ...]] | None = None
        """The uplinks that were logged, each with whether it has Neighbour Discovery; and the names of those
        that do not exist."""
        self._failed: set[ProxyEntry] = set()
        """Entries that could not be added or removed."""
        self._withheld: set[ProxyEntry] = set()
        """Entries whose address the firewall has to close first."""
        self._dry_run_lines: dict[ProxyEntry, str] = {}
        """Log lines of a dry run: what it would do, by entry."""
        self.observed = True
        """Whether the last observation succeeded; True before the first."""
        self.sysctls = HostSysctls(kernel, settings, log_changes, ask)
        self.announcements = Announcements(kernel, timers, log_changes)

    def with_table(self, rules: FirewallRules) -> Host:
        """The host as last observed, with our changes since then. `rules`: the contents of our nft table."""
        return replace(self._last, entries=self._present, openings=rules.openings, closed=rules.closed)

    @property
    def failing(self) -> bool:
        """Whether the kernel refuses a change or an observation."""
        return not self.observed or bool(self._failed) or self.sysctls.failing

    @property
    def count(self) -> int:
        """Number of our proxy entries on the host."""
        return sum(self._present.values())

    def observe(self, facts: Facts) -> bool:
        """Observe the host again. Returns whether anything changed; True also if the observation failed."""
        before = (replace(self._last, entries={}), self._present)
        try:
            self._last = self._kernel.observe()
        except MapperError as error:
            self.observed = False
            self._log_changes.failed(OBSERVING, error)
            return True
        self.observed = True
        self._log_changes.succeeded(OBSERVING)
        self._present = dict(self._last.entries)
        if not self._settings.dry_run:
            ours = {entry for entry, is_ours in self._present.items() if is_ours}
            self.announcements.observed(self._last, ours)
        facts = replace(facts, host=self._last)
        self.sysctls.read(facts)
        self._log_missing_uplinks(facts)
        links = all_uplinks(facts, self._settings)
        missing = missing_uplinks(facts, self._settings)
        self._watch(None if missing else frozenset(link.index for link in links))
        return before != (replace(self._last, entries={}), self._present)

    def apply(
        self,
        plan: ProxyPlan,
        is_in_scope: Callable[[ProxyEntry], bool],
        unclosed: AbstractSet[IPv6Address],
    ) -> None:
        """Carry out a plan. A failed entry in scope that the plan does not change is right now.

        `unclosed`: addresses that the firewall has yet to close. Entries for them are added later, by
        `add_withheld`.
        """
        for entry in set(filter(is_in_scope, self._failed)) - {*plan.add, *plan.remove}:
            self._succeeded(entry)
        if self._settings.dry_run:
            self._log_dry_run(plan, is_in_scope)
            return
        if plan.remove:
            self._remove(plan.remove)
        self._withheld = {entry for entry in self._withheld if not is_in_scope(entry)}
        self._withheld.update(entry for entry in plan.add if entry.address in unclosed)
        if add := [entry for entry in plan.add if entry.address not in unclosed]:
            self._add(add)

    def add_withheld(self, needed: AbstractSet[ProxyEntry], unclosed: AbstractSet[IPv6Address]) -> None:
        """Add the entries whose address the firewall has closed meanwhile, where they are still `needed`."""
        self._withheld &= needed
        if add := [entry for entry in self._withheld if entry.address not in unclosed]:
            self._withheld.difference_update(add)
            self._add(sorted(add))

    def _log_dry_run(self, plan: ProxyPlan, is_in_scope: Callable[[ProxyEntry], bool]) -> None:
        kept = {entry: text for entry, text in self._dry_run_lines.items() if not is_in_scope(entry)}
        adds = {entry: f"would proxy {entry}" for entry in plan.add}
        removals = {entry: f"would stop proxying {entry}" for entry in plan.remove}
        self._dry_run_lines = kept | adds | removals
        self._log_changes.dry_run("proxy entries", self._dry_run_lines.values())

    def _remove(self, entries: Iterable[ProxyEntry]) -> None:
        outcome = self._kernel.remove_proxies(entries)
        self.announcements.removed(outcome.done)
        for entry in outcome.done:
            self._present.pop(entry, None)
            self._succeeded(entry)
            log.info("no longer proxying %s", entry)
        self._note_failures(outcome.failed)

    def _add(self, entries: Iterable[ProxyEntry]) -> None:
        outcome = self._kernel.add_proxies(entries)
        self.announcements.added(outcome.done)
        self._present.update(dict.fromkeys(outcome.done, True) | dict.fromkeys(outcome.foreign, False))
        for entry in outcome.done:
            self._succeeded(entry)
            log.info("proxying %s", entry)
        for entry in outcome.foreign:
            self._succeeded(entry)
            log.debug("%s is proxied by another program's entry already", entry)
        self._note_failures(outcome.failed)

    def _note_failures(self, failed: Mapping[ProxyEntry, MapperError]) -> None:
        for entry, error in failed.items():
            self._failed.add(entry)
            self._log_changes.failed(entry, error)

    def _succeeded(self, entry: ProxyEntry) -> None:
        """Note that an entry is right, or that no container needs it any more."""
        self._failed.discard(entry)
        self._log_changes.succeeded(entry)

    def _log_missing_uplinks(self, facts: Facts) -> None:
        for network in facts.networks:
            name = network.labels.get(labels.UPLINK)
            if name is not None and find_link(self._last, name) is None:
                label = f"label {labels.UPLINK}={labels.shown(name)}"
                self._log_changes.once(network.id, f"network {network.name}: {label}: there is no such link")

    def log_uplinks(self, facts: Facts) -> None:
        """Log the uplinks where they have changed."""
        links = all_uplinks(facts, self._settings)
        missing = missing_uplinks(facts, self._settings)
        found = {link.name: link.neighbour_discovery for link in links}
        if (found, missing) == self._uplinks or (not links and self.sysctls.awaits_route):
            return
        self._uplinks = found, missing
        if self._settings.proxy is ProxyMode.OFF:
            return
        named = " ".join(name for name in self._settings.uplinks if name in missing)
        why = (
            f"there is no link {named}" if named else "no link has an IPv6 default route (--uplink names one)"
        )
        if not links:
            log.warning(
                "no uplink: %s; routers cannot reach containers, since no proxy entries are made", why
            )
        elif named:
            log.warning("%s, which --uplink names", why)
        for link in links:
            why = why_uplink(link, facts, self._settings)
            if link.neighbour_discovery:
                log.info("uplink %s: proxying neighbour discovery (%s)", link.name, why)
            else:
                log.info(
                    "uplink %s has no neighbour discovery, so it needs no proxy entries (%s)", link.name, why
                )
