"""Recovery: finishing a change of an endpoint that was begun and not ended."""

from dockeripv6mapper.actions import (
    Restore,
)
from dockeripv6mapper.engine.attachments import Attachments
from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.engine.endpoint_settings import (
    ADDED,
    ADDED_AT_ANY_ADDRESS,
    Json,
    endpoint_on_network,
    is_added_at_any_address,
    is_attached,
    is_temporary,
    mark_of,
    user_settings,
    without_mac,
)
from dockeripv6mapper.engine.journal import Journal, Unfinished
from dockeripv6mapper.errors import (
    EngineRefusedError,
    NotFinishedError,
)

LATE_SECONDS = 5.0
"""How long a call may still take effect after its answer was given up, or its caller died.

A disconnect that waits in a busy engine would else be made after the container was found attached.
"""


class Recovery:
    """Finishes what was begun."""

    def __init__(self, client: Client, journal: Journal, attachments: Attachments) -> None:
        self._client = client
        self._journal = journal
        self._attachments = attachments

    def restore(self, action: Restore) -> bool:
        """Finish what was begun on a container's endpoints, by whichever process.

        A container that is detached is attached again as it was. An endpoint that is there for a moment is
        replaced by the user's own. The journal stays where that fails.
        """
        inspected = self._client.inspect(action.container_id)
        if (unfinished := self._journal.read(action.container_id)) is not None:
            return self._finish(action, unfinished, inspected)
        for name, endpoint in (inspected["NetworkSettings"]["Networks"] or {}).items():
            if endpoint and is_temporary(endpoint):
                self._replace_temporary(action, name, endpoint, inspected)
                return True
        return False

    def _replace_temporary(self, action: Restore, network: str, endpoint: Json, inspected: Json) -> None:
        """Replace an endpoint that is there for a moment by what its user set.

        Raises `EngineRefusedError` where the engine does not let it have all of that yet.
        """
        old = user_settings(endpoint, inspected)
        unfinished = Unfinished(endpoint.get("NetworkID") or network, network, old)
        self._journal.write(action.container_id, unfinished)
        doing = f"restoring what the user of {action.container} set on {network}"
        self._attachments.detach(action.container_id, unfinished, inspected, doing)
        refused = self._attachments.reattach(action, unfinished, old, inspected)
        self._journal.erase(action.container_id)
        if refused is not None:
            raise refused

    def _finish(self, action: Restore, unfinished: Unfinished, inspected: Json) -> bool:
        """Finish what a note says; returns whether anything was done."""
        found = endpoint_on_network(inspected, unfinished.network_id, unfinished.network)
        if found is not None and is_attached(found, inspected):
            if is_temporary(found):
                self._replace_temporary(action, unfinished.network, found, inspected)
                return True
            if self._may_change_yet(action, unfinished, user_settings(found, inspected)):
                return False
            if done := unfinished.endpoint is None and is_added_at_any_address(found):
                # Undo what `_remove_refused_connect` began.
                doing = f"undoing a refused connect of container {action.container} to {unfinished.network}"
                self._attachments.detach(action.container_id, unfinished, inspected, doing)
        elif self._is_lost(unfinished):
            done = False
        elif unfinished.endpoint is not None:
            self._attachments.reattach(action, unfinished, unfinished.endpoint, inspected)
            done = True
        elif done := found is not None:
            self._remove_refused_connect(action, unfinished)
        self._journal.erase(action.container_id)
        return done

    def _is_lost(self, unfinished: Unfinished) -> bool:
        """Whether nothing of the user's was on the endpoint, and its network is gone."""
        if unfinished.endpoint is None or mark_of(unfinished.endpoint) != ADDED:
            return False
        return not self._is_there(unfinished.network_id, unfinished.network)

    def _may_change_yet(self, action: Restore, unfinished: Unfinished, settings: Json) -> bool:
        """Whether an endpoint is as it was before the note was made, only just now."""
        untouched = unfinished.endpoint is not None and without_mac(unfinished.endpoint) == settings
        return untouched and self._journal.age(action.container_id) < LATE_SECONDS

    def _remove_refused_connect(self, action: Restore, unfinished: Unfinished) -> None:
        """Remove what a refused connect leaves behind in a running container's configuration.

        The engine keeps the address that it has just refused, and the container could not be started
        again; it calls the container not connected, so that only a connect that succeeds makes a
        disconnect possible (seen on 20.10 and 28.5).
        """
        doing = f"undoing a refused connect of container {action.container} to {unfinished.network}"
        try:
            self._client.connect(action.container_id, unfinished.network_id, ADDED_AT_ANY_ADDRESS, doing)
            self._client.disconnect(action.container_id, unfinished.network_id, doing)
        except EngineRefusedError as error:
            raise NotFinishedError(str(error)) from error

    def _is_there(self, *references: str) -> bool:
        """Whether there is a network of such an ID or name."""
        return any(
            reference in (each.id, each.name)
            for each in self._client.networks().items
            for reference in references
        )
