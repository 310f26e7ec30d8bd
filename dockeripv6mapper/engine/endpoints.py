"""Endpoints: attaching containers to networks at an address, moving endpoints, giving addresses up.

The API cannot change an endpoint's address: a move is a disconnect and a connect. No step leaves the
container worse off, even if the process dies right after it. At any time, all that the user set on an
endpoint is in one of three places: the endpoint itself, the mark of a temporary endpoint (see
`endpoint_settings`), or, while there is no endpoint, a note on disk (see `journal`).
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
    MacAddressError,
    MapperError,
    NotFinishedError,
)
from dockeripv6mapper.mapping.networks import has_own_network

log = logging.getLogger(__name__)


class Endpoints:
    """Carries out the actions on containers' endpoints."""

    def __init__(self, client: Client, journal: Journal) -> None:
        self._client = client
        self._journal = journal
        self._attachments = Attachments(client)
        self._recovery = Recovery(client, journal, self._attachments)

    def begin(self, action: EndpointAction) -> PendingResponse | None:
        """Write the request of a connect without waiting, since the container's start may follow at once.

        `apply` awaits the answer. None: nothing was requested, and `apply` does everything.
        """
        if not isinstance(action, Connect):
            return None
        try:
            self._journal.write(action.container_id, Unfinished(action.network_id, action.network, None))
            settings = mapper_endpoint(action.address, action.priority)
            return self._client.send_connect(action.container_id, action.network_id, settings)
        except (MapperError, OSError) as error:
            log.debug("leaving the request to a worker: %s: %s", action, error)
            return None

    def apply(self, action: EndpointAction, begun: PendingResponse | None = None) -> bool:
        """Carry out an action, or the rest of one whose request `begin` wrote.

        Returns whether anything changed. Raises `MapperError`: `EngineRefusedError` for a refusal,
        `NotFinishedError` where the container needs a `Restore`.
        """
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
        """Whether a change of the container's endpoint was interrupted: it needs a `Restore` first."""
        return self._journal.has(container_id)

    def prune(self, known: Collection[str]) -> None:
        """Remove the notes of all containers but the `known` ones."""
        self._journal.prune(known)

    @contextmanager
    def _ignoring_gone_containers(self, container_id: str) -> Iterator[None]:
        """Suppress errors where the container is gone: then nothing is left to do or to finish.

        The engine answers 404 for a missing network, too. That error is raised.
        """
        try:
            yield
        except (GoneError, NotFinishedError):
            if self._client.container(container_id) is not None:
                raise
            self._journal.erase(container_id)

    # --- connect ------------------------------------------------------------------------------------------

    def _connect(self, action: Connect, begun: PendingResponse | None) -> bool:
        """Attach a container; undo a connect that was refused.

        A refusal is no error where the user has attached the container already, or where the container has no
        network namespace of its own. The create event shows neither.
        """
        doing = f"connecting {action.container} to {action.network} at {action.address}"
        settings = mapper_endpoint(action.address, action.priority)
        try:
            if begun is not None:
                with self._client.session(doing):
                    begun.result(doing)
            else:
                unfinished = Unfinished(action.network_id, action.network, None)
                self._journal.write(action.container_id, unfinished)
                self._client.connect(action.container_id, action.network_id, settings, doing)
        except EngineRefusedError as refused:
            inspected = self._client.inspect(action.container_id)
            endpoint = endpoint_on_network(inspected, action.network_id, action.network)
            attached = endpoint is not None and is_attached(endpoint, inspected)
            if has_own_network(inspected["HostConfig"]["NetworkMode"]) and not attached:
                self._undo_refused(action, refused)
            self._journal.erase(action.container_id)
            return False
        self._journal.erase(action.container_id)
        return True

    def _undo_refused(self, action: Connect, refused: EngineRefusedError) -> NoReturn:
        """Remove the configuration that a refused connect left, then raise the refusal.

        If that fails, the note stays, and a `Restore` is planned later.
        """
        try:
            self._recovery.restore(Restore(action.container_id, action.container))
        except EngineRefusedError as error:
            refused.add_note(f"and {error}")
        raise refused

    # --- reconnect ----------------------------------------------------------------------------------------

    def _reconnect(self, action: Reconnect) -> bool:
        inspected = self._client.inspect(action.container_id)
        endpoint = endpoint_on_network(inspected, action.network_id, action.network)
        if endpoint is None or has_address(endpoint, inspected, action):
            return False
        old = user_settings(endpoint, inspected)
        if not self._add_mac(old, action, endpoint, inspected):
            return False
        self._replace_endpoint(action, inspected, old=old, new=moved_endpoint(old, action.address))
        return True

    def _add_mac(self, settings: dict[str, Any], action: Reconnect, endpoint: Json, inspected: Json) -> bool:
        """Add the MAC address to `settings` where the move must keep it; False where the move has to wait.

        Raises `EngineRefusedError` where the user chose the MAC address and the engine cannot keep it.
        """
        api = self._client.api_version()
        mac = mac_of(endpoint, inspected, api)
        if mac.origin is MacOrigin.GENERATED:
            return True
        if mac.origin is MacOrigin.HIDDEN:
            # Wait for the container's start, where the engine then shows the origin, or can keep any MAC
            # address. Other engines show no more at the start, so the container is moved now.
            return not (self._client.supports(CONNECT_KEEPS_MAC) or api < MAC_IS_RANDOM)
        if self._client.supports(CONNECT_KEEPS_MAC):
            settings[MAC] = mac.address
        elif mac.origin is MacOrigin.CHOSEN:
            network = f"name={action.network},ip6={action.address},mac-address={mac.address}"
            raise MacAddressError(
                f"moving {action.container} on {action.network} to {action.address}: "
                f"the engine would not keep the MAC address {mac.address} that it was created with",
                hint=f"docker run --network {network} …",
            )
        else:
            log.info(
                "moving %s on %s: the MAC address %s changes; unknown whether the user chose it",
                action.container,
                action.network,
                mac.address,
            )
        return True

    # --- release, vacate ----------------------------------------------------------------------------------

    def _release(self, action: Release | Vacate) -> bool:
        """Give our address up. The endpoint's mark says what replaces it, if anything."""
        inspected = self._client.inspect(action.container_id)
        endpoint = endpoint_on_network(inspected, action.network_id, action.network)
        if endpoint is None or not _is_still_due(action, endpoint, inspected):
            return False
        mark = mark_of(endpoint) or ""
        user = user_settings(endpoint, inspected)
        if mark.startswith(RESTORE_RUNNING):
            addresses = without_addresses(endpoint, IPV6)["IPAMConfig"]
            new = temporary_endpoint({**user, "IPAMConfig": addresses}, user, RESTORE_RUNNING)
            self._replace_endpoint(action, inspected, old=user, new=new)
            return True
        if mark == ADDED:
            doing = f"taking {action.address} back from {action.container}"
            self._client.disconnect(action.container_id, action.network_id, doing)
            return True
        if mark.startswith(MOVED):
            self._restore_original(action, inspected, user)
            return True
        return False

    def _restore_original(self, action: Release | Vacate, inspected: Json, moved: Json) -> None:
        """Replace a moved endpoint by one with the user's own address, or with one of the engine's choice."""
        try:
            self._replace_endpoint(action, inspected, old=moved, new=original_endpoint(moved))
        except (GoneError, NotFinishedError):
            raise
        except EngineRefusedError:
            # Another container may have taken the user's IPv6 address meanwhile.
            self._replace_endpoint(action, inspected, old=moved, new=without_addresses(moved, IPV6))

    # --- disconnect and connect ---------------------------------------------------------------------------

    def _replace_endpoint(self, action: EndpointChange, inspected: Json, *, old: Json, new: Json) -> None:
        """Replace an endpoint by one with the settings `new`.

        Where the engine refuses `new`, the container is attached again with the settings `old`, and the
        refusal is raised. For a temporary endpoint, `old` are the settings in its mark.
        """
        address = new["IPAMConfig"].get(IPV6, "an address of the engine's choice")
        doing = f"moving {action.container} on {action.network} to {address}"
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
            # The engine may still carry the call out: the note's age counts from now (see `LATE_SECONDS`).
            self._journal.write(action.container_id, unfinished)
            raise
        self._journal.erase(action.container_id)

    def _disconnect(
        self, action: EndpointChange, unfinished: Unfinished, inspected: Json, doing: str
    ) -> None:
        """Disconnect the old endpoint. Where that is refused, nothing has changed, so no note is needed."""
        try:
            self._attachments.detach(action.container_id, unfinished, inspected, doing)
        except EngineRefusedError:
            self._journal.erase(action.container_id)
            raise


def _is_still_due(action: Release | Vacate, endpoint: Json, inspected: Json) -> bool:
    """Whether the container is still in the state that the action was planned for."""
    if isinstance(action, Release):
        return not inspected["State"]["Running"]
    return inspected["State"]["Running"] and ipv6(endpoint.get("GlobalIPv6Address")) == action.address
