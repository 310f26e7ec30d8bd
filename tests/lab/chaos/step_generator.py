"""Draws a sequence of steps from a seed."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from tests.lab.chaos.steps import (
    BETWEEN_NAMES,
    HELD_SUFFIX,
    NAMES,
    NETWORKS,
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

FIRST_CHOSEN, CHOSEN = 50, 200
"""Host part of the first IPv4 address that users ask for, and how many there are."""

T = TypeVar("T")

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
