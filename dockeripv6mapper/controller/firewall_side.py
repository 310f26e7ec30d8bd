"""The firewall's side of a pass: what labels ask for is open, and no longer than its container runs."""

import logging
from collections.abc import Container as Collection
from collections.abc import Iterable
from ipaddress import IPv6Address

from dockeripv6mapper.controller.boundary import HostKernel
from dockeripv6mapper.controller.logbook import Logbook
from dockeripv6mapper.errors import MapperError
from dockeripv6mapper.mapping.desired import Desired, all_uplinks
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.model import FirewallRules, Mapping, Opening, Reason, RefusedError
from dockeripv6mapper.settings import FirewallMode, Settings

log = logging.getLogger(__name__)

FAILURE = "firewall"


class FirewallSide:
    """What our table holds, and what each container needs of it."""

    def __init__(self, kernel: HostKernel, settings: Settings, logbook: Logbook) -> None:
        self._kernel = kernel
        self._settings = settings
        self._logbook = logbook
        self._openings: dict[str, tuple[Opening, ...]] = {}
        self._closed: dict[str, IPv6Address] = {}
        self._uplinks: tuple[str, ...] = ()
        self._spared: Collection[IPv6Address] = ()
        """Addresses of which too little is known: what an earlier process opened for them stays open."""
        self._taken_in: set[IPv6Address] = set()
        """Of those, the addresses of which enough became known since."""
        self._unproven: dict[str, IPv6Address] = {}
        """Addresses of containers whose ports label cannot be judged any more, since the image is gone: what
        is open there stays open, and nothing is opened."""
        self.failing = False
        """Whether the table could not be brought to what is asked for."""
        self._now: FirewallRules | None = None
        """What the table holds; None: not seen yet, or not known after a failure."""

    def settle(self, facts: Facts, desired: Desired, container_ids: Iterable[str]) -> None:
        """Bring what some containers need into the table, at once."""
        for container_id in container_ids:
            self._take_in(facts, desired, container_id)
        if self._now is not None:
            self._apply(self._now, check_hooks=not self._now)

    def settle_all(self, facts: Facts, spared: Collection[IPv6Address]) -> None:
        """Look at table and hooks, and put right what is not."""
        if self._settings.firewall is FirewallMode.OFF or not facts.host.links:
            # Without a look at the host no uplink is known, and nothing would be closed there.
            return
        self._spared = spared
        self._taken_in.clear()
        self._uplinks = tuple(link.name for link in all_uplinks(facts, self._settings))
        asked = bool(self._openings or self._closed)
        if not asked and self._now is not None and not self._now:
            return
        try:
            now = self._kernel.observe_firewall()
        except MapperError as error:
            # A host without nft is none of our business while no label asks for a port.
            if asked:
                self._failed(error)
            else:
                self.failing = False
            return
        self._apply(now, check_hooks=True)

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
                self._logbook.ports_refused(container, no.refusal)
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

    def _wanted(self, now: FirewallRules) -> FirewallRules:
        openings = {opening for each in self._openings.values() for opening in each}
        openings |= {opening for opening in now.openings if self._stays(opening.address)}
        closed = set(self._closed.values()) | {address for address in now.closed if self._stays(address)}
        return FirewallRules(
            mark=self._settings.fwmark,
            openings=frozenset(openings),
            closed=frozenset(closed),
            uplinks=self._uplinks if closed else (),
        )

    def _stays(self, address: IPv6Address) -> bool:
        """Whether what is there for an address stays, whatever known containers need."""
        if address in self._unproven.values():
            return True
        return address in self._spared and address not in self._taken_in

    def _apply(self, now: FirewallRules, *, check_hooks: bool) -> None:
        if self._settings.firewall is FirewallMode.OFF:
            return
        wanted = self._wanted(now)
        if self._settings.dry_run:
            self._now = now
            self._say_dry_run(wanted, now)
            return
        try:
            self._kernel.apply_firewall(wanted)
            hooks = self._kernel.check_hooks(wanted.mark) if wanted and check_hooks else []
        except MapperError as error:
            self._failed(error)
            return
        self._now = wanted
        self.failing = False
        self._logbook.succeeded(FAILURE)
        for hook in hooks:
            log.info("accepting marked packets in %s", hook)
        for opening in sorted(now.openings - wanted.openings):
            log.info("closed %s", opening)
        for opening in sorted(wanted.openings - now.openings):
            log.info("opened %s", opening)

    def _failed(self, error: MapperError) -> None:
        self._now = None
        self.failing = True
        self._logbook.failed(FAILURE, error)

    def _say_dry_run(self, wanted: FirewallRules, now: FirewallRules) -> None:
        lines = [
            *(f"would open {opening}" for opening in sorted(wanted.openings - now.openings)),
            *(f"would close {opening}" for opening in sorted(now.openings - wanted.openings)),
            *(
                f"would close {each} to all that no label opens"
                for each in sorted(wanted.closed - now.closed)
            ),
            *(f"would no longer close {each}" for each in sorted(now.closed - wanted.closed)),
        ]
        self._logbook.dry_run("firewall", lines)
