"""Vetoes: actions that did nothing, or only harm, and are not planned again for the time being."""

from collections.abc import Iterable

from dockeripv6mapper.actions import EndpointAction


class Vetoes:
    """At most one of either kind for each container: what was tried last."""

    def __init__(self) -> None:
        self._passing: dict[str, EndpointAction] = {}
        self._refused: dict[str, EndpointAction] = {}
        """What the engine refused last, until something about the container changes."""
        self._lasting: dict[str, EndpointAction] = {}

    def __contains__(self, action: EndpointAction) -> bool:
        return action in (self._passing.get(action.container_id), self._lasting.get(action.container_id))

    def idle(self, action: EndpointAction) -> None:
        """Rule out what did nothing, until the next full pass."""
        self._passing[action.container_id] = action

    def refused(self, action: EndpointAction) -> None:
        """Rule out what the engine refused: until the next full pass and, the second time, until a change.

        Somebody of whom nothing was known may have been in its way for a moment. More often it is not tried,
        since each try may take a container off its network.
        """
        again = self._refused.get(action.container_id) == action
        (self._lasting if again else self._passing)[action.container_id] = action
        self._refused[action.container_id] = action

    def lift(self, container_ids: Iterable[str]) -> None:
        """Something about these containers changed: nothing is ruled out for them."""
        for container_id in container_ids:
            for each in (self._passing, self._refused, self._lasting):
                each.pop(container_id, None)

    def lift_passing(self) -> None:
        """A list was taken in: only what lasts stays ruled out."""
        self._passing.clear()

    def lift_all(self) -> None:
        """Something that concerns all changed, or may have: nothing is ruled out."""
        for each in (self._passing, self._refused, self._lasting):
            each.clear()
