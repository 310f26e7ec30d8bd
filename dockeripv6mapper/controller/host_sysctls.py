"""The host's sysctls: kept as routing and proxying need them, and what has to surround a change of them.

Before forwarding is switched on here, what the engine would have closed then is closed. Where it was on
before a link took router advertisements for good, a router is asked to advertise again.
"""

import logging
import time
from collections.abc import Callable

from dockeripv6mapper.actions import SysctlChange
from dockeripv6mapper.controller.interfaces import HostKernel
from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.controller.workqueue import CloseForwarding
from dockeripv6mapper.errors import MapperError
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.sysctls import (
    FORWARDING,
    accept_ra,
    advertised_links,
    plan_sysctls,
    routes_lost,
    wanted_sysctls,
)
from dockeripv6mapper.model import Forwarded, Link
from dockeripv6mapper.settings import ProxyMode, Settings

log = logging.getLogger(__name__)

SOLICITATIONS = 3
"""Router solicitations that a link sends at most (RFC 4861 §10, MAX_RTR_SOLICITATIONS)."""
SOLICITATION_SECONDS = 4.0
"""From one to the next (RFC 4861 §10, RTR_SOLICITATION_INTERVAL)."""


class HostSysctls:
    """What is needed of the sysctls, and which routers have to be asked for."""

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
        self._advertised: tuple[str, ...] = ()
        self._uplinks: tuple[Link, ...] = ()
        self._routing = False
        """Whether some container is reached through this host."""
        self._proxying = settings.proxy is not ProxyMode.OFF
        """Whether anything is proxied at all: with `--proxy off`, only what a container's label asks for."""
        self._may_forward = False
        """Whether `CloseForwarding` has just succeeded."""
        self._solicitations: dict[str, int] = {}
        """How many more times a router is asked for on a link."""
        self._next_solicitation = 0.0
        """When a router may be asked for again, by `clock`."""
        self._clock = clock
        self._refused: set[str] = set()
        """Sysctls that the kernel refused to change."""

    @property
    def failing(self) -> bool:
        """Whether the kernel refuses a change that has to be."""
        return bool(self._refused)

    @property
    def soliciting(self) -> bool:
        """Whether a router is to be asked for once more."""
        return any(self._solicitations.values())

    @property
    def awaits_route(self) -> bool:
        """Whether a default route went with forwarding, and has not come back."""
        return bool(self._solicitations)

    def observed(self, facts: Facts, uplinks: tuple[Link, ...]) -> None:
        """Take in the host as it is now, and put its sysctls right."""
        self._advertised, self._uplinks = advertised_links(facts), uplinks
        current = self._kernel.read_sysctls([FORWARDING, *map(accept_ra, self._advertised)])
        for name in routes_lost(facts, current):
            text = (
                f"no default route by {name}: forwarding was switched on while it had accept_ra=1. "
                "It comes back with the next router advertisement, once accept_ra is 2"
            )
            self._log_changes.once("default route", text)
            if self._may_write:
                self._solicitations.setdefault(name, SOLICITATIONS)
        self.set()
        if facts.host.default_route_links:
            self._solicitations.clear()
        self._solicit()

    def need(self, *, routing: bool, proxying: bool) -> None:
        """Have the host forward and answer, where it does not yet."""
        if (routing and not self._routing) or (proxying and not self._proxying):
            self._routing |= routing
            self._proxying |= proxying
            self.set()

    def set(self) -> None:
        """Set what differs, in its order; what follows a change that is refused is left for the next time."""
        wanted = wanted_sysctls(
            self._advertised, self._uplinks, routing=self._routing, proxying=self._proxying
        )
        changes = plan_sysctls(wanted, self._kernel.read_sysctls([key for key, *_ in wanted]))
        if not self._may_write:
            # With --no-sysctl nobody but the user sets them, so each is a warning.
            level = logging.INFO if self._settings.sysctl else logging.WARNING
            self._log_changes.dry_run("sysctls", map(_sentence, changes), level)
            return
        for key in self._refused - {change.key for change in changes}:
            self._succeeded(key)
        for change in changes:
            if change.key == FORWARDING and not self._may_forward:
                self._ask(CloseForwarding())
                return
            try:
                self._kernel.write_sysctl(change)
            except MapperError as error:
                # Forwarding must not come on before accept_ra is right and the policy is set.
                self._fail(change.key, error)
                return
            self._succeeded(change.key)

    @property
    def _may_write(self) -> bool:
        return self._settings.sysctl and not self._settings.dry_run

    def forwarding_closed(self, found: object, error: Exception | None) -> None:
        """Take the result of `CloseForwarding`, and switch forwarding on."""
        if error is not None:
            self._fail(FORWARDING, error)
            return
        if found is Forwarded.ANYTHING:
            log.warning(
                "switching forwarding on: nothing keeps this host from routing between its links (see doctor)"
            )
        self._may_forward = True
        try:
            self.set()
        finally:
            self._may_forward = False

    def _fail(self, key: str, error: Exception) -> None:
        self._refused.add(key)
        self._log_changes.failed(key, error)

    def _succeeded(self, key: str) -> None:
        self._refused.discard(key)
        self._log_changes.succeeded(key)

    def _solicit(self) -> None:
        """Send the next router solicitations, at most once in `SOLICITATION_SECONDS`."""
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
