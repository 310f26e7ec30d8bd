"""Steps: what a user does and what befalls a host, as plain data that is drawn from a seed.

A step can be carried out on a host in any state: what is not there it leaves alone. So any part of a
sequence is a sequence too.
"""

from dataclasses import dataclass
from enum import Enum

NAMES = ("ann", "bob", "cat", "dan", "eve")
"""As few as it takes for containers to come into each other's way."""
NETWORKS = ("he_ipv6", "other")
BETWEEN_NAMES = "between-names"
"""A name that a container has while it changes its own, or where no other is free."""
HELD_SUFFIX = 5
"""The suffix that several label and attachment variants ask for."""

OPTION = {"com.example.lab": "kept"}
"""A driver option that no driver knows; the engine keeps it."""


class MapperLabels(Enum):
    """What a container's labels ask for: what of them follows `ipv6.mapper.`, with spaces between."""

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
"""Labels that come to nothing on any host: such a container is never touched."""


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """What a user asks for on a network besides an IPv6 address."""

    ipv4: int | None = None
    """The host part of an IPv4 address."""
    aliases: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    option: bool = False
    """Whether `OPTION` is among them."""
    mac: bool = False
    """Whether a MAC address is, where the engine can keep it."""

    def __str__(self) -> str:
        ipv4 = f"--ip {self.ipv4}" if self.ipv4 else ""
        flags = ("--driver-opt" if self.option else "", "--mac-address" if self.mac else "")
        return " ".join(filter(None, (ipv4, *self.aliases, *self.links, *flags)))


class FirstNetwork(Enum):
    """What the user attaches a container to when it is made."""

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
    attached: FirstNetwork
    options: EndpointOptions
    run: bool

    def __str__(self) -> str:
        labels, on = self.labels.value or "no labels", f"{self.attached.value} {self.options}".strip()
        return f"{'run' if self.run else 'create'} {self.name} ({labels}; on {on})"


class Command(Enum):
    """What is done to a container: the arguments of `docker`, before its name."""

    START = ("start",)
    STOP = ("stop", "-t", "0")
    RESTART = ("restart", "-t", "0")
    KILL = ("kill",)
    PAUSE = ("pause",)
    UNPAUSE = ("unpause",)
    REMOVE = ("rm", "-f")


@dataclass(frozen=True, slots=True)
class ContainerCommand:
    """`docker VERB NAME`."""

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
    """Two containers take each other's names."""

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
    """What becomes of a network. To remove one, its containers are stopped first."""

    CREATE = "create"
    REMOVE = "remove"
    RECREATE = "remove and create"


@dataclass(frozen=True, slots=True)
class ChangeNetwork:
    """A network comes, goes, or is made anew with the same name."""

    network: str
    change: NetworkChange

    def __str__(self) -> str:
        return f"network: {self.change.value} {self.network}"


@dataclass(frozen=True, slots=True)
class AddForeignEntry:
    """Somebody makes a proxy entry by hand, at an address that a container may want."""

    suffix: int

    def __str__(self) -> str:
        return f"somebody proxies suffix {self.suffix:x}"


@dataclass(frozen=True, slots=True)
class KillDaemon:
    """`kill -9` of the daemon, so many milliseconds into what comes next."""

    milliseconds: int

    def __str__(self) -> str:
        return f"kill -9 the daemon in {self.milliseconds} ms"


@dataclass(frozen=True, slots=True)
class KillDaemonAt:
    """`kill -9` of the daemon at its next call of this kind: before the engine hears of it, or after."""

    call: str
    """`connect` or `disconnect`."""
    after: bool

    def __str__(self) -> str:
        return f"kill -9 the daemon {'after' if self.after else 'before'} its next {self.call}"


@dataclass(frozen=True, slots=True)
class KillDaemonInMove:
    """`kill -9` of the daemon at a call of its next move: that begins with a disconnect."""

    call: int
    """1 and 3 are disconnects, 2 and 4 connects; a move that asks for one address family has two calls."""
    after: bool

    def __str__(self) -> str:
        return f"kill -9 the daemon {'after' if self.after else 'before'} call {self.call} of its next move"


class Fault(Enum):
    """What befalls host, engine and daemon."""

    RESTART_DAEMON = "restart the daemon"
    FREEZE_DAEMON = "freeze the daemon until the next pause"
    RESTART_ENGINE = "restart the engine"
    RESTART_ENGINE_LIVE = "restart the engine with live-restore"
    KILL_ENGINE = "kill -9 the engine and start it"
    CUT_CONNECTIONS = "cut every connection of the daemon to the engine"
    LOSE_EVENTS = "lose all events until the next pause"
    FLUSH_PROXIES = "flush all proxy entries"
    LINK_DOWN = "uplink down"
    LINK_UP = "uplink up"
    RECREATE_LINK = "uplink removed and made anew"
    IPV6_OFF = "disable_ipv6=1 on the uplink"
    IPV6_ON = "disable_ipv6=0 on the uplink"
    RESET_SYSCTLS = "reset the sysctls"
    MOVE_ROUTE = "move the default route to the other link"
    DELETE_TABLE = "delete the nft table"
    FLUSH_HOOKS = "flush the chain that accepts our mark"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class AwaitConvergence:
    """Wait until all is as it should be."""

    def __str__(self) -> str:
        return "pause"


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
