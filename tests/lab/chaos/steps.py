"""Steps: what a user does and what befalls a host, as plain data that is drawn from a seed.

A step can be carried out on a host in any state: what is not there it leaves alone. So any part of a
sequence is a sequence too.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeVar

NAMES = ("ann", "bob", "cat", "dan", "eve")
"""As few as it takes for containers to come into each other's way."""
NETWORKS = ("he_ipv6", "other")
BETWEEN_NAMES = "between-names"
"""A name that a container has while it changes its own, or where no other is free."""
HELD_SUFFIX = 5
"""The suffix that several label and attachment variants ask for."""

OPTION = {"com.example.lab": "kept"}
"""A driver option that no driver knows; the engine keeps it."""
FIRST_CHOSEN, CHOSEN = 50, 200
"""Host part of the first IPv4 address that users ask for, and how many there are."""

T = TypeVar("T")


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

SLOW_FAULTS = frozenset({Fault.RESTART_ENGINE, Fault.RESTART_ENGINE_LIVE, Fault.KILL_ENGINE})
"""Faults that take seconds, and leave few containers running."""
REPAIRED_BY = {Fault.LINK_DOWN: Fault.LINK_UP, Fault.IPV6_OFF: Fault.IPV6_ON}

KINDS = {"pause": 20, "make": 22, "do": 22, "name": 6, "plug": 7, "network": 3, "fault": 20}
ASKS_WEIGHTS = dict.fromkeys(MapperLabels, 1) | {
    MapperLabels.NOTHING: 2,
    MapperLabels.ADDRESS: 8,
    MapperLabels.CONTENDED: 4,
}
ATTACHED_WEIGHTS = dict.fromkeys(FirstNetwork, 1) | {FirstNetwork.DEFAULT: 5, FirstNetwork.MAPPED: 8}
VERB_WEIGHTS = dict.fromkeys(Command, 2) | {Command.START: 5, Command.RESTART: 3, Command.REMOVE: 3}
FAULT_WEIGHTS = {
    fault: 1 if fault in SLOW_FAULTS else 4 for fault in Fault if fault not in REPAIRED_BY.values()
}
CALLS_OF_A_MOVE = 4
OPTION_PROBABILITY = 0.6
"""How likely each wish is."""
REPAIR_PROBABILITY = 0.4
"""How likely each step is to mend what is broken: a host without network or uplink has nothing to lose."""


def draw(seed: int, count: int) -> list[Step]:
    """Return the sequence of a seed; a longer one begins with the shorter."""
    generator = StepGenerator(random.Random(seed))  # noqa: S311 - to be drawn again from the same seed, not to be secret
    return [generator.step() for _ in range(count)]


class StepGenerator:
    """Draws steps, with a rough idea of what is there, so that most of them find something to act upon."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._names: set[str] = set()
        """Of containers that should be there."""
        self._gone: list[str] = []
        """Networks that should not."""
        self._fault_injector: list[Fault] = []
        """Faults that last until they are mended."""
        self._addresses = 0
        """How many IPv4 addresses were asked for: no two containers ask for one."""
        self._next: list[Step] = []
        """The next steps, where one alone is of no use."""

    def step(self) -> Step:
        """Return the next step."""
        if self._next:
            return self._next.pop(0)
        if self._gone and self._chance.random() < REPAIR_PROBABILITY:
            return ChangeNetwork(self._gone.pop(), NetworkChange.CREATE)
        if self._fault_injector and self._chance.random() < REPAIR_PROBABILITY:
            return REPAIRED_BY[self._fault_injector.pop()]
        kind = self._weighted(KINDS)
        if not self._names and kind in ("do", "name", "plug"):
            kind = "make"
        drawn: dict[str, Callable[[], Step]] = {
            "pause": AwaitConvergence,
            "make": self._make,
            "do": self._do,
            "name": self._name,
            "plug": self._plug,
            "network": self._network,
            "fault": self._fault,
        }
        return drawn[kind]()

    def _make(self) -> Step:
        if not (free := [name for name in NAMES if name not in self._names]):
            return self._do()
        name = self._chance.choice(free)
        self._names.add(name)
        labels, attached = self._weighted(ASKS_WEIGHTS), self._weighted(ATTACHED_WEIGHTS)
        return CreateContainer(
            name, labels, attached, self._endpoint_options(), run=self._chance.random() < 0.75
        )

    def _endpoint_options(self) -> EndpointOptions:
        self._addresses += 1
        return EndpointOptions(
            ipv4=FIRST_CHOSEN + self._addresses % CHOSEN if self._wants_option() else None,
            aliases=("chosen",) if self._wants_option() else (),
            links=("friend:buddy",) if self._wants_option() else (),
            option=self._wants_option(),
            mac=self._wants_option() and self._wants_option(),
        )

    def _wants_option(self) -> bool:
        return self._chance.random() < OPTION_PROBABILITY

    def _do(self) -> ContainerCommand:
        command, name = self._weighted(VERB_WEIGHTS), self._existing_name()
        if command is Command.REMOVE:
            self._names.discard(name)
        return ContainerCommand(command, name)

    def _name(self) -> Step:
        name = self._existing_name()
        other = self._chance.choice([each for each in NAMES if each != name])
        if other in self._names:
            return SwapNames(name, other)
        self._names = self._names - {name} | {other}
        return Rename(name, other)

    def _plug(self) -> ChangeConnection:
        name, network, connect = self._existing_name(), self._chance.choice(NETWORKS), self._coin()
        return ChangeConnection(
            name, network, connect, self._endpoint_options() if connect else EndpointOptions()
        )

    def _network(self) -> ChangeNetwork:
        network, change = (
            self._chance.choice(NETWORKS),
            self._chance.choice((NetworkChange.REMOVE, NetworkChange.RECREATE)),
        )
        if change is NetworkChange.REMOVE:
            self._gone.append(network)
        return ChangeNetwork(network, change)

    def _fault(self) -> Step:
        match self._weighted({"kill": 2, "kill at": 4, "kill in move": 8, "entry": 1, "other": 13}):
            case "kill":
                return KillDaemon(self._chance.randrange(0, 500, 20))
            case "kill at":
                return KillDaemonAt(self._chance.choice(("connect", "disconnect")), after=self._coin())
            case "kill in move":
                return self._kill_in_move()
            case "entry":
                return AddForeignEntry(self._chance.choice((HELD_SUFFIX, 0xF0)))
        fault = self._weighted(FAULT_WEIGHTS)
        if fault in REPAIRED_BY:
            self._fault_injector.append(fault)
        return fault

    def _kill_in_move(self) -> Step:
        """Begin with a running container that its user attached with all wishes: a new name has it moved."""
        name = self._chance.choice(NAMES)
        others = [each for each in NAMES if each not in self._names | {name}]
        labels = self._chance.choice((MapperLabels.ADDRESS, MapperLabels.PORTS))
        options = replace(
            self._endpoint_options(), ipv4=FIRST_CHOSEN + self._addresses % CHOSEN, aliases=("chosen",)
        )
        new_name = self._chance.choice(others or [BETWEEN_NAMES])
        self._names = self._names - {name} | ({new_name} & set(NAMES))
        self._next = [
            CreateContainer(name, labels, FirstNetwork.MAPPED, options, run=True),
            AwaitConvergence(),
            KillDaemonInMove(self._chance.randint(1, CALLS_OF_A_MOVE), after=self._coin()),
            Rename(name, new_name),
        ]
        return ContainerCommand(Command.REMOVE, name)

    def _existing_name(self) -> str:
        return self._chance.choice(sorted(self._names))

    def _coin(self) -> bool:
        return self._chance.random() < 0.5

    def _weighted(self, weights: dict[T, int]) -> T:
        (chosen,) = self._chance.choices(list(weights), list(weights.values()))
        return chosen
