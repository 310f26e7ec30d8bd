"""Networks: which one a label means, and what follows from its kind."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv6Network

from dockeripv6mapper.mapping.labels import shown
from dockeripv6mapper.model import Container, Endpoint, Network, Reason, RefusedError

SHORT_ID_DIGITS = 12
"""Digits of an ID as `docker network ls` prints it; fewer are not taken for an ID."""

NAT = "nat"
"""The gateway mode of a bridge network for which none was named, since engine 28."""
BRIDGE_PREFIX = "br-"
PREDEFINED_BRIDGES = ("docker0", "docker_gwbridge")

CREATE_HINT = "docker network create --ipv6 --subnet PREFIX::/80"


class Networks:
    """All networks of the engine, found by name or ID."""

    def __init__(self, networks: Iterable[Network] = (), *, complete: bool = True) -> None:
        self.complete = complete
        """Whether there are no others, which the engine has and which could not be read."""
        self._by_id = {network.id: network for network in networks}
        self._by_name: dict[str, list[Network]] = {}
        for network in self._by_id.values():
            self._by_name.setdefault(network.name, []).append(network)

    def __iter__(self) -> Iterator[Network]:
        return iter(self._by_id.values())

    def find(self, reference: str) -> Network:
        """The network that `reference` names, in the engine's own order: ID, name, the ID's beginning.

        Raises `RefusedError` where there is none or more than one.
        """
        if network := self._by_id.get(reference):
            return network
        found = self._by_name.get(reference, [])
        if not found and len(reference) >= SHORT_ID_DIGITS:
            found = [network for network in self if network.id.startswith(reference)]
        if not found:
            raise RefusedError(Reason.NETWORK_NOT_FOUND, f"there is no network {shown(reference)}")
        if len(found) > 1:
            raise RefusedError(
                Reason.NETWORK_AMBIGUOUS, f"{len(found)} networks are called {shown(reference)}"
            )
        return found[0]

    def get(self, network_id: str) -> Network | None:
        """The network of an ID."""
        return self._by_id.get(network_id)

    def of(self, endpoint: Endpoint) -> Network | None:
        """The network that an endpoint is on; None where it is gone, or its name not unique."""
        if endpoint.network_id:
            return self._by_id.get(endpoint.network_id)
        named = self._by_name.get(endpoint.network, [])
        return named[0] if len(named) == 1 else self._by_id.get(endpoint.network)

    def endpoint(self, container: Container, network_id: str, name: str) -> Endpoint | None:
        """The container's endpoint on a network, if it has one.

        A stopped container's may be on an earlier network of that name: what its user chose stands there.
        """
        for endpoint in container.endpoints:
            network = self.of(endpoint)
            if network.id == network_id if network else endpoint.network == name:
                return endpoint
        return None


def mapped_subnet(network: Network) -> IPv6Network:
    """The subnet that addresses are placed in: the first IPv6 one. Raises `RefusedError`."""
    if network.default_bridge:
        raise RefusedError(
            Reason.NETWORK_PREDEFINED,
            f"the predefined network {network.name} takes no requested address: {CREATE_HINT} NAME",
        )
    if not network.ipv6 or not network.subnets:
        raise RefusedError(
            Reason.NETWORK_WITHOUT_IPV6,
            f"network {network.name} has no IPv6 subnet: {CREATE_HINT} {network.name}",
        )
    return network.subnets[0]


def needs_proxy(network: Network) -> bool:
    """Whether the network's addresses are behind the host rather than on the uplink's link already.

    A bridge and ipvlan in its layer 3 modes route; macvlan and ipvlan L2 answer for themselves.
    """
    if network.driver == "bridge":
        return not network.internal
    return network.driver == "ipvlan" and network.ipvlan_mode in ("l3", "l3s")


def is_named_by_engine(link: str) -> bool:
    """Whether a link has a name that an engine gives to bridges: `br-` and an ID, or a predefined one."""
    return is_called_by_an_id(link) or link in PREDEFINED_BRIDGES


def is_called_by_an_id(link: str) -> bool:
    """Whether a link is called as an engine calls a network's bridge that nobody named: `br-` and an ID."""
    digits = link.removeprefix(BRIDGE_PREFIX)
    return digits != link and len(digits) == SHORT_ID_DIGITS and set(digits) <= set("0123456789abcdef")


def has_own_network(mode: str) -> bool:
    """Whether a container of this `HostConfig.NetworkMode` can be connected to networks."""
    return mode not in ("host", "none") and not mode.startswith("container:")


def check_connectable(container: Container) -> None:
    """Refuse a container that shares somebody else's network namespace, or has none of its own.

    Raises `RefusedError`.
    """
    mode = container.network_mode or ""
    if not has_own_network(mode):
        raise RefusedError(
            Reason.NOT_CONNECTABLE,
            f"a container with --network {mode} cannot be connected to a network",
        )
