"""Attempts: actions that did nothing, or only harm, and are not planned again for the time being.

A move that the engine refuses takes a container off its network for a moment. It is tried twice: somebody
of whom nothing was known may have been in its way, who is known or gone when everything was listed since.
After that it is tried once for whatever may have helped it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from dockeripv6mapper.actions import EndpointAction


@dataclass(frozen=True, slots=True)
class Refused:
    """An action that the engine refused, at an epoch of the inventory."""

    action: EndpointAction
    epoch: int
    lasting: bool
    """Whether it stays ruled out when everything was listed."""


class Attempts:
    """At most one of either kind for each container: what was tried last."""

    def __init__(self) -> None:
        self._idle: dict[str, EndpointAction] = {}
        self._refused: dict[str, Refused] = {}
        self._listed = 0
        """The epoch at which the last list of everything was asked for."""

    def __contains__(self, action: EndpointAction) -> bool:
        if self._idle.get(action.container_id) == action:
            return True
        refused = self._refused.get(action.container_id)
        if refused is None or refused.action != action:
            return False
        return refused.lasting or refused.epoch > self._listed

    def idle(self, action: EndpointAction) -> None:
        """Rule out what did nothing, until everything was listed."""
        self._idle[action.container_id] = action

    def refused(self, action: EndpointAction, epoch: int) -> None:
        """Rule out what the engine refused at `epoch`: the first time until everything was listed since."""
        before = self._refused.get(action.container_id)
        lasting = before is not None and before.action == action
        self._refused[action.container_id] = Refused(action, epoch, lasting)

    def listed(self, asked: int) -> None:
        """Everything was listed, as it was at epoch `asked` or later."""
        self._idle.clear()
        self._listed = asked

    def lift(self, container_ids: Iterable[str]) -> None:
        """These containers changed, or nothing is to be done about them: nothing is ruled out."""
        for container_id in container_ids:
            self._idle.pop(container_id, None)
            self._refused.pop(container_id, None)

    def reconsider(self, container_ids: Iterable[str]) -> None:
        """What was in the way of these containers may have gone: what is ruled out is tried once."""
        for container_id in container_ids:
            self._idle.pop(container_id, None)
            refused = self._refused.pop(container_id, None)
            if refused is not None and refused.lasting:
                self._refused[container_id] = replace(refused, lasting=False)

    def reconsider_all(self) -> None:
        """As `reconsider`, where what changed concerns all."""
        self.reconsider({*self._idle, *self._refused})
