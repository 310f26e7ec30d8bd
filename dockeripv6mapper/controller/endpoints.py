"""Endpoints: the engine's part of a plan, at most one action per container at a time.

An action that failed is retried by a timer. One that did nothing or was refused is held back by `Attempts`.
`results` sets both. No container gets an address at which the firewall may let more through than is wanted.
"""

from collections.abc import Container as Collection
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from dockeripv6mapper.actions import Connect, EndpointAction, Reconnect
from dockeripv6mapper.controller.attempts import Attempts
from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.controller.timers import Retry, Timers
from dockeripv6mapper.controller.workqueue import WorkQueue
from dockeripv6mapper.settings import Settings


@dataclass(slots=True)
class EndpointActions:
    """Begins the actions that are planned, and keeps those that wait for the firewall."""

    jobs: WorkQueue
    timers: Timers
    attempts: Attempts
    log_changes: LogChanges
    settings: Settings
    _waiting: set[str] = field(default_factory=set)
    """Containers whose action waits until the firewall has closed its address."""

    def apply(
        self,
        actions: Iterable[EndpointAction],
        scope: Iterable[str],
        *,
        exposed: Collection[IPv6Address],
        failing: bool,
    ) -> None:
        """Begin the actions of the containers in `scope`; a container without one needs none.

        `exposed`: addresses at which more may be open than is wanted. `failing`: whether the kernel or the
        firewall refuses a change, so that the wait for them may be long.
        """
        planned = {action.container_id: action for action in actions}
        for container_id in scope:
            if self.is_busy(container_id):
                continue
            if (action := planned.get(container_id)) is None:
                self.log_changes.succeeded(container_id)
                self.log_changes.dry_run(container_id, ())
                self.attempts.lift([container_id])
            elif isinstance(action, Connect | Reconnect) and action.address in exposed:
                self._wait(action, failing=failing)
            elif self.settings.dry_run:
                self.log_changes.dry_run(container_id, [f"would {action}"])
            elif action not in self.attempts:
                self.jobs.act(action)

    def is_busy(self, container_id: str) -> bool:
        """Whether an action is being carried out on a container, or its retry waits."""
        return self.jobs.acting(container_id) or Retry(container_id) in self.timers

    def take_waiting(self) -> set[str]:
        """Remove and return the containers that wait for the firewall."""
        waiting, self._waiting = self._waiting, set()
        return waiting

    def _wait(self, action: Connect | Reconnect, *, failing: bool) -> None:
        self._waiting.add(action.container_id)
        if failing:
            why = "ports that may be open there cannot be closed yet; retrying"
            self.log_changes.once(action.container_id, f"waiting to {action}: {why}")
