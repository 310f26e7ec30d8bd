"""Under way: the containers that are being changed, each by one action, whichever thread has begun it.

The thread of the events and the controller may both find that a container has to be connected, the one by its
create event, the other by a list. What one does in several calls the other's call would spoil.
"""

from dockeripv6mapper.actions import EndpointAction


class UnderWay:
    """At most one action for each container.

    For any thread, without a lock: each method makes one call of `dict`'s, which is atomic.
    """

    def __init__(self) -> None:
        self._actions: dict[str, EndpointAction] = {}

    def begin(self, action: EndpointAction) -> bool:
        """Take an action up, once; False where its container is being changed already."""
        return self._actions.setdefault(action.container_id, action) is action

    def end(self, container_id: str) -> None:
        """The container is not being changed any more."""
        self._actions.pop(container_id, None)

    def all(self) -> list[EndpointAction]:
        """All of them, as of now."""
        return list(self._actions.copy().values())

    def __contains__(self, container_id: str) -> bool:
        return container_id in self._actions
