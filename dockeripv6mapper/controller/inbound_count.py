"""The count of containers by what gets in to them from outside, for the metrics.

A worker reads all firewall rules and traces them for each container. With many containers that takes seconds,
and Python runs one thread at a time, so a count slows the loop down: counts are made at intervals.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from dockeripv6mapper.controller.jobs import CountInbound, Finished, Job
from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.controller.timers import Recount, Timers
from dockeripv6mapper.controller.workqueue import WorkQueue
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.reachability import Access
from dockeripv6mapper.settings import Settings

INTERVAL_SECONDS = 5.0
"""Minimum interval between two counts."""
PAUSE = 20
"""Minimum interval between them, as a multiple of the last one's run time."""


@dataclass(slots=True)
class InboundCount:
    """The last count, and when the next one is made."""

    jobs: WorkQueue
    timers: Timers
    log_changes: LogChanges
    settings: Settings
    last: Mapping[Access, int] = field(default_factory=dict)
    _running: bool = False
    """Whether a count waits or runs."""
    _seconds: float = 0.0
    """Run time of the last count."""

    @property
    def _interval(self) -> float:
        return max(INTERVAL_SECONDS, PAUSE * self._seconds)

    def outdated(self) -> None:
        """Something changed: count again, when the interval is over."""
        if self.settings.metrics is not None:
            self.timers.hasten(Recount(), self._interval)

    def start(self, facts: Facts, desired: Desired) -> None:
        """Have a worker count, unless one does. Then the next count follows it, as something has changed."""
        if self._running:
            self.timers.set(Recount(), self._interval)
            return
        self._running = True
        decisions = tuple((each, desired.decision(each.id)) for each in facts.containers.values())
        # Without the cache's own dictionaries: a worker reads this while the loop changes those.
        given = replace(facts, containers={}, images={})
        self.jobs.count(CountInbound(decisions, given, self.settings))

    def ended(self, count: Finished[Job]) -> bool:
        """Take the result of a count. Returns whether there is a new one."""
        self._running = False
        self._seconds = count.seconds
        if Recount() in self.timers:
            self.timers.set(Recount(), self._interval)
        if count.error is not None:
            self.log_changes.failed(CountInbound, count.error)
            return False
        self.log_changes.succeeded(CountInbound)
        self.last = count.result.value
        return True
