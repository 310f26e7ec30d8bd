"""Steps of a chaos sequence, as plain data: operations of a user, faults, and convergence checks.

A step can be run on a host in any state: it ignores what does not exist. So any subsequence can be run too.
"""

from dataclasses import dataclass
from enum import Enum

NAMES = ("ann", "bob", "cat", "dan", "eve")
"""Few, so that containers compete for names and addresses."""
NETWORKS = ("he_ipv6", "other")
TEMPORARY_NAME = "between-names"
"""For a swap of names, or where no other name is free."""
HELD_SUFFIX = 5
"""The suffix that several variants of labels and of network options ask for."""

OPTION = {"com.example.lab": "kept"}
"""A driver option that no driver knows; the engine preserves it."""


class MapperLabels(Enum):
    """A container's labels, without the prefix `ipv6.mapper.`, separated by spaces."""

    NOTHING = ""
    ADDRESS = "network=he_ipv6"
    ELSEWHERE = "network=other"
    CONTENDED = f"network=he_ipv6 suffix={HELD_SUFFIX}"
    PORTS = "network=he_ipv6 ports=80,53/udp"
    UNPROXIED = "network=he_ipv6 proxy=false"
    NONSENSE = "network=he_ipv6 suffix=xyz"
    NOWHERE = "network=nope"

    @property
    def network(self) -> str | None:
        """The network on which the mapper may change the IPv6 address."""
        if self in NEVER_MAPPED:
            return None
        return self.value.split()[0].removeprefix("network=")


NEVER_MAPPED = (MapperLabels.NOTHING, MapperLabels.NONSENSE, MapperLabels.NOWHERE)
"""Labels that never lead to an address: the mapper must not touch such a container."""


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """A user's options for one network, without the IPv6 address."""

    ipv4: int | None = None
    """The host part of an IPv4 address."""
    aliases: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    option: bool = False
    """Whether the driver option `OPTION` is set."""
    mac: bool = False
    """Whether a MAC address is set. Ignored where the engine cannot keep it in a move."""

    def __str__(self) -> str:
        ipv4 = f"--ip {self.ipv4}" if self.ipv4 else ""
        flags = ("--driver-opt" if self.option else "", "--mac-address" if self.mac else "")
        return " ".join(filter(None, (ipv4, *self.aliases, *self.links, *flags)))


class FirstNetwork(Enum):
    """The network that a container is created on."""

    DEFAULT = "bridge"
    MAPPED = "he_ipv6"
    OTHER = "other"
    HELD = "he_ipv6 at ::5"
    HOST = "host"

    @property
    def network(self) -> str:
        """The network's name."""
        return self.value.partition(" ")[0]


@dataclass(frozen=True, slots=True)
class CreateContainer:
    """`docker run -d` or `docker create`."""

    name: str
    labels: MapperLabels
    first_network: FirstNetwork
    options: EndpointOptions
    start: bool
    """Whether it is `docker run -d`."""

    def __str__(self) -> str:
        labels, on = self.labels.value or "no labels", f"{self.first_network.value} {self.options}".strip()
        return f"{'run' if self.start else 'create'} {self.name} ({labels}; on {on})"


class Command(Enum):
    """A command on a container: the arguments of `docker`, without the container's name."""

    START = ("start",)
    STOP = ("stop", "-t", "0")
    RESTART = ("restart", "-t", "0")
    KILL = ("kill",)
    PAUSE = ("pause",)
    UNPAUSE = ("unpause",)
    REMOVE = ("rm", "-f")


@dataclass(frozen=True, slots=True)
class ContainerCommand:
    """`docker COMMAND NAME`."""

    command: Command
    name: str

    def __str__(self) -> str:
        return f"{' '.join(self.command.value)} {self.name}"


@dataclass(frozen=True, slots=True)
class Rename:
    """`docker rename`."""

    name: str
    to: str

    def __str__(self) -> str:
        return f"rename {self.name} {self.to}"


@dataclass(frozen=True, slots=True)
class SwapNames:
    """Two containers swap their names, by three renames."""

    name: str
    other: str

    def __str__(self) -> str:
        return f"swap the names of {self.name} and {self.other}"


@dataclass(frozen=True, slots=True)
class ChangeConnection:
    """`docker network connect`, or `disconnect`."""

    name: str
    network: str
    connect: bool
    options: EndpointOptions

    def __str__(self) -> str:
        command = "connect" if self.connect else "disconnect"
        return f"network {command} {self.network} {self.name} {self.options}".strip()


class NetworkChange(Enum):
    """A change of a network. Before a removal, its containers are stopped."""

    CREATE = "create"
    REMOVE = "remove"
    RECREATE = "remove and create"


@dataclass(frozen=True, slots=True)
class ChangeNetwork:
    """A network is created, removed, or recreated with the same name."""

    network: str
    change: NetworkChange

    def __str__(self) -> str:
        return f"network: {self.change.value} {self.network}"


@dataclass(frozen=True, slots=True)
class AddForeignEntry:
    """Another program adds a proxy entry, for an address that a container may want."""

    suffix: int

    def __str__(self) -> str:
        return f"foreign proxy entry for suffix {self.suffix:x}"


@dataclass(frozen=True, slots=True)
class KillDaemon:
    """`kill -9` of the daemon after some milliseconds; the next steps go on meanwhile."""

    milliseconds: int

    def __str__(self) -> str:
        return f"kill -9 the daemon in {self.milliseconds} ms"


@dataclass(frozen=True, slots=True)
class KillDaemonAt:
    """`kill -9` of the daemon at its next call of this kind: before the engine gets it, or after."""

    call: str
    """`connect` or `disconnect`."""
    after: bool

    def __str__(self) -> str:
        return f"kill -9 the daemon {'after' if self.after else 'before'} its next {self.call}"


@dataclass(frozen=True, slots=True)
class KillDaemonInMove:
    """`kill -9` of the daemon at one of the calls of its next move, which begins with a disconnect."""

    call: int
    """1 and 3 are disconnects, 2 and 4 connects. A move of one address family has two calls."""
    after: bool

    def __str__(self) -> str:
        return f"kill -9 the daemon {'after' if self.after else 'before'} call {self.call} of its next move"


class Fault(Enum):
    """Faults of host, engine and daemon."""

    RESTART_DAEMON = "restart the daemon"
    FREEZE_DAEMON = "freeze the daemon until the next convergence check"
    RESTART_ENGINE = "restart the engine"
    RESTART_ENGINE_LIVE = "restart the engine with live-restore"
    KILL_ENGINE = "kill -9 the engine and start it"
    CUT_CONNECTIONS = "cut every connection of the daemon to the engine"
    LOSE_EVENTS = "lose all events until the next convergence check"
    FLUSH_PROXIES = "flush all proxy entries"
    LINK_DOWN = "uplink down"
    LINK_UP = "uplink up"
    RECREATE_LINK = "remove and recreate the uplink"
    IPV6_OFF = "disable_ipv6=1 on the uplink"
    IPV6_ON = "disable_ipv6=0 on the uplink"
    RESET_SYSCTLS = "reset the sysctls"
    MOVE_ROUTE = "move the default route to the other link"
    DELETE_TABLE = "delete the nft table"
    FLUSH_ACCEPT_CHAIN = "flush the chain that accepts our mark"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class AwaitConvergence:
    """Wait until engine and kernel are in the expected state."""

    def __str__(self) -> str:
        return "wait for convergence"


Kill = KillDaemon | KillDaemonAt | KillDaemonInMove
Step = (
    CreateContainer
    | ContainerCommand
    | Rename
    | SwapNames
    | ChangeConnection
    | ChangeNetwork
    | AddForeignEntry
    | Kill
    | Fault
    | AwaitConvergence
)
