"""The firewall: what labels ask for is open, and no longer than its container runs.

`nft` and `ip6tables` may wait ten seconds for a lock, so a worker runs them, one job after the other. What is
wanted meanwhile is the next job's. A change goes before a look: looks come with every full pass, and
containers wait for changes.
"""

import logging
from collections.abc import Callable, Iterable
from collections.abc import Container as Collection
from collections.abc import Set as AbstractSet
from ipaddress import IPv6Address

from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.controller.workqueue import FirewallJob, ListFirewall, PutHooks, WriteFirewall
from dockeripv6mapper.errors import CommandTimeoutError
from dockeripv6mapper.mapping.desired import Desired, all_uplinks
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.spared import Everything
from dockeripv6mapper.model import FirewallRules, Mapping, Opening, Reason, RefusedError
from dockeripv6mapper.settings import FirewallMode, Settings

log = logging.getLogger(__name__)


class FirewallSide:
    """What our table holds, and what each container needs of it."""

    def __init__(
        self, ask: Callable[[FirewallJob], None], settings: Settings, log_changes: LogChanges
    ) -> None:
        self._ask = ask
        self._settings = settings
        self._log_changes = log_changes
        self._openings: dict[str, tuple[Opening, ...]] = {}
        self._closed: dict[str, IPv6Address] = {}
        self._uplinks: tuple[str, ...] | None = None
        """Where closed addresses are closed. None before the first look at the host: nothing is written."""
        self._spared: Collection[IPv6Address] = ()
        """Addresses of which too little is known: what an earlier process opened for them stays open."""
        self._taken_in: set[IPv6Address] = set()
        """Of those, the addresses of which enough became known since."""
        self._unproven: dict[str, IPv6Address] = {}
        """Addresses of containers whose ports label cannot be judged any more, since the image is gone: what
        is open there stays open, and nothing is opened."""
        self._known = FirewallRules()
        """What the table held when it was last seen or written."""
        self._seen = False
        """Whether `_known` is up to date: not before the first look, and not after a failure."""
        self._doubtful = FirewallRules()
        """Rules of the last failed write: the table may hold them."""
        self._bounded = False
        """Whether no more may be open than was seen or written here: not while the table cannot be seen."""
        self._under_way: FirewallJob | None = None
        self._write_again = False
        """Whether the table is to be written though it holds what is wanted: its rules may have changed."""
        self._due: dict[type[ListFirewall | PutHooks], None] = {}
        """Looks that are due, the oldest first."""
        self._failed: set[type[FirewallJob]] = set()

    @property
    def failing(self) -> bool:
        """Whether the table or a hook could not be brought to what is asked for."""
        return bool(self._failed)

    def exposed(self) -> Collection[IPv6Address]:
        """Addresses at which more may be let through than is wanted: no container is to get one now."""
        if not self._acts:
            return ()
        if not self._bounded:
            return Everything()
        return {each.address for each in self._maybe_open() - self._wanted().openings} | self.unclosed()

    def unclosed(self) -> AbstractSet[IPv6Address]:
        """With `--firewall closed`: addresses that are not closed on every uplink yet."""
        if not self._acts or self._uplinks == ():
            return set()
        closed = set(self._closed.values())
        up_to_date = self._seen and self._known.uplinks == self._uplinks
        return closed - self._known.closed if up_to_date else closed

    def settle(self, facts: Facts, desired: Desired, container_ids: Iterable[str]) -> None:
        """Have the table brought to what some containers need."""
        for container_id in container_ids:
            self._take_in(facts, desired, container_id)
        if self._asked and not self._seen and not self.failing:
            self._look()
        self._proceed()

    def settle_all(self, facts: Facts, spared: Collection[IPv6Address]) -> None:
        """Have table and hooks looked at, and put right what is not."""
        self._spared = spared
        self._taken_in.clear()
        if facts.host.links:
            self._uplinks = tuple(link.name for link in all_uplinks(facts, self._settings))
        if self._asked or self._known or not self._seen:
            self._look()
            self._due.setdefault(PutHooks)
        self._proceed()

    def ended(self, job: FirewallJob, found: object, error: Exception | None) -> None:
        """Take in what became of a job, and have the next one done."""
        self._under_way = None
        if error is not None:
            self._fail(job, error)
        else:
            self._succeeded(type(job))
            self._take(job, found)
        self._proceed()

    # --- what is wanted -----------------------------------------------------------------------------------

    @property
    def _acts(self) -> bool:
        return self._settings.firewall is not FirewallMode.OFF and not self._settings.dry_run

    @property
    def _asked(self) -> bool:
        """Whether a container needs anything of the table."""
        return bool(self._openings or self._closed)

    def _take_in(self, facts: Facts, desired: Desired, container_id: str) -> None:
        container = facts.containers.get(container_id)
        if container is not None:
            self._taken_in |= {each.address for each in container.endpoints if each.address}
        self._unproven.pop(container_id, None)
        try:
            openings = desired.openings(facts, container_id)
        except RefusedError as no:
            openings = ()
            if container is not None:
                self._log_changes.ports_refused(container, no.refusal)
            decision = desired.decision(container_id)
            if no.refusal.reason is Reason.IMAGE_GONE and isinstance(decision, Mapping):
                self._unproven[container_id] = decision.address
        if openings:
            self._openings[container_id] = openings
        else:
            self._openings.pop(container_id, None)
        if (closed := desired.closed(facts, container_id)) is not None:
            self._closed[container_id] = closed
        else:
            self._closed.pop(container_id, None)

    def _wanted(self) -> FirewallRules:
        openings = {opening for each in self._openings.values() for opening in each}
        openings |= {opening for opening in self._known.openings if self._stays(opening.address)}
        closed = set(self._closed.values())
        closed |= {address for address in self._known.closed if self._stays(address)}
        return FirewallRules(
            mark=self._settings.fwmark,
            openings=frozenset(openings),
            closed=frozenset(closed),
            uplinks=self._uplinks or () if closed else (),
        )

    def _stays(self, address: IPv6Address) -> bool:
        """Whether what is there for an address stays, whatever known containers need."""
        if address in self._unproven.values():
            return True
        return address in self._spared and address not in self._taken_in

    def _maybe_open(self) -> AbstractSet[Opening]:
        """What the table may let through now."""
        openings = self._known.openings | self._doubtful.openings
        if isinstance(self._under_way, WriteFirewall):
            openings |= self._under_way.rules.openings
        return openings

    # --- one job after the other --------------------------------------------------------------------------

    def _look(self) -> None:
        if not isinstance(self._under_way, ListFirewall):
            self._due.setdefault(ListFirewall)

    def _proceed(self) -> None:
        """Have the next job done, if there is one and none is under way."""
        if self._settings.dry_run and self._seen:
            self._say_dry_run(self._wanted())
        if self._under_way is None and self._settings.firewall is not FirewallMode.OFF:
            self._under_way = self._next()
            if self._under_way is not None:
                self._ask(self._under_way)

    def _next(self) -> FirewallJob | None:
        """What is to be done now."""
        wanted = self._wanted()
        writable = self._seen and self._uplinks is not None and self._acts
        if writable and (self._write_again or _differ(wanted, self._known)):
            self._write_again = False
            return WriteFirewall(wanted)
        if not wanted:
            self._due.pop(PutHooks, None)
            self._succeeded(PutHooks)
        for kind in list(self._due):
            if kind is ListFirewall:
                del self._due[kind]
                return ListFirewall()
            if writable:
                del self._due[kind]
                return PutHooks(wanted.mark)
        return None

    def _take(self, job: FirewallJob, found: object) -> None:
        match job, found:
            case ListFirewall(), (FirewallRules() | None) as rules:
                # One that cannot be listed is built anew by the next write.
                self._bounded = rules is not None
                self._known = FirewallRules() if rules is None else rules
                self._seen, self._doubtful = True, FirewallRules()
                # A table that holds the right elements may have other rules than it was made with.
                self._write_again = True
            case WriteFirewall(rules), _:
                if not self._known:
                    self._due.setdefault(PutHooks)
                _say(self._known, rules)
                self._known, self._doubtful, self._bounded = rules, FirewallRules(), True
            case PutHooks(), list() as hooks:
                for hook in hooks:
                    log.info("accepting marked packets in %s", hook)

    def _fail(self, job: FirewallJob, error: Exception) -> None:
        if isinstance(job, WriteFirewall):
            self._doubtful = job.rules
        if not isinstance(job, PutHooks):
            self._seen = False
            # Where nft cannot be run, nothing is learnt by waiting: containers are mapped all the same.
            self._bounded |= not isinstance(error, CommandTimeoutError)
        if isinstance(job, ListFirewall) and self._bounded and not self._asked:
            # A host without nft matters only where a label asks for a port.
            self._succeeded(ListFirewall)
            return
        self._failed.add(type(job))
        self._log_changes.failed(type(job), error)

    def _succeeded(self, kind: type[FirewallJob]) -> None:
        """The failure of a kind has ended, or no longer matters."""
        self._failed.discard(kind)
        self._log_changes.succeeded(kind)

    def _say_dry_run(self, wanted: FirewallRules) -> None:
        now = self._known
        lines = [
            *(f"would open {opening}" for opening in sorted(wanted.openings - now.openings)),
            *(f"would close {opening}" for opening in sorted(now.openings - wanted.openings)),
            *(
                f"would close {each} to all that no label opens"
                for each in sorted(wanted.closed - now.closed)
            ),
            *(f"would no longer close {each}" for each in sorted(now.closed - wanted.closed)),
        ]
        self._log_changes.dry_run("firewall", lines)


def _differ(wanted: FirewallRules, known: FirewallRules) -> bool:
    """Whether a table has to be changed; there is none where nothing is wanted, whatever the mark."""
    return wanted != known and bool(wanted or known)


def _say(before: FirewallRules, after: FirewallRules) -> None:
    for opening in sorted(before.openings - after.openings):
        log.info("closed %s", opening)
    for opening in sorted(after.openings - before.openings):
        log.info("opened %s", opening)
    for address in sorted(after.closed - before.closed):
        log.info("closed %s to all that no label opens", address)
    for address in sorted(before.closed - after.closed):
        log.info("no longer closing %s", address)
