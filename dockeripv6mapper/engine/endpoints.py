"""Endpoints: attaching containers to networks at an address, and taking that back.

Every step leaves the container no worse than before it, also where the process dies right after it. An
address that was requested here carries a mark among the endpoint's driver options, which the engine
keeps and the network drivers ignore: so that only our own is ever taken back.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from dockeripv6mapper.actions import (
    Connect,
    EndpointAction,
    EndpointChange,
    Reconnect,
    Release,
    Restore,
    Vacate,
)
from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.engine.endpoint_settings import (
    ADDED,
    MOVED,
    Json,
    added,
    anywhere,
    has_address,
    is_attached,
    kept,
    moved,
    on_network,
    only_ipv6,
    unmoved,
)
from dockeripv6mapper.engine.fast_path import Sent
from dockeripv6mapper.engine.journal import Journal, Unfinished
from dockeripv6mapper.engine.translate import MARK, ipv6
from dockeripv6mapper.errors import EngineRefusedError, GoneError
from dockeripv6mapper.mapping.networks import has_own_network

MAC_IS_THE_ENDPOINTS = (1, 44)
"""API since which a MAC address belongs to an endpoint, and no connect can give it one; engines before that
apply the container's to every endpoint."""


class Endpoints:
    """The engine's endpoints."""

    def __init__(self, client: Client, journal: Journal) -> None:
        self._client = client
        self._journal = journal

    def apply(self, action: EndpointAction) -> bool:
        """Carry out one action; returns whether it did anything, since somebody may have been faster."""
        with self._forgetting_the_gone(action.container_id):
            match action:
                case Restore():
                    return self._restore(action.container_id)
                case Release() | Vacate():
                    return self._release(action)
                case Reconnect():
                    return self._reconnect(action)
                case Connect():
                    return self._connect(action)
        return False

    def conclude(self, sent: Sent) -> bool:
        """Await the answer to a connect that was asked for already; returns and raises as `apply` does."""
        with self._forgetting_the_gone(sent.action.container_id):
            return self._conclude(sent.action, sent.exchange.result)
        return False

    def unfinished(self, container_id: str) -> bool:
        """Whether a reconnect of the container was begun and not ended: `Restore` comes first then."""
        return self._journal.has(container_id)

    def prune(self, is_known: Callable[[str], bool]) -> None:
        """Forget what was begun on containers that are not known any more."""
        self._journal.prune(is_known)

    @contextmanager
    def _forgetting_the_gone(self, container_id: str) -> Iterator[None]:
        """Take it that a container which is gone needs nothing, and leaves nothing to finish."""
        try:
            yield
        except GoneError:
            self._journal.erase(container_id)

    def _connect(self, action: Connect) -> bool:
        self._journal.write(action.container_id, Unfinished(action.network_id, action.network, None))
        endpoint = added(action.address)
        return self._conclude(
            action,
            lambda doing: self._client.connect(action.container_id, action.network_id, endpoint, doing),
        )

    def _conclude(self, action: Connect, result: Callable[[str], None]) -> bool:
        """Await the `result` of a connect that is in the journal, and leave nothing behind if it is a no."""
        doing = f"connecting {action.container} to {action.network} at {action.address}"
        try:
            result(doing)
        except EngineRefusedError as refused:
            # The create event does not say what a container was attached to by its user, nor how.
            inspected = self._client.inspect(action.container_id)
            left = on_network(inspected, action.network_id, action.network)
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
            self._restore(action.container_id)
        except EngineRefusedError as error:
            refused.add_note(f"and {error}")
        raise refused

    def _defuse(self, container_id: str, unfinished: Unfinished) -> None:
        """Remove what a refused connect leaves behind in a running container's configuration.

        The engine keeps the address that it has just refused, and the container could not be started
        again; it calls the container not connected, so that only a connect that succeeds makes a
        disconnect possible (seen on 20.10 and 28.5).
        """
        doing = f"undoing a refused connect of container {container_id} to {unfinished.network}"
        self._client.connect(container_id, unfinished.network_id, {}, doing)
        self._client.disconnect(container_id, unfinished.network_id, doing)

    def _reconnect(self, action: Reconnect) -> bool:
        inspected = self._client.inspect(action.container_id)
        found = on_network(inspected, action.network_id, action.network)
        if found is None or has_address(found, inspected, action):
            return False
        self._check_mac_is_kept(action, found, inspected)
        old = kept(found, inspected)
        self._exchange(action, old=old, new=moved(old, action.address))
        return True

    def _check_mac_is_kept(self, action: Reconnect, endpoint: Json, inspected: Json) -> None:
        """Refuse to move an endpoint whose MAC address the user chose and the engine would not keep."""
        mode = inspected["HostConfig"]["NetworkMode"]
        first_network = inspected["NetworkSettings"]["Networks"].get(mode)
        chosen = inspected["Config"].get("MacAddress")
        if chosen and endpoint is first_network and self._client.api_version() >= MAC_IS_THE_ENDPOINTS:
            network = f"name={action.network},ip6={action.address},mac-address={chosen}"
            raise EngineRefusedError(
                f"moving {action.container} on {action.network} to {action.address}: "
                f"the engine would not keep the MAC address {chosen} that it was created with",
                hint=f"docker run --network {network} …",
            )

    def _release(self, action: Release | Vacate) -> bool:
        inspected = self._client.inspect(action.container_id)
        found = on_network(inspected, action.network_id, action.network)
        if found is None or not _is_still_to_be_released(found, inspected, action):
            return False
        mark = (found.get("DriverOpts") or {}).get(MARK)
        if mark == ADDED:
            doing = f"taking {action.address} back from {action.container}"
            self._client.disconnect(action.container_id, action.network_id, doing)
        elif mark is not None:
            self._unmove(action, kept(found, inspected), mark.removeprefix(MOVED))
        return mark is not None

    def _unmove(self, action: Release | Vacate, old: Json, users_address: str) -> None:
        try:
            self._exchange(action, old=old, new=unmoved(old, users_address))
        except GoneError:
            raise
        except EngineRefusedError:
            # Of several that hold each other's addresses, one may have what another's user had asked for.
            self._exchange(action, old=old, new=anywhere(old))

    def _exchange(self, action: EndpointChange, *, old: Json, new: Json) -> None:
        container_id, network_id = action.container_id, action.network_id
        addresses = new["IPAMConfig"]
        where = addresses.get("IPv6Address", "an address of the engine's choice")
        doing = f"moving {action.container} on {action.network} to {where}"
        self._journal.write(container_id, Unfinished(network_id, action.network, old))
        try:
            self._client.disconnect(container_id, network_id, doing)
            if "IPv4Address" in addresses:
                # A connect that is refused for its IPv6 address burns the IPv4 address that came with it
                # until the engine restarts (seen on 20.10 and 28.5): ask for the one alone first.
                self._client.connect(container_id, network_id, only_ipv6(addresses), doing)
                self._client.disconnect(container_id, network_id, doing)
            self._client.connect(container_id, network_id, new, doing)
        except EngineRefusedError:
            self._restore(container_id)
            raise
        self._journal.erase(container_id)

    def _restore(self, container_id: str) -> bool:
        """Attach the container again as it was, if it is detached; or leave nothing of a connect to it.

        The journal stays where that fails.
        """
        if (unfinished := self._journal.read(container_id)) is None:
            return False
        inspected = self._client.inspect(container_id)
        found = on_network(inspected, unfinished.network_id, unfinished.network)
        if found is not None and is_attached(found, inspected):
            done = False
        elif unfinished.endpoint is not None:
            self._put_back(container_id, unfinished, unfinished.endpoint)
            done = True
        elif done := found is not None:
            self._defuse(container_id, unfinished)
        self._journal.erase(container_id)
        return done

    def _put_back(self, container_id: str, unfinished: Unfinished, endpoint: Json) -> None:
        network_id = unfinished.network_id
        doing = f"putting container {container_id} back on {unfinished.network}"
        try:
            self._client.connect(container_id, network_id, endpoint, doing)
        except GoneError:
            raise
        except EngineRefusedError:
            # Somebody else may have taken an address meanwhile; being attached matters more than where.
            unaddressed = {key: value for key, value in endpoint.items() if key != "IPAMConfig"}
            self._client.connect(container_id, network_id, unaddressed, doing)


def _is_still_to_be_released(endpoint: Json, inspected: Json, action: Release | Vacate) -> bool:
    """Whether the container is in the state that the action was planned for."""
    if isinstance(action, Release):
        return not inspected["State"]["Running"]
    return inspected["State"]["Running"] and ipv6(endpoint.get("GlobalIPv6Address")) == action.address
