"""Attachments: a container is detached and attached again, in steps of which none loses what its user set."""

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
    """Attaches containers for which there is a note in the journal."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def attach(
        self, container_id: str, unfinished: Unfinished, settings: Json, inspected: Json, doing: str
    ) -> None:
        """Attach a detached container with `settings`.

        A connect of a running container that is refused for its IPv6 address burns the IPv4 address that came
        with it until the engine restarts (seen on 20.10 and 28.5). So the IPv6 address is tried alone first.
        """
        if inspected["State"]["Running"] and requests_both_families(settings):
            alone = temporary_endpoint(only_ipv6(settings), unfinished.endpoint or {})
            self._connect_with(container_id, unfinished, alone, inspected, doing)
            self.detach(container_id, unfinished, inspected, doing)
        self._connect_with(container_id, unfinished, settings, inspected, doing)

    def detach(self, container_id: str, unfinished: Unfinished, inspected: Json, doing: str) -> None:
        """Detach a container; a stopped one knows a network that is gone by the name or ID it was told."""
        made_by_id = unfinished.network_id in (inspected["NetworkSettings"]["Networks"] or {})
        reference = unfinished.network_id if made_by_id else _reference(unfinished, inspected)
        self._client.disconnect(container_id, reference, doing)

    def _connect_with(
        self, container_id: str, unfinished: Unfinished, settings: Json, inspected: Json, doing: str
    ) -> None:
        """Connect to the network, or to the one that the user has made by its name meanwhile."""
        api = CONNECT_KEEPS_MAC if MAC in settings and self._client.supports(CONNECT_KEEPS_MAC) else None
        try:
            reference = _reference(unfinished, inspected)
            self._client.connect(container_id, reference, settings, doing, api=api)
        except GoneError:
            self._client.connect(container_id, unfinished.network, settings, doing, api=api)

    def reattach(
        self, action: EndpointChange | Restore, unfinished: Unfinished, old: Json, inspected: Json
    ) -> EngineRefusedError | None:
        """Attach a detached container as it was, or with as much of that as the engine lets it have.

        Another container may have taken an address meanwhile: being attached matters more than where. Returns
        why it is not as it was; what the user set is in the endpoint's mark then. Raises `NotFinishedError`.
        """
        doing = f"putting container {action.container} back on {unfinished.network}"
        try:
            self.attach(action.container_id, unfinished, old, inspected, doing)
        except EngineRefusedError as error:
            refused = error
        else:
            return None
        for families in ((IPV6,), (IPV4,), (IPV4, IPV6)):
            settings = without_addresses(old, *families)
            # An IPv6 address of ours was never the user's: nothing is to be restored then.
            complete = settings == old or (families == (IPV6,) and mark_of(old) is not None)
            try:
                self._connect_with(
                    action.container_id,
                    unfinished,
                    settings if complete else temporary_endpoint(settings, old, RESTORE_RUNNING),
                    inspected,
                    doing,
                )
            except EngineRefusedError as error:
                refused.add_note(f"and {error}")
            else:
                log.warning("%s: attached without its %s", refused, " and ".join(families))
                return None if complete else refused
        raise NotFinishedError(str(refused)) from refused


def _reference(unfinished: Unfinished, inspected: Json) -> str:
    """How the engine is told which network is meant: by its ID, since two may have one name.

    For a stopped container by its name: the engine connects it to whatever it is told without looking, and
    with the ID of a network that is gone it could never be started again (seen on 20.10 and 28.5).
    """
    return unfinished.network_id if inspected["State"]["Running"] else unfinished.network
