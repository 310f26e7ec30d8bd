"""Attachments: the connect and disconnect calls that a change of an endpoint makes.

A refusal or the death of the process between two calls loses no settings: they are in the journal, or in the
mark of a temporary endpoint. The caller writes the journal.
"""

import logging

from dockeripv6mapper.actions import EndpointChange, Restore
from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.engine.endpoint_settings import (
    IPV4,
    IPV6,
    MAC,
    Json,
    mark_of,
    only_ipv6,
    requests_both_families,
    temporary_endpoint,
    without_addresses,
)
from dockeripv6mapper.engine.journal import Unfinished
from dockeripv6mapper.engine.mac_addresses import CONNECT_KEEPS_MAC
from dockeripv6mapper.engine.translate import RESTORE_RUNNING
from dockeripv6mapper.errors import EngineRefusedError, GoneError, NotFinishedError

log = logging.getLogger(__name__)


class Attachments:
    """Attaches and detaches containers that have a note in the journal (`unfinished`).

    `inspected` is the container as inspected before the change. The message of each error begins with
    `doing`. Raises `GoneError`, `EngineRefusedError`, `EngineUnavailableError`.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def attach(
        self, container_id: str, unfinished: Unfinished, settings: Json, inspected: Json, doing: str
    ) -> None:
        """Attach a detached container with `settings`.

        Where a connect of a running container is refused for its IPv6 address, the engine leaks the IPv4
        address of the same request: it stays allocated until the engine restarts (seen on 20.10 and 28.5).
        So a temporary endpoint tries the IPv6 address alone first.
        """
        if inspected["State"]["Running"] and requests_both_families(settings):
            temporary = temporary_endpoint(only_ipv6(settings), unfinished.endpoint or {})
            self._connect(container_id, unfinished, temporary, inspected, doing)
            self.detach(container_id, unfinished, inspected, doing)
        self._connect(container_id, unfinished, settings, inspected, doing)

    def detach(self, container_id: str, unfinished: Unfinished, inspected: Json, doing: str) -> None:
        """Detach a container.

        After its network was removed, a stopped container still lists the endpoint, under the name or
        the ID that the connect used. The disconnect must use the same one.
        """
        made_by_id = unfinished.network_id in (inspected["NetworkSettings"]["Networks"] or {})
        network = unfinished.network_id if made_by_id else _network_reference(unfinished, inspected)
        self._client.disconnect(container_id, network, doing)

    def reattach(
        self, action: EndpointChange | Restore, unfinished: Unfinished, user: Json, inspected: Json
    ) -> EngineRefusedError | None:
        """Attach a detached container with the `user` settings, or with as many as the engine accepts.

        Another container may have taken an address meanwhile. Being attached matters more than the
        address. Returns the refusal where settings are missing: the endpoint is temporary then, and its mark
        holds them all. Raises `NotFinishedError` where the container stays detached.
        """
        doing = f"reattaching container {action.container} to {unfinished.network}"
        try:
            self.attach(action.container_id, unfinished, user, inspected, doing)
        except EngineRefusedError as error:
            refused = error
        else:
            return None
        for families in ((IPV6,), (IPV4,), (IPV4, IPV6)):
            settings = without_addresses(user, *families)
            # The IPv6 address of an endpoint that the mapper made is no setting of the user's.
            complete = settings == user or (families == (IPV6,) and mark_of(user) is not None)
            try:
                self._connect(
                    action.container_id,
                    unfinished,
                    settings if complete else temporary_endpoint(settings, user, RESTORE_RUNNING),
                    inspected,
                    doing,
                )
            except EngineRefusedError as error:
                refused.add_note(f"and {error}")
            else:
                log.warning("%s: attached without its %s", refused, " and ".join(families))
                return None if complete else refused
        raise NotFinishedError(str(refused)) from refused

    def _connect(
        self, container_id: str, unfinished: Unfinished, settings: Json, inspected: Json, doing: str
    ) -> None:
        """Connect to the network; if it was removed and created again, to the new one of the same name."""
        api = CONNECT_KEEPS_MAC if MAC in settings and self._client.supports(CONNECT_KEEPS_MAC) else None
        try:
            network = _network_reference(unfinished, inspected)
            self._client.connect(container_id, network, settings, doing, api=api)
        except GoneError:
            self._client.connect(container_id, unfinished.network, settings, doing, api=api)


def _network_reference(unfinished: Unfinished, inspected: Json) -> str:
    """The network as an API call names it: by its ID, since two networks may have the same name.

    For a stopped container, by its name: the engine does not check then that the network exists. A container
    that was connected to the ID of a removed network could never be started (seen on 20.10 and 28.5).
    """
    return unfinished.network_id if inspected["State"]["Running"] else unfinished.network
