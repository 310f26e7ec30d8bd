"""Sysctls: changed by the plan, with what has to come before and after a change.

Before forwarding is switched on here, the policy is set that the engine would have set. Where it was on
before a link's accept_ra was 2, the kernel has deleted the link's default route, and a router is solicited.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from dockeripv6mapper.actions import SysctlChange
from dockeripv6mapper.controller.interfaces import HostKernel
from dockeripv6mapper.controller.jobs import CloseForwarding
from dockeripv6mapper.controller.log_changes import DOCTOR, LogChanges
from dockeripv6mapper.errors import MapperError
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.uplinks import default_links
from dockeripv6mapper.mapping.wanted_sysctls import FORWARDING, routes_lost, sysctl_keys
from dockeripv6mapper.model import Forwarded
from dockeripv6mapper.settings import Settings

log = logging.getLogger(__name__)

SOLICITATIONS = 3
"""Router solicitations per link (RFC 4861 §10, MAX_RTR_SOLICITATIONS)."""
SOLICITATION_SECONDS = 4.0
"""Interval between two solicitations (RFC 4861 §10, RTR_SOLICITATION_INTERVAL)."""


class HostSysctls:
    """The host's sysctls, and the routers that are to be solicited."""

    def __init__(
        self,
        kernel: HostKernel,
        settings: Settings,
        log_changes: LogChanges,
        ask: Callable[[CloseForwarding], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kernel = kernel
        self._ask = ask
        self._settings = settings
        self._log_changes = log_changes
        self._keys: tuple[str, ...] = ()
        self.current: Mapping[str, str | None] = {}
        """The values, as last read."""
        self._known: frozenset[int] | None = None
        """The indexes of the links whose inherited values were judged, or that were there at the start."""
        self._indexes: frozenset[int] = frozenset()
        """Those of all links, as last read."""
        self.appeared: frozenset[int] = frozenset()
        """Those of the links that appeared since: see `Facts.appeared`."""
        self._policy_set = False
        """Whether `CloseForwarding` has just succeeded, for one `apply`."""
        self._solicitations: dict[str, int] = {}
        """How many solicitations are left, by link."""
        self._next_solicitation = 0.0
        """When the next one may be sent, by `clock`."""
        self._clock = clock
        self._refused: set[str] = set()
        """Sysctls that the kernel refused to change."""

    @property
    def failing(self) -> bool:
        """Whether the kernel refuses a change."""
        return bool(self._refused)

    @property
    def soliciting(self) -> bool:
        """Whether a solicitation is left to be sent."""
        return any(self._solicitations.values())

    @property
    def awaits_route(self) -> bool:
        """Whether a default route that was deleted when forwarding was switched on may still come back.

        Not once the last solicitation has stayed unanswered.
        """
        answer_may_come = bool(self._solicitations) and self._clock() < self._next_solicitation
        return self.soliciting or answer_may_come

    def read(self, facts: Facts) -> None:
        """Read the values that a plan depends upon, on the links of `facts`, and note lost default routes."""
        self._indexes = frozenset(link.index for link in facts.host.links.values())
        if self._known is None:
            self._known = self._indexes
        self.appeared = self._indexes - self._known
        facts = replace(facts, appeared=self.appeared)
        self._keys = sysctl_keys(facts, self._settings)
        self.current = self._kernel.read_sysctls(self._keys)
        for name in routes_lost(replace(facts, sysctls=self.current)):
            text = (
                f"no default route by {name}: it ignored router advertisements, since the host forwards and "
                "its accept_ra was 1. The next router advertisement brings a route, once accept_ra is 2"
            )
            self._log_changes.once("default route", text)
            if self._may_write:
                self._solicitations.setdefault(name, SOLICITATIONS)
        if default_links(facts):
            self._solicitations.clear()

    def may_apply(self, planned: tuple[SysctlChange, ...], *, retry: bool) -> bool:
        """Whether `apply` would change anything. `retry`: also what was refused before."""
        return (
            bool(planned)
            and self._may_write
            and (retry or self._refused.isdisjoint(each.key for each in planned))
        )

    def apply(self, changes: tuple[SysctlChange, ...], *, retry: bool) -> None:
        """Make the changes of a plan, in their order. After one that is refused, the rest waits."""
        if not self._may_write:
            # With --no-sysctl the user has to set them, so each is a warning.
            level = logging.INFO if self._settings.sysctl else logging.WARNING
            self._log_changes.dry_run("sysctls", map(_sentence, changes), level)
            return
        if changes and not self.may_apply(changes, retry=retry):
            return
        policy_set, self._policy_set = self._policy_set, False
        for key in self._refused - {change.key for change in changes}:
            self._succeeded(key)
        for change in changes:
            if change.key == FORWARDING and not policy_set:
                self._ask(CloseForwarding())
                break
            try:
                self._kernel.write_sysctl(change)
            except MapperError as error:
                # Forwarding must not come on before accept_ra is right and the policy is set.
                self._fail(change.key, error)
                break
            self._succeeded(change.key)
        else:
            self._known, self.appeared = self._indexes, frozenset()
        if changes:
            # One change may cause others: `conf/all/forwarding` sets that of each link.
            self.current = self._kernel.read_sysctls(self._keys)

    @property
    def _may_write(self) -> bool:
        return self._settings.sysctl and not self._settings.dry_run

    def policy_ended(self, result: object, error: Exception | None) -> None:
        """Take the result of `CloseForwarding`. The next `apply` switches forwarding on."""
        if error is not None:
            self._fail(FORWARDING, error)
            return
        if result is Forwarded.ANYTHING:
            log.warning(
                "switching IPv6 forwarding on: no firewall drops forwarded packets, so this host routes "
                "between all its links (see %s)",
                DOCTOR,
            )
        self._policy_set = True

    def _fail(self, key: str, error: Exception) -> None:
        self._refused.add(key)
        self._log_changes.failed(key, error)

    def _succeeded(self, key: str) -> None:
        self._refused.discard(key)
        self._log_changes.succeeded(key)

    def solicit(self) -> None:
        """Send the next router solicitations, at most once in `SOLICITATION_SECONDS`. After `apply`."""
        now = self._clock()
        if now < self._next_solicitation:
            return
        for name in [name for name, left in self._solicitations.items() if left]:
            self._next_solicitation = now + SOLICITATION_SECONDS
            self._solicitations[name] -= 1
            try:
                self._kernel.solicit_router(name)
            except MapperError as error:
                self._log_changes.failed(("soliciting", name), error)
            else:
                self._log_changes.succeeded(("soliciting", name))


def _sentence(change: SysctlChange) -> str:
    return f"sysctl net/ipv6/{change.key} is {change.old}, and has to be {change.new}"
