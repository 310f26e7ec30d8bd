"""Vetoes: actions that did nothing, or only harm, and are not planned again for the time being."""

from collections.abc import Iterable

from dockeripv6mapper.actions import EndpointAction


class Vetoes:
    """At most one for each container: what was tried last."""

    def __init__(self) -> None:
        self._vetoes: dict[str, tuple[EndpointAction, bool]] = {}

    def __contains__(self, action: EndpointAction) -> bool:
        return self._vetoes.get(action.container_id, (None, False))[0] == action

    def put(self, action: EndpointAction, *, lasting: bool) -> None:
        """Rule just this action out, until the next full pass or, `lasting`, something about it changes."""
        self._vetoes[action.container_id] = action, lasting

    def lift(self, container_ids: Iterable[str]) -> None:
        """Something about these containers changed: nothing is ruled out for them."""
        for container_id in container_ids:
            self._vetoes.pop(container_id, None)

    def lift_passing(self) -> None:
        """Everything is looked at afresh: only what lasts stays ruled out."""
        self._vetoes = {
            each: (action, lasting) for each, (action, lasting) in self._vetoes.items() if lasting
        }

    def lift_all(self) -> None:
        """Something that concerns all changed."""
        self._vetoes.clear()
