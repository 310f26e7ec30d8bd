"""Draws a sequence of steps from a seed."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from tests.lab.chaos.steps import (
    HELD_SUFFIX,
    NAMES,
    NETWORKS,
    TEMPORARY_NAME,
    AddForeignEntry,
    AwaitConvergence,
    ChangeConnection,
    ChangeNetwork,
    Command,
    ContainerCommand,
    CreateContainer,
    EndpointOptions,
    Fault,
    FirstNetwork,
    KillDaemon,
    KillDaemonAt,
    KillDaemonInMove,
    MapperLabels,
    NetworkChange,
    Rename,
    Step,
    SwapNames,
)

FIRST_IPV4_HOST_PART, IPV4_ADDRESSES = 50, 200
"""Host part of the first IPv4 address that users request, and how many there are."""

T = TypeVar("T")

SLOW_FAULTS = frozenset({Fault.RESTART_ENGINE, Fault.RESTART_ENGINE_LIVE, Fault.KILL_ENGINE})
"""Faults that take seconds, and leave few containers running."""
REPAIRED_BY = {Fault.LINK_DOWN: Fault.LINK_UP, Fault.IPV6_OFF: Fault.IPV6_ON}

KIND_WEIGHTS = {
    "await convergence": 20,
    "create": 22,
    "command": 22,
    "name": 6,
    "connection": 7,
    "network": 3,
    "fault": 20,
}
LABELS_WEIGHTS = dict.fromkeys(MapperLabels, 1) | {
    MapperLabels.NOTHING: 2,
    MapperLabels.ADDRESS: 8,
    MapperLabels.CONTENDED: 4,
}
FIRST_NETWORK_WEIGHTS = dict.fromkeys(FirstNetwork, 1) | {FirstNetwork.DEFAULT: 5, FirstNetwork.MAPPED: 8}
COMMAND_WEIGHTS = dict.fromkeys(Command, 2) | {Command.START: 5, Command.RESTART: 3, Command.REMOVE: 3}
FAULT_WEIGHTS = {
    fault: 1 if fault in SLOW_FAULTS else 4 for fault in Fault if fault not in REPAIRED_BY.values()
}
CALLS_OF_A_MOVE = 4
OPTION_PROBABILITY = 0.6
"""Of each option of an endpoint."""
REPAIR_PROBABILITY = 0.4
"""Of a repair at each step, while a network or the uplink is missing: such a host tests little."""


def draw(seed: int, count: int) -> list[Step]:
    """Draw the sequence of a seed. A longer sequence begins with the shorter one."""
    generator = StepGenerator(random.Random(seed))  # noqa: S311 - reproducible, not secret
    return [generator.step() for _ in range(count)]


class StepGenerator:
    """Draws steps. It tracks roughly what exists, so that most steps apply to something."""

    def __init__(self, random_source: random.Random) -> None:
        self._random = random_source
        self._names: set[str] = set()
        """Names of containers that should exist."""
        self._removed_networks: list[str] = []
        """Networks that were removed."""
        self._lasting_faults: list[Fault] = []
        """Faults that last until they are repaired."""
        self._addresses = 0
        """Number of IPv4 addresses drawn: no two containers request the same one."""
        self._next: list[Step] = []
        """Steps that must follow the last one."""

    def step(self) -> Step:
        """Draw the next step."""
        if self._next:
            return self._next.pop(0)
        if self._removed_networks and self._random.random() < REPAIR_PROBABILITY:
            return ChangeNetwork(self._removed_networks.pop(), NetworkChange.CREATE)
        if self._lasting_faults and self._random.random() < REPAIR_PROBABILITY:
            return REPAIRED_BY[self._lasting_faults.pop()]
        kind = self._weighted(KIND_WEIGHTS)
        if not self._names and kind in ("command", "name", "connection"):
            kind = "create"
        drawn: dict[str, Callable[[], Step]] = {
            "await convergence": AwaitConvergence,
            "create": self._create,
            "command": self._command,
            "name": self._new_name,
            "connection": self._connection,
            "network": self._network,
            "fault": self._fault,
        }
        return drawn[kind]()

    def _create(self) -> Step:
        if not (free := [name for name in NAMES if name not in self._names]):
            return self._command()
        name = self._random.choice(free)
        self._names.add(name)
        labels, first_network = self._weighted(LABELS_WEIGHTS), self._weighted(FIRST_NETWORK_WEIGHTS)
        return CreateContainer(
            name, labels, first_network, self._endpoint_options(), start=self._random.random() < 0.75
        )

    def _endpoint_options(self) -> EndpointOptions:
        self._addresses += 1
        return EndpointOptions(
            ipv4=FIRST_IPV4_HOST_PART + self._addresses % IPV4_ADDRESSES if self._wants_option() else None,
            aliases=("chosen",) if self._wants_option() else (),
            links=("friend:buddy",) if self._wants_option() else (),
            option=self._wants_option(),
            mac=self._wants_option() and self._wants_option(),
        )

    def _wants_option(self) -> bool:
        return self._random.random() < OPTION_PROBABILITY

    def _command(self) -> ContainerCommand:
        command, name = self._weighted(COMMAND_WEIGHTS), self._existing_name()
        if command is Command.REMOVE:
            self._names.discard(name)
        return ContainerCommand(command, name)

    def _new_name(self) -> Step:
        name = self._existing_name()
        other = self._random.choice([each for each in NAMES if each != name])
        if other in self._names:
            return SwapNames(name, other)
        self._names = self._names - {name} | {other}
        return Rename(name, other)

    def _connection(self) -> ChangeConnection:
        name, network, connect = self._existing_name(), self._random.choice(NETWORKS), self._coin()
        return ChangeConnection(
            name, network, connect, self._endpoint_options() if connect else EndpointOptions()
        )

    def _network(self) -> ChangeNetwork:
        network, change = (
            self._random.choice(NETWORKS),
            self._random.choice((NetworkChange.REMOVE, NetworkChange.RECREATE)),
        )
        if change is NetworkChange.REMOVE:
            self._removed_networks.append(network)
        return ChangeNetwork(network, change)

    def _fault(self) -> Step:
        match self._weighted({"kill": 2, "kill at": 4, "kill in move": 8, "entry": 1, "other": 13}):
            case "kill":
                return KillDaemon(self._random.randrange(0, 500, 20))
            case "kill at":
                return KillDaemonAt(self._random.choice(("connect", "disconnect")), after=self._coin())
            case "kill in move":
                return self._kill_in_move()
            case "entry":
                return AddForeignEntry(self._random.choice((HELD_SUFFIX, 0xF0)))
        fault = self._weighted(FAULT_WEIGHTS)
        if fault in REPAIRED_BY:
            self._lasting_faults.append(fault)
        return fault

    def _kill_in_move(self) -> Step:
        """Create a running container with all options, and rename it: the daemon has to move it."""
        name = self._random.choice(NAMES)
        others = [each for each in NAMES if each not in self._names | {name}]
        labels = self._random.choice((MapperLabels.ADDRESS, MapperLabels.PORTS))
        options = replace(
            self._endpoint_options(),
            ipv4=FIRST_IPV4_HOST_PART + self._addresses % IPV4_ADDRESSES,
            aliases=("chosen",),
        )
        new_name = self._random.choice(others or [TEMPORARY_NAME])
        self._names = self._names - {name} | ({new_name} & set(NAMES))
        self._next = [
            CreateContainer(name, labels, FirstNetwork.MAPPED, options, start=True),
            AwaitConvergence(),
            KillDaemonInMove(self._random.randint(1, CALLS_OF_A_MOVE), after=self._coin()),
            Rename(name, new_name),
        ]
        return ContainerCommand(Command.REMOVE, name)

    def _existing_name(self) -> str:
        return self._random.choice(sorted(self._names))

    def _coin(self) -> bool:
        return self._random.random() < 0.5

    def _weighted(self, weights: dict[T, int]) -> T:
        (chosen,) = self._random.choices(list(weights), list(weights.values()))
        return chosen
