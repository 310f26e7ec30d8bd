"""The kernel's side of a pass: the host's and the firewall's, and what it refuses tried again."""

from collections.abc import Callable
from collections.abc import Container as Collection
from collections.abc import Set as AbstractSet
from ipaddress import IPv6Address

from dockeripv6mapper import backoff
from dockeripv6mapper.controller.firewall import FirewallSide
from dockeripv6mapper.controller.host import HostSide
from dockeripv6mapper.controller.host_sysctls import SOLICITATION_SECONDS
from dockeripv6mapper.controller.interfaces import HostKernel
from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.controller.timers import LookAtHost, RetryHost, Timers
from dockeripv6mapper.controller.workqueue import CloseForwarding, Command
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.model import Host
from dockeripv6mapper.settings import Settings


class KernelSide:
    """Both sides, of which one that fails does not keep the other from being brought to what is desired."""

    def __init__(
        self,
        kernel: HostKernel,
        settings: Settings,
        log_changes: LogChanges,
        timers: Timers,
        *,
        watch: Callable[[frozenset[int] | None], None],
        ask: Callable[[Command], None],
    ) -> None:
        self._firewall = FirewallSide(ask, settings, log_changes)
        self._host = HostSide(
            *(kernel, settings, log_changes), watch=watch, ask=ask, unclosed=self._firewall.unclosed
        )
        self._timers = timers
        self._failures = 0
        """How often in a row something was refused that had been refused before."""

    @property
    def seen(self) -> Host:
        """The host, as last observed."""
        return self._host.seen

    @property
    def count(self) -> int:
        """How many of the proxy entries that are there are ours."""
        return self._host.count

    @property
    def failing(self) -> bool:
        """Whether the kernel refuses something that has to be."""
        return self._host.failing or self._firewall.failing

    def exposed(self) -> Collection[IPv6Address]:
        """Addresses at which more may be let through than is wanted: no container is to get one now."""
        return self._firewall.exposed()

    def observe(self, facts: Facts) -> bool:
        """Look at the host afresh, and set the sysctls right; returns whether anything is not as it was."""
        changed = self._host.observe(facts)
        if self._host.soliciting:
            self._timers.hasten(LookAtHost(), SOLICITATION_SECONDS)
        self._retry()
        return changed

    def settle(self, facts: Facts, desired: Desired, container_ids: AbstractSet[str]) -> None:
        """Bring what some containers need to what is desired."""
        self._firewall.settle(facts, desired, container_ids)
        self._host.settle(facts, desired, container_ids)
        self._retry()

    def settle_all(self, facts: Facts, spared: Collection[IPv6Address]) -> None:
        """Put right everything else too, but for what concerns the `spared` addresses."""
        self._firewall.settle_all(facts, spared)
        self._host.settle_all(spared)
        self._retry()

    def ended(self, job: Command, found: object, error: Exception | None) -> None:
        """Take in what became of a job that was asked for."""
        if isinstance(job, CloseForwarding):
            self._host.forwarding_closed(found, error)
        else:
            self._firewall.ended(job, found, error)
            self._host.add_withheld()
        self._retry()

    def _retry(self) -> None:
        """Have a pass made for what was refused, ever later: one for all of it, whoever needs it.

        Other passes try it too; they do not make the next one wait any longer.
        """
        if not self.failing:
            self._failures = 0
            self._timers.cancel(RetryHost())
        elif RetryHost() not in self._timers:
            self._failures += 1
            self._timers.set(RetryHost(), backoff.delay(self._failures))
