"""The firewall: writes our nft table as planned, with one command at a time.

`nft` and `ip6tables` may wait ten seconds for a lock, so a worker runs them. The plan may change meanwhile:
it is compared with the table when a command has ended. A write comes before a listing, since containers wait
for writes.
"""

import logging
from collections.abc import Callable
from collections.abc import Container as Addresses
from collections.abc import Set as AbstractSet
from ipaddress import IPv6Address

from dockeripv6mapper.controller.jobs import FirewallJob, ListFirewall, PutAcceptRules, WriteFirewall
from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.errors import CommandCrashedError, CommandTimeoutError
from dockeripv6mapper.mapping.planner import FirewallPlan
from dockeripv6mapper.mapping.spared import Everything
from dockeripv6mapper.model import FirewallRules, Opening
from dockeripv6mapper.settings import FirewallMode, Settings

log = logging.getLogger(__name__)


class FirewallTable:
    """What our table contains, what it should contain, and the command that runs."""

    def __init__(
        self, ask: Callable[[FirewallJob], None], settings: Settings, log_changes: LogChanges
    ) -> None:
        self._ask = ask
        self._settings = settings
        self._log_changes = log_changes
        self.rules = FirewallRules()
        """What the table contained when it was last listed or written."""
        self._wanted = FirewallRules()
        """What it should contain, by the last plan."""
        self._observed = False
        """Whether the host was observed. Until then its uplinks are unknown, and nothing is written."""
        self._up_to_date = False
        """Whether `rules` is up to date: not before the first listing, and not after a failure."""
        self._doubtful = FirewallRules()
        """Rules of the last failed write: the table may contain them."""
        self._bounded = False
        """Whether `_maybe_open` is all that the table may let through. False while it cannot be listed."""
        self._running: FirewallJob | None = None
        self._write_again = False
        """Whether to write even if the listed elements are right: the table's rules may have changed."""
        self._due: dict[type[ListFirewall | PutAcceptRules], None] = {}
        """Listings that are due, the oldest first."""
        self._failed: set[type[FirewallJob]] = set()

    @property
    def failing(self) -> bool:
        """Whether the last command of some kind failed."""
        return bool(self._failed)

    def exposed(self) -> Addresses[IPv6Address]:
        """Addresses at which more may be open than planned: no container may be given one of them now."""
        if not self._acts:
            return ()
        if not self._bounded:
            return Everything()
        return {each.address for each in self._maybe_open() - self._wanted.openings} | self.unclosed()

    def unclosed(self) -> AbstractSet[IPv6Address]:
        """With `--firewall closed`: addresses that are not closed on every uplink yet."""
        if not self._acts or (self._observed and not self._wanted.uplinks):
            return set()
        up_to_date = self._up_to_date and self.rules.uplinks == self._wanted.uplinks
        return self._wanted.closed - self.rules.closed if up_to_date else self._wanted.closed

    def apply(self, plan: FirewallPlan, *, observed: bool, whole: bool) -> None:
        """Start the next command that a plan needs.

        `observed`: the plan was made with a host that was observed. `whole`: list the table again, and insert
        the accept rules that are missing.
        """
        self._wanted = plan.after
        self._observed |= observed
        if whole:
            if plan.after or self.rules or not self._up_to_date:
                self._list()
                self._due.setdefault(PutAcceptRules)
        elif plan.after and not self._up_to_date and not self.failing:
            self._list()
        self._proceed()

    def changed(self) -> None:
        """Another program changed our rules: list them before the next write, and insert the missing ones.

        A listing that runs now may be older than the change.
        """
        if self._wanted or self.rules:
            self._up_to_date = False
            self._due.setdefault(ListFirewall)
            self._due.setdefault(PutAcceptRules)

    def ended(self, job: FirewallJob, value: object, error: Exception | None) -> None:
        """Take the result of a command. The next `apply` starts another one."""
        self._running = None
        if error is not None:
            self._fail(job, error)
        else:
            self._succeeded(type(job))
            self._take(job, value)

    @property
    def _acts(self) -> bool:
        return self._settings.firewall is not FirewallMode.OFF and not self._settings.dry_run

    def _maybe_open(self) -> AbstractSet[Opening]:
        """What the table may let through now."""
        openings = self.rules.openings | self._doubtful.openings
        if isinstance(self._running, WriteFirewall):
            openings |= self._running.rules.openings
        return openings

    # --- one command after the other ----------------------------------------------------------------------

    def _list(self) -> None:
        if not isinstance(self._running, ListFirewall):
            self._due.setdefault(ListFirewall)

    def _proceed(self) -> None:
        """Start the next command, if one is due and none runs."""
        if self._settings.dry_run and self._up_to_date:
            self._log_dry_run(FirewallPlan(self.rules, self._wanted))
        if self._running is None and self._settings.firewall is not FirewallMode.OFF:
            self._running = self._next()
            if self._running is not None:
                self._ask(self._running)

    def _next(self) -> FirewallJob | None:
        wanted = self._wanted
        writable = self._up_to_date and self._observed and self._acts
        if writable and (self._write_again or _differ(wanted, self.rules)):
            self._write_again = False
            return WriteFirewall(wanted)
        if not wanted:
            self._due.pop(PutAcceptRules, None)
            self._succeeded(PutAcceptRules)
        for kind in list(self._due):
            if kind is ListFirewall:
                del self._due[kind]
                return ListFirewall()
            if writable:
                del self._due[kind]
                return PutAcceptRules(wanted.mark)
        return None

    def _take(self, job: FirewallJob, value: object) -> None:
        match job, value:
            case ListFirewall(), (FirewallRules() | None) as rules:
                # A table that cannot be listed is replaced by the next write.
                self._bounded = rules is not None
                self.rules = FirewallRules() if rules is None else rules
                self._up_to_date, self._doubtful = True, FirewallRules()
                # A listing shows the table's elements, and not whether its rules were changed.
                self._write_again = True
            case WriteFirewall(rules), _:
                if not self.rules:
                    self._due.setdefault(PutAcceptRules)
                _log_written(FirewallPlan(self.rules, rules))
                self.rules, self._doubtful, self._bounded = rules, FirewallRules(), True
            case PutAcceptRules(), list() as places:
                for place in places:
                    log.info("accepting marked packets in %s", place)

    def _fail(self, job: FirewallJob, error: Exception) -> None:
        if isinstance(job, WriteFirewall):
            self._doubtful = job.rules
        if not isinstance(job, PutAcceptRules):
            self._up_to_date = False
            # Where nft cannot be run at all, waiting does not help: containers are mapped all the same, but
            # not with --firewall closed.
            self._bounded |= not isinstance(error, CommandTimeoutError | CommandCrashedError)
        if isinstance(job, ListFirewall) and self._bounded and not self._wanted:
            # A host without nft matters only where a label opens a port.
            self._succeeded(ListFirewall)
            return
        self._failed.add(type(job))
        self._log_changes.failed(type(job), error)

    def _succeeded(self, kind: type[FirewallJob]) -> None:
        """The failure of a kind of command has ended, or no longer matters."""
        self._failed.discard(kind)
        self._log_changes.succeeded(kind)

    def _log_dry_run(self, plan: FirewallPlan) -> None:
        lines = [
            *(f"would open {opening}" for opening in plan.opened),
            *(f"would close {opening}" for opening in plan.closed),
            *(f"would close all other ports of {address}" for address in plan.closed_addresses),
            *(f"would no longer close the other ports of {address}" for address in plan.reopened_addresses),
        ]
        self._log_changes.dry_run("firewall", lines)


def _differ(wanted: FirewallRules, rules: FirewallRules) -> bool:
    """Whether the table has to be written. If nothing is wanted, there is no table and no mark."""
    return wanted != rules and bool(wanted or rules)


def _log_written(plan: FirewallPlan) -> None:
    for opening in plan.closed:
        log.info("closed %s", opening)
    for opening in plan.opened:
        log.info("opened %s", opening)
    for address in plan.closed_addresses:
        log.info("closed all other ports of %s", address)
    for address in plan.reopened_addresses:
        log.info("no longer closing the other ports of %s", address)
