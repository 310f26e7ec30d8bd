"""Actions: the frozen types of what is to be done. `mapping.planner` plans them, engine and kernel act."""

from dataclasses import dataclass
from ipaddress import IPv6Address


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """A change of a container's endpoint on a network."""

    container_id: str
    container: str
    network_id: str
    """The network's name, where it was removed."""
    network: str
    address: IPv6Address


@dataclass(frozen=True, slots=True)
class Connect(EndpointChange):
    """Attach the container to the network at the address."""

    priority: int = 0
    """The gateway priority of the endpoint, where the engine knows priorities; 0: none is set."""

    def __str__(self) -> str:
        return f"connect container {self.container} to network {self.network} at {self.address}"


@dataclass(frozen=True, slots=True)
class Reconnect(EndpointChange):
    """Move the container's endpoint on the network to the address, keeping all else that it has."""

    def __str__(self) -> str:
        return f"move container {self.container} on network {self.network} to {self.address}"


@dataclass(frozen=True, slots=True)
class Release(EndpointChange):
    """Take the mapper's address from a stopped container that may not keep it.

    Its next start would fail, or take an address that another container is to have.
    """

    def __str__(self) -> str:
        return f"take {self.address} on network {self.network} back from container {self.container}"


@dataclass(frozen=True, slots=True)
class Vacate(EndpointChange):
    """Have a running container give up the mapper's address until it can be moved.

    It is in a cycle of containers that have each other's addresses: before one gives up, none can be moved.
    """

    def __str__(self) -> str:
        return f"have container {self.container} give up {self.address} on network {self.network} for now"


@dataclass(frozen=True, slots=True)
class Restore:
    """Finish an interrupted change of a container's endpoint, of this process or an earlier one."""

    container_id: str
    container: str

    def __str__(self) -> str:
        return f"finish the interrupted change of container {self.container}"


EndpointAction = Connect | Reconnect | Release | Vacate | Restore


@dataclass(frozen=True, slots=True)
class SysctlChange:
    """Set a sysctl; `old` is None where it could not be read."""

    key: str
    """A path below net/ipv6: a link's name may hold dots."""
    old: str | None
    new: str

    @property
    def name(self) -> str:
        """The key as `sysctl` takes it, which writes a dot in a link's name as a slash."""
        return "net.ipv6." + ".".join(part.replace(".", "/") for part in self.key.split("/"))
