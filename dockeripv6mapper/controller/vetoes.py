"""Vetoes: actions that did nothing, or only harm, and are not planned again for the time being."""

from collections.abc import Iterable

from dockeripv6mapper.actions import EndpointAction


class Vetoes:
    """At most one of each kind for each container: what was tried last."""

    def __init__(self) -> None:
        self._idle: dict[str, EndpointAction] = {}
        self._refused: dict[str, tuple[EndpointAction, int]] = {}
        """What the engine refused last, and the epoch of that."""
        self._lasting: dict[str, EndpointAction] = {}
        self._listed = 0
        """The epoch at which the last list of everything was asked for."""

    def __contains__(self, action: EndpointAction) -> bool:
        container_id = action.container_id
        refused, epoch = self._refused.get(container_id, (None, 0))
        return action in (self._idle.get(container_id), self._lasting.get(container_id)) or (
            action == refused and epoch > self._listed
        )

    def idle(self, action: EndpointAction) -> None:
        """Rule out what did nothing, until everything is listed."""
        self._idle[action.container_id] = action

    def refused(self, action: EndpointAction, epoch: int) -> None:
        """Rule out what the engine refused: until everything is listed, and the second time until a change.

        Somebody of whom nothing was known may have been in its way for a moment. More often it is not tried,
        since each try may take a container off its network.
        """
        before, _ = self._refused.get(action.container_id, (None, 0))
        if action == before:
            self._lasting[action.container_id] = action
        self._refused[action.container_id] = action, epoch

    def attached(self, container_id: str) -> None:
        """The container is where it was to be: what is refused from now on is refused for the first time."""
        self._refused.pop(container_id, None)

    def listed(self, asked: int) -> None:
        """Everything was listed, as it was at epoch `asked` or later: only what lasts stays ruled out."""
        self._idle.clear()
        self._listed = asked

    def lift(self, container_ids: Iterable[str]) -> None:
        """Something about these containers changed: nothing is ruled out for them."""
        for container_id in container_ids:
            for each in (self._idle, self._refused, self._lasting):
                each.pop(container_id, None)

    def lift_all(self) -> None:
        """Something that concerns all changed, or may have: all may be tried again, once."""
        self._idle.clear()
        self._lasting.clear()
        self._refused = {each: (action, 0) for each, (action, _) in self._refused.items()}
