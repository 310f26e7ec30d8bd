"""Attempts: actions that did nothing or were refused, and are not repeated before something changes.

A refusal that the engine will repeat becomes a fact (`lasting`): the container is refused, with the reason in
`status`, until the engine is another one, or an event of that container may help.

A move that the engine refuses takes its container off the network for a moment, so it is not simply retried
with backoff. It is tried a second time after everything was listed again: a container that was not known may
have had the address. After that it is tried once after each change that may help.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from dockeripv6mapper.actions import Connect, EndpointAction, Reconnect
from dockeripv6mapper.engine.refusals import RefusalRecord, engine_refusal
from dockeripv6mapper.errors import LastingRefusalError
from dockeripv6mapper.model import EngineRefusal


@dataclass(frozen=True, slots=True)
class Refused:
    """An action that the engine refused."""

    action: EndpointAction
    epoch: int
    """The cache's epoch at that time."""
    twice: bool
    """Whether it was refused twice: a list does not have it tried again."""


class Attempts:
    """The last action of each container that did nothing, and the last that was refused."""

    def __init__(self, record: RefusalRecord | None = None) -> None:
        self._idle: dict[str, EndpointAction] = {}
        self._refused: dict[str, Refused] = {}
        self.lasting: dict[str, EngineRefusal] = {}
        """What the engine refuses until something changes, by the ID of the container or network."""
        self._record = record
        self._listed = 0
        """The epoch at which the last list of everything was asked for."""

    def __contains__(self, action: EndpointAction) -> bool:
        """Whether an action must not be repeated now."""
        if self._idle.get(action.container_id) == action or self._is_refused_for_good(action):
            return True
        refused = self._refused.get(action.container_id)
        if refused is None or refused.action != action:
            return False
        return refused.twice or refused.epoch > self._listed

    def _is_refused_for_good(self, action: EndpointAction) -> bool:
        """Whether the engine will refuse a connect or a move again.

        The decision need not say so: a container that has the address already stays mapped.
        """
        if not isinstance(action, Connect | Reconnect):
            return False
        refusals = (self.lasting.get(subject) for subject in (action.container_id, action.network_id))
        return any(each is not None and each.concerns(action.network_id, action.address) for each in refusals)

    def idle(self, action: EndpointAction) -> None:
        """Note an action that may have done nothing. It may be repeated after everything was listed."""
        self._idle[action.container_id] = action

    def refused(self, action: EndpointAction, epoch: int) -> None:
        """Note an action that the engine refused at `epoch`."""
        before = self._refused.get(action.container_id)
        twice = before is not None and before.action == action
        self._refused[action.container_id] = Refused(action, epoch, twice)

    def refused_for_good(self, action: Connect | Reconnect, error: LastingRefusalError) -> None:
        """Note that the engine will refuse this action again."""
        refusal = engine_refusal(action, error)
        subject = action.container_id if refusal.address is not None else action.network_id
        self._change({**self.lasting, subject: refusal})

    def engine_changed(self) -> None:
        """Forget what the engine refused, also an earlier process: it may be another engine now."""
        self.lasting = {}
        if self._record is not None:
            self._record.write({})

    def container_changed(self, container_id: str) -> None:
        """Forget what the engine refused of one container alone."""
        self._change({subject: each for subject, each in self.lasting.items() if subject != container_id})

    def network_gone(self, network_id: str) -> None:
        """Forget what the engine refused on a network."""
        self._change({key: each for key, each in self.lasting.items() if each.network_id != network_id})

    def _change(self, lasting: dict[str, EngineRefusal]) -> None:
        if lasting != self.lasting:
            self.lasting = lasting
            if self._record is not None:
                self._record.write(lasting)

    def listed(self, asked: int) -> None:
        """Note that everything was listed, at epoch `asked` or later."""
        self._idle.clear()
        self._listed = asked

    def lift(self, container_ids: Iterable[str]) -> None:
        """Forget the actions of containers that changed, or that need no action."""
        for container_id in container_ids:
            self._idle.pop(container_id, None)
            self._refused.pop(container_id, None)

    def reconsider(self, container_ids: Iterable[str]) -> None:
        """Allow one more try of each action of these containers: a change may help."""
        for container_id in container_ids:
            self._idle.pop(container_id, None)
            refused = self._refused.pop(container_id, None)
            if refused is not None and refused.twice:
                self._refused[container_id] = replace(refused, twice=False)

    def reconsider_all(self) -> None:
        """Allow one more try of each action: a change may help any of them."""
        self.reconsider({*self._idle, *self._refused})
