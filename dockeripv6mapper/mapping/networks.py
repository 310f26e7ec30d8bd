"""Networks: which network a label names, its subnet, and which containers can be connected to one."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv6Network

from dockeripv6mapper.mapping.labels import shown
from dockeripv6mapper.model import Container, Endpoint, Network, Reason, RefusedError

SHORT_ID_DIGITS = 12
"""Digits of an ID as `docker network ls` prints it. A shorter text is never matched against IDs."""

NO_UPLINK_DRIVERS = ("overlay", "")
"""Drivers of networks that end at the cluster's hosts; a Swarm network that is not in use has none yet."""
NAT = "nat"
"""The default gateway mode of a bridge network, since engine 28."""
BRIDGE_PREFIX = "br-"
PREDEFINED_BRIDGES = ("docker0", "docker_gwbridge")

CREATE_HINT = "docker network create --ipv6 --subnet PREFIX::/80"


class Networks:
    """All networks of the engine, by name and by ID."""

    def __init__(self, networks: Iterable[Network] = (), *, complete: bool = True) -> None:
        self.complete = complete
        """Whether these are all; False where the engine has networks that could not be read."""
        self._by_id = {network.id: network for network in networks}
        self.bridges = frozenset(network.bridge for network in self._by_id.values() if network.bridge)
        """The names of their bridges on the host."""
        self._by_name: dict[str, list[Network]] = {}
        for network in self._by_id.values():
            self._by_name.setdefault(network.name, []).append(network)

    def __iter__(self) -> Iterator[Network]:
        return iter(self._by_id.values())

    def find(self, reference: str) -> Network:
        """The network that `reference` names. Looked up as the engine does: ID, name, beginning of the ID.

        Raises `RefusedError` where no network matches, or more than one.
        """
        if network := self._by_id.get(reference):
            return network
        matches = self._by_name.get(reference, [])
        if not matches and len(reference) >= SHORT_ID_DIGITS:
            matches = [network for network in self if network.id.startswith(reference)]
        if not matches:
            raise RefusedError(Reason.NETWORK_NOT_FOUND, f"there is no network {shown(reference)}")
        if len(matches) > 1:
            raise RefusedError(
                Reason.NETWORK_AMBIGUOUS, f"{len(matches)} networks are called {shown(reference)}"
            )
        return matches[0]

    def get(self, network_id: str) -> Network | None:
        """The network with this ID; None: there is none."""
        return self._by_id.get(network_id)

    def of(self, endpoint: Endpoint) -> Network | None:
        """The network that an endpoint is on; None where that is gone, or where its name is ambiguous."""
        if endpoint.network_id:
            return self._by_id.get(endpoint.network_id)
        # Before the container's first start, the engine lists only the network's name.
        matches = self._by_name.get(endpoint.network, [])
        return matches[0] if len(matches) == 1 else self._by_id.get(endpoint.network)

    def endpoint(self, container: Container, network_id: str, name: str) -> Endpoint | None:
        """The container's endpoint on a network, if it has one.

        A stopped container may have its endpoint on an earlier network of this name, which is gone. That one
        is returned, too: it holds the user's settings.
        """
        for endpoint in container.endpoints:
            network = self.of(endpoint)
            if network.id == network_id if network else endpoint.network == name:
                return endpoint
        return None


def mapped_subnet(network: Network) -> IPv6Network:
    """The subnet in which addresses are placed: the network's first IPv6 subnet. Raises `RefusedError`."""
    if network.default_bridge:
        raise RefusedError(
            Reason.NETWORK_PREDEFINED,
            f"the predefined network {network.name} takes no requested address: {CREATE_HINT} NAME",
        )
    if unsupported := _why_unsupported(network):
        raise RefusedError(Reason.NETWORK_UNSUPPORTED, f"network {network.name} {unsupported}")
    if not network.ipv6 or not network.subnets:
        raise RefusedError(
            Reason.NETWORK_WITHOUT_IPV6,
            f"network {network.name} has no IPv6 subnet: {CREATE_HINT} {network.name}",
        )
    return network.subnets[0]


def _why_unsupported(network: Network) -> str:
    """Why no container may be attached to a network, whatever its address; "" if one may.

    The engine accepts a container that does not run yet, which then fails to start (seen on 20.10).
    """
    if network.config_only:
        return "is only a configuration, from which networks are made"
    if network.driver in NO_UPLINK_DRIVERS:
        kind = f"has the driver {network.driver}" if network.driver else "has no driver"
        return f"{kind}: its addresses cannot be reached through this host's uplinks"
    if network.takes_services_only:
        return "takes only the Swarm services that name it"
    return ""


def is_named_by_engine(link: str) -> bool:
    """Whether a link has a name as engines give to bridges: `br-` and an ID, or a predefined name."""
    return has_default_bridge_name(link) or link in PREDEFINED_BRIDGES


def has_default_bridge_name(link: str) -> bool:
    """Whether a link has the default name of a network's bridge: `br-` and a short ID."""
    digits = link.removeprefix(BRIDGE_PREFIX)
    return digits != link and len(digits) == SHORT_ID_DIGITS and set(digits) <= set("0123456789abcdef")


def has_own_network(mode: str) -> bool:
    """Whether a container of this `HostConfig.NetworkMode` can be connected to networks."""
    return mode not in ("host", "none") and not mode.startswith("container:")


def check_connectable(container: Container) -> None:
    """Raise `RefusedError` for a container without a network namespace of its own.

    It shares the host's or another container's, or has only a loopback (`--network none`).
    """
    mode = container.network_mode or ""
    if not has_own_network(mode):
        raise RefusedError(
            Reason.NOT_CONNECTABLE,
            f"a container with --network {mode} cannot be connected to a network",
        )
