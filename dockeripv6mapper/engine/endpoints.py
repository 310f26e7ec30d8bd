"""Endpoints: attaching containers to networks at an address, and taking that back.

Every step leaves the container no worse than before it, also where the process dies right after it. What the
user set on an endpoint is at any time in one of three places: on the endpoint itself, in the mark of an
endpoint that is there for a moment, or, while there is none, in a note on disk (see `journal`).
"""

import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from dockeripv6mapper.actions import (
    Connect,
    EndpointAction,
    EndpointChange,
    Reconnect,
    Release,
    Restore,
    Vacate,
)
from dockeripv6mapper.engine.attachments import Attachments
from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.engine.endpoint_settings import (
    ADDED,
    IPV6,
    MAC,
    Json,
    endpoint_on_network,
    has_address,
    is_attached,
    mapper_endpoint,
    mark_of,
    moved_endpoint,
    original_endpoint,
    temporary_endpoint,
    user_settings,
    without_addresses,
)
from dockeripv6mapper.engine.http import PendingResponse
from dockeripv6mapper.engine.journal import Journal, Unfinished
from dockeripv6mapper.engine.mac_addresses import CONNECT_KEEPS_MAC, MAC_IS_RANDOM, MacOrigin, mac_of
from dockeripv6mapper.engine.recovery import Recovery
from dockeripv6mapper.engine.translate import MOVED, RESTORE_RUNNING, ipv6
from dockeripv6mapper.errors import (
    EngineRefusedError,
    EngineUnavailableError,
    GoneError,
    MapperError,
    NotFinishedError,
)
from dockeripv6mapper.mapping.networks import has_own_network

log = logging.getLogger(__name__)


class Endpoints:
    """The engine's endpoints."""

    def __init__(self, client: Client, journal: Journal) -> None:
        self._client = client
        self._journal = journal
        self._attachments = Attachments(client)
        self._recovery = Recovery(client, journal, self._attachments)

    def begin(self, action: EndpointAction) -> PendingResponse | None:
        """Write the request of a connect, where that takes no waiting: the container's start may follow.

        `apply` awaits the answer. None: `apply` does everything.
        """
        if not isinstance(action, Connect):
            return None
        try:
            self._journal.write(action.container_id, Unfinished(action.network_id, action.network, None))
            return self._client.send_connect(
                action.container_id, action.network_id, mapper_endpoint(action.address)
            )
        except (MapperError, OSError) as error:
            log.debug("leaving the request to a worker: %s: %s", action, error)
            return None

    def apply(self, action: EndpointAction, begun: PendingResponse | None = None) -> bool:
        """Carry out an action, or the rest of one that was begun. Returns whether it changed anything."""
        with self._ignoring_gone_containers(action.container_id):
            match action:
                case Restore():
                    return self._recovery.restore(action)
                case Release() | Vacate():
                    return self._release(action)
                case Reconnect():
                    return self._reconnect(action)
                case Connect():
                    return self._connect(action, begun)
        return False

    def unfinished(self, container_id: str) -> bool:
        """Whether a reconnect of the container was begun and not ended: `Restore` comes first then."""
        return self._journal.has(container_id)

    def prune(self, known: Collection[str]) -> None:
        """Forget unfinished changes of all containers but the `known` ones."""
        self._journal.prune(known)

    @contextmanager
    def _ignoring_gone_containers(self, container_id: str) -> Iterator[None]:
        """A container that is gone needs nothing, and leaves nothing to finish.

        The engine answers the same where it is the network that is gone: that is raised.
        """
        try:
            yield
        except (GoneError, NotFinishedError):
            if self._client.container(container_id) is not None:
                raise
            self._journal.erase(container_id)

    # --- connect ------------------------------------------------------------------------------------------

    def _connect(self, action: Connect, begun: PendingResponse | None) -> bool:
        """Attach a container. Where the engine refuses that, nothing of it may be left behind."""
        doing = f"connecting {action.container} to {action.network} at {action.address}"
        try:
            if begun is not None:
                with self._client.session(doing):
                    begun.result(doing)
            else:
                unfinished = Unfinished(action.network_id, action.network, None)
                self._journal.write(action.container_id, unfinished)
                self._client.connect(
                    action.container_id, action.network_id, mapper_endpoint(action.address), doing
                )
        except EngineRefusedError as refused:
            # The create event does not say what a container was attached to by its user, nor how.
            inspected = self._client.inspect(action.container_id)
            left = endpoint_on_network(inspected, action.network_id, action.network)
            if has_own_network(inspected["HostConfig"]["NetworkMode"]) and not (
                left and is_attached(left, inspected)
            ):
                self._undo(action, refused)
            self._journal.erase(action.container_id)
            return False
        self._journal.erase(action.container_id)
        return True

    def _undo(self, action: Connect, refused: EngineRefusedError) -> NoReturn:
        """Leave nothing of a refused connect behind, and raise it; what cannot be undone yet stays noted."""
        try:
            self._recovery.restore(Restore(action.container_id, action.container))
        except EngineRefusedError as error:
            refused.add_note(f"and {error}")
        raise refused

    # --- reconnect, release -------------------------------------------------------------------------------

    def _reconnect(self, action: Reconnect) -> bool:
        inspected = self._client.inspect(action.container_id)
        found = endpoint_on_network(inspected, action.network_id, action.network)
        if found is None or has_address(found, inspected, action):
            return False
        old = user_settings(found, inspected)
        if not self._keep_mac(action, found, inspected, old):
            return False
        self._replace_endpoint(action, inspected, old=old, new=moved_endpoint(old, action.address))
        return True

    def _keep_mac(self, action: Reconnect, endpoint: Json, inspected: Json, old: dict[str, Any]) -> bool:
        """Have `old` hold the MAC address that must not be lost; False: the move has to wait.

        Raises `EngineRefusedError` where the user chose one and the engine would not keep it.
        """
        api = self._client.api_version()
        mac = mac_of(endpoint, inspected, api)
        if mac.origin is MacOrigin.GENERATED:
            return True
        if mac.origin is MacOrigin.HIDDEN:
            # While the container runs, these engines show what is needed. Others show it never.
            return not (self._client.supports(CONNECT_KEEPS_MAC) or api < MAC_IS_RANDOM)
        if self._client.supports(CONNECT_KEEPS_MAC):
            old[MAC] = mac.address
        elif mac.origin is MacOrigin.CHOSEN:
            network = f"name={action.network},ip6={action.address},mac-address={mac.address}"
            raise EngineRefusedError(
                f"moving {action.container} on {action.network} to {action.address}: "
                f"the engine would not keep the MAC address {mac.address} that it was created with",
                hint=f"docker run --network {network} …",
            )
        else:
            log.info(
                "moving %s on %s: its MAC address %s changes; the engine does not show if it was chosen",
                action.container,
                action.network,
                mac.address,
            )
        return True

    def _release(self, action: Release | Vacate) -> bool:
        inspected = self._client.inspect(action.container_id)
        found = endpoint_on_network(inspected, action.network_id, action.network)
        if found is None or not _is_still_to_be_released(found, inspected, action):
            return False
        mark = mark_of(found) or ""
        if mark.startswith(RESTORE_RUNNING):
            users = user_settings(found, inspected)
            left = without_addresses(found, IPV6)["IPAMConfig"]
            new = temporary_endpoint({**users, "IPAMConfig": left}, users, RESTORE_RUNNING)
            self._replace_endpoint(action, inspected, old=users, new=new)
            return True
        if mark == ADDED:
            doing = f"taking {action.address} back from {action.container}"
            self._client.disconnect(action.container_id, action.network_id, doing)
            return True
        if mark.startswith(MOVED):
            self._restore_original(action, inspected, user_settings(found, inspected))
            return True
        return False

    def _restore_original(self, action: Release | Vacate, inspected: Json, old: Json) -> None:
        try:
            self._replace_endpoint(action, inspected, old=old, new=original_endpoint(old))
        except (GoneError, NotFinishedError):
            raise
        except EngineRefusedError:
            # Another container may have the address that this one's user had asked for.
            self._replace_endpoint(action, inspected, old=old, new=without_addresses(old, IPV6))

    # --- from one endpoint to another ---------------------------------------------------------------------

    def _replace_endpoint(self, action: EndpointChange, inspected: Json, *, old: Json, new: Json) -> None:
        """Replace an endpoint that has or is to have the user's settings `old` by `new`.

        Where `new` is refused, `old` is put back, as far as the engine lets it, and the refusal raised.
        """
        where = new["IPAMConfig"].get(IPV6, "an address of the engine's choice")
        doing = f"moving {action.container} on {action.network} to {where}"
        unfinished = Unfinished(action.network_id, action.network, old)
        self._journal.write(action.container_id, unfinished)
        try:
            self._disconnect(action, unfinished, inspected, doing)
            try:
                self._attachments.attach(action.container_id, unfinished, new, inspected, doing)
            except EngineRefusedError:
                self._attachments.reattach(action, unfinished, old, inspected)
                self._journal.erase(action.container_id)
                raise
        except EngineUnavailableError:
            # What was asked for may still be done: the note counts from now on (see `LATE_SECONDS`).
            self._journal.write(action.container_id, unfinished)
            raise
        self._journal.erase(action.container_id)

    def _disconnect(
        self, action: EndpointChange, unfinished: Unfinished, inspected: Json, doing: str
    ) -> None:
        """Begin an exchange. A refusal changes nothing: the user may have detached the container."""
        try:
            self._attachments.detach(action.container_id, unfinished, inspected, doing)
        except EngineRefusedError:
            self._journal.erase(action.container_id)
            raise


def _is_still_to_be_released(endpoint: Json, inspected: Json, action: Release | Vacate) -> bool:
    """Whether the container is in the state that the action was planned for."""
    if isinstance(action, Release):
        return not inspected["State"]["Running"]
    return inspected["State"]["Running"] and ipv6(endpoint.get("GlobalIPv6Address")) == action.address
