"""Announcements: when the messages that announce a proxy entry are sent, and what stops them.

A new entry is advertised at once without override, which takes the address from no other node, and probed. If
no other node answers, the uplink's default routers are solicited from the address, and it is advertised with
override: so they replace a former host's MAC address. The same happens again when routers may have a wrong
one or none: the uplink's has changed, its carrier is back, the kernel notifies its peers, or a default router
is new; and at the start of the daemon, since an earlier process may have ended before the claim. The address
is probed again too: another host may have taken it over while this one had no carrier.

Paced by the loop's timer. `kernel/ndp` packs, sends and receives the messages.
"""

import heapq
import logging
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv6Address
from itertools import islice
from typing import TypeAlias

from dockeripv6mapper.controller.interfaces import HostKernel
from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.controller.timers import Announce, Timers
from dockeripv6mapper.errors import MapperError
from dockeripv6mapper.kernel.ndp.announcements import Answer
from dockeripv6mapper.model import Host, Link, ProxyEntry

log = logging.getLogger(__name__)

ANNOUNCING = "announcing"
"""The key of failures in the log."""

SPACING_SECONDS = 0.001
"""Between two entries that are announced for one reason. Switches and routers limit the rate of Neighbour
Discovery; a thousand entries take a second, with three messages each."""
REST_SECONDS = 0.5
"""Least time from an entry's claim to its next announcement, where links or routes flap."""
MAX_ROUTERS = 8
"""Maximum number of default routers of an uplink that are solicited for an entry. Any node of the link can
pose as many more; the advertisement with override reaches all."""
MAX_STEPS = 20
"""Steps that are taken at a time, where the loop is late; then the loop handles a message."""


class Step(Enum):
    """The messages that are sent for an entry at a time."""

    ADVERTISE = "advertise without override, and probe"
    PROBE = "probe"
    CLAIM = "unless another node has answered: solicit each default router, and advertise with override"


Schedule: TypeAlias = tuple[tuple[float, Step], ...]
"""Steps, each with the seconds since the step before."""

CLAIMS: Schedule = ((1.0, Step.CLAIM), (1.0, Step.CLAIM))
"""At most three advertisements for one reason, a second apart (RFC 4861 §7.2.6)."""
NEW: Schedule = ((0.0, Step.ADVERTISE), (0.010, Step.PROBE), (0.020, Step.CLAIM), *CLAIMS)
"""For a new entry: two probes, and 30 ms for the answers. Linux answers within one; RFC 4862 §5.4 waits a
second, which is too long for a container's start. A later answer is noticed at the repetitions."""
AGAIN: Schedule = ((0.0, Step.PROBE), (0.030, Step.CLAIM), *CLAIMS)
RETRY: Schedule = ((10.0, Step.PROBE), (0.030, Step.CLAIM), *CLAIMS)
"""After a step before the claim that could not be taken."""


@dataclass(slots=True)
class _Pending:
    """An entry's announcement under way."""

    left: Schedule
    due: float
    """When the first step of `left` is due, by the timers' clock."""
    claimed_at: float | None = None

    @property
    def step(self) -> Step:
        """The next step."""
        return self.left[0][1]


class Announcements:
    """The announcements under way. Used under the loop's lock."""

    def __init__(self, kernel: HostKernel, timers: Timers, log_changes: LogChanges) -> None:
        self._kernel = kernel
        self._timers = timers
        self._log_changes = log_changes
        self._host = Host()
        self._routers: dict[str, list[IPv6Address]] = {}
        """The default routers, by their uplink."""
        self._pending: dict[ProxyEntry, _Pending] = {}
        self._queue: list[tuple[float, ProxyEntry]] = []
        """A heap of due times. One that is not the entry's any more is skipped."""
        self._free: dict[Schedule, float] = {}
        """When the next entry may begin with a schedule."""
        self._conflicts: dict[ProxyEntry, str] = {}
        """The entries whose address another node has, with the text that was logged."""

    def added(self, entries: Iterable[ProxyEntry]) -> None:
        """Announce new entries. The first messages are sent now: a router may be waiting for them."""
        if self._queue:
            # What was received before cannot be an answer to their probes: a former host may have sent it.
            self._take_answers([])
        for entry in entries:
            self._begin(entry, NEW)
        self.send_due()

    def removed(self, entries: Iterable[ProxyEntry]) -> None:
        """Send nothing more for entries that are gone."""
        for entry in entries:
            self._pending.pop(entry, None)
            self._conflicts.pop(entry, None)

    def observed(self, host: Host, ours: Collection[ProxyEntry]) -> None:
        """Take the host as now observed, and announce entries again where that is needed."""
        before, self._host = self._host, host
        self._routers = {}
        for router, uplink in sorted(host.default_routers):
            self._routers.setdefault(uplink, []).append(router)
        self.removed([entry for entry in {*self._pending, *self._conflicts} if entry not in ours])
        if not before.links:
            for entry in sorted(ours):
                self._begin(entry, AGAIN)
        for uplink, reason in reasons_to_announce(before, host):
            entries = sorted(entry for entry in ours if entry.uplink == uplink)
            if entries:
                log.info("uplink %s: %s: announcing its %d addresses again", uplink, reason, len(entries))
            for entry in entries:
                self._begin(entry, AGAIN)

    def send_due(self) -> None:
        """Take the steps that are due."""
        now = self._timers.now
        failures: list[MapperError] = []
        due = list(islice(self._take_due(now), MAX_STEPS))
        claims = any(pending.step is Step.CLAIM for _, pending in due)
        answers_known = self._take_answers(failures) if claims else True
        for entry, pending in due:
            if self._pending.get(entry) is not pending:
                # A conflict has just ended it.
                continue
            try:
                if answers_known or pending.step is not Step.CLAIM:
                    self._send(entry, pending)
                else:
                    pending.left = (pending.left[0], *RETRY)
            except MapperError as error:
                failures.append(error)
                if pending.claimed_at is None:
                    # No other node could be asked, so the address is not claimed.
                    pending.left = (pending.left[0], *RETRY)
            self._plan_next(entry, pending)
        if failures:
            self._log_changes.failed(ANNOUNCING, failures[0])
        elif due:
            self._log_changes.succeeded(ANNOUNCING)
        if self._queue:
            self._timers.set(Announce(), max(SPACING_SECONDS, self._queue[0][0] - now))
        else:
            self._kernel.ignore_answers()

    def _take_due(self, now: float) -> Iterator[tuple[ProxyEntry, _Pending]]:
        """Remove from the queue, and yield, the entries with a step that is due."""
        while self._queue and self._queue[0][0] <= now:
            due, entry = heapq.heappop(self._queue)
            pending = self._pending.get(entry)
            if pending is not None and pending.due == due:
                yield entry, pending

    def _begin(self, entry: ProxyEntry, schedule: Schedule) -> None:
        now = self._timers.now
        due = max(now, self._free.get(schedule, now))
        if (pending := self._pending.get(entry)) is not None:
            if pending.claimed_at is None:
                # Its claim is still to come, with the MAC address and the routers of then.
                return
            due = max(due, pending.claimed_at + REST_SECONDS)
        self._free[schedule] = due + SPACING_SECONDS
        self._pending[entry] = _Pending(schedule, due)
        heapq.heappush(self._queue, (due, entry))
        self._timers.hasten(Announce(), due - now)

    def _plan_next(self, entry: ProxyEntry, pending: _Pending) -> None:
        """Queue the next step, unless the announcement has ended."""
        if self._pending.get(entry) is not pending:
            return
        pending.left = pending.left[1:]
        if not pending.left:
            del self._pending[entry]
            return
        # From now on and not from when it was due: where the loop is late, the answers still have their time.
        pending.due = self._timers.now + pending.left[0][0]
        heapq.heappush(self._queue, (pending.due, entry))

    def _send(self, entry: ProxyEntry, pending: _Pending) -> None:
        """Send the messages of an entry's next step. Raises `MapperError`."""
        link = self._host.links.get(entry.uplink)
        if link is None:
            del self._pending[entry]
            return
        match pending.step:
            case Step.ADVERTISE:
                self._kernel.advertise(entry.address, link, override=False)
                self._kernel.probe(entry.address, link)
            case Step.PROBE:
                self._kernel.probe(entry.address, link)
            case Step.CLAIM:
                pending.claimed_at = self._timers.now
                self._claim(entry, link)

    def _claim(self, entry: ProxyEntry, link: Link) -> None:
        for router in self._routers.get(entry.uplink, ())[:MAX_ROUTERS]:
            self._kernel.solicit(entry.address, link, router)
        self._kernel.advertise(entry.address, link, override=True)
        if self._conflicts.pop(entry, None) is not None:
            log.info("%s: no other node has this address any more", entry)

    def _take_answers(self, failures: list[MapperError]) -> bool:
        """Receive what other nodes have answered, and end the announcements of those addresses.

        Returns whether the answers could be received; else the error is added to `failures`.

        An answer with a MAC address of this host is no other node's: the kernel answers for a proxied
        address on a second uplink, or a switch brings a message back.
        """
        try:
            answers = list(self._kernel.answers())
        except MapperError as error:
            failures.append(error)
            return False
        own = {link.mac for link in self._host.links.values()}
        names = {link.index: link.name for link in self._host.links.values()}
        for answer in answers:
            if answer.mac in own or (uplink := names.get(answer.index)) is None:
                continue
            entry = ProxyEntry(answer.address, uplink)
            if self._pending.pop(entry, None) is not None:
                self._log_conflict(entry, answer)
        return True

    def _log_conflict(self, entry: ProxyEntry, answer: Answer) -> None:
        whose = "another node that is starting" if answer.mac is None else f"node {answer.mac.hex(':')}"
        text = (
            f"{entry} is also the address of {whose}: not taken over. "
            "Remove it there, or give the container another suffix (label ipv6.mapper.suffix)"
        )
        if self._conflicts.get(entry) != text:
            self._conflicts[entry] = text
            log.warning("%s", text)


def reasons_to_announce(before: Host, after: Host) -> Iterator[tuple[str, str]]:
    """The uplinks on which routers may have lost the way, each with the reason.

    None for a link that is new: its entries are new too. None after the first observation.
    """
    for name, link in after.links.items():
        old = before.links.get(name)
        if old is None or old.index != link.index:
            continue
        if old.mac != link.mac:
            yield name, "its MAC address has changed"
        elif old.carrier_ups != link.carrier_ups:
            yield name, "its carrier is back"
        elif old.peer_notifications != link.peer_notifications:
            yield name, "the kernel notifies its peers"
        elif any(uplink == name for _, uplink in after.default_routers - before.default_routers):
            yield name, "a default router is new"
