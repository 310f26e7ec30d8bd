"""Recovery: finishing a change of an endpoint that was cut off, by an error or by the process's death.

There are two traces of such a change: a note in the journal, and a temporary endpoint, whose mark holds the
user's settings. Either is enough. A reboot loses the journal.
"""

from dockeripv6mapper.actions import Restore
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
from dockeripv6mapper.errors import EngineRefusedError, NotFinishedError

LATE_SECONDS = 5.0
"""How long a call may still take effect after the caller timed out or died.

A busy engine delays a disconnect: a container that is attached in an inspection may be detached after it.
"""


class Recovery:
    """Finishes interrupted changes of endpoints. Until that is done, the container's note stays."""

    def __init__(self, client: Client, journal: Journal, attachments: Attachments) -> None:
        self._client = client
        self._journal = journal
        self._attachments = attachments

    def restore(self, action: Restore) -> bool:
        """Finish the interrupted change of a container's endpoint; returns whether anything was done.

        A detached container is attached again with the user's settings. A temporary endpoint is replaced by
        one with the user's settings. Raises `NotFinishedError` where this has to be tried again,
        `EngineRefusedError` where the engine refused some of the settings.
        """
        inspected = self._client.inspect(action.container_id)
        if (unfinished := self._journal.read(action.container_id)) is not None:
            return self._finish(action, unfinished, inspected)
        for network, endpoint in (inspected["NetworkSettings"]["Networks"] or {}).items():
            if endpoint and is_temporary(endpoint):
                self._replace_temporary(action, network, endpoint, inspected)
                return True
        return False

    def _finish(self, action: Restore, unfinished: Unfinished, inspected: Json) -> bool:
        """Finish the change that the journal has a note of; returns whether anything was done."""
        endpoint = endpoint_on_network(inspected, unfinished.network_id, unfinished.network)
        if endpoint is not None and is_attached(endpoint, inspected):
            if is_temporary(endpoint):
                self._replace_temporary(action, unfinished.network, endpoint, inspected)
                return True
            if self._may_still_change(action, unfinished, user_settings(endpoint, inspected)):
                return False
            done = unfinished.endpoint is None and is_added_at_any_address(endpoint)
            if done:
                # `_remove_refused_connect` was cut off between its two calls.
                doing = _undoing(action, unfinished)
                self._attachments.detach(action.container_id, unfinished, inspected, doing)
        elif self._is_obsolete(unfinished):
            done = False
        elif unfinished.endpoint is not None:
            # A move was cut off between disconnect and connect.
            self._attachments.reattach(action, unfinished, unfinished.endpoint, inspected)
            done = True
        else:
            # A connect was refused, or not even requested.
            done = endpoint is not None
            if done:
                self._remove_refused_connect(action, unfinished)
        self._journal.erase(action.container_id)
        return done

    def _replace_temporary(self, action: Restore, network: str, endpoint: Json, inspected: Json) -> None:
        """Replace a temporary endpoint by one with the user's settings.

        Raises `EngineRefusedError` where the engine still refuses some of them.
        """
        user = user_settings(endpoint, inspected)
        unfinished = Unfinished(endpoint.get("NetworkID") or network, network, user)
        self._journal.write(action.container_id, unfinished)
        doing = f"restoring what the user of {action.container} set on {network}"
        self._attachments.detach(action.container_id, unfinished, inspected, doing)
        refused = self._attachments.reattach(action, unfinished, user, inspected)
        self._journal.erase(action.container_id)
        if refused is not None:
            raise refused

    def _remove_refused_connect(self, action: Restore, unfinished: Unfinished) -> None:
        """Remove the configuration that a refused connect leaves in a running container.

        The engine refuses the address and keeps it in the configuration: the container's next start would
        fail. Its disconnect answers that the container is not connected, so a connect must succeed first
        (seen on 20.10 and 28.5).
        """
        doing = _undoing(action, unfinished)
        try:
            self._client.connect(action.container_id, unfinished.network_id, ADDED_AT_ANY_ADDRESS, doing)
            self._client.disconnect(action.container_id, unfinished.network_id, doing)
        except EngineRefusedError as error:
            raise NotFinishedError(str(error)) from error

    def _is_obsolete(self, unfinished: Unfinished) -> bool:
        """Whether the noted endpoint held no settings of the user's, and its network is gone."""
        if unfinished.endpoint is None or mark_of(unfinished.endpoint) != ADDED:
            return False
        references = (unfinished.network_id, unfinished.network)
        return not any(
            each.id in references or each.name in references for each in self._client.networks().items
        )

    def _may_still_change(self, action: Restore, unfinished: Unfinished, settings: Json) -> bool:
        """Whether the endpoint is unchanged, and the noted disconnect may still take effect."""
        unchanged = unfinished.endpoint is not None and without_mac(unfinished.endpoint) == settings
        return unchanged and self._journal.age(action.container_id) < LATE_SECONDS


def _undoing(action: Restore, unfinished: Unfinished) -> str:
    """The beginning of an error's message."""
    return f"undoing a refused connect of container {action.container} to {unfinished.network}"
