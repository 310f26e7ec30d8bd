"""Situations: containers that the daemon is about to act upon, one for each of its actions."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dockeripv6mapper.actions import Connect, EndpointAction, Reconnect, Release, Vacate
from dockeripv6mapper.controller.workqueue import TakeSnapshot
from dockeripv6mapper.mapping.resolution import address_of
from dockeripv6mapper.settings import Scheme
from tests.property.fake_containers import FakeContainer
from tests.property.fake_engine import IPV4, OTHER, FakeEngine, all_settings
from tests.property.simulated_daemon import SimulatedDaemon
from tests.unit import builders
from tests.unit.builders import HE_IPV6, SUBNET
from tests.unit.controller.world import World

NAME, OTHER_NAME = "a", "b"
LABEL = {"ipv6.mapper.network": HE_IPV6}
ADDRESS, OTHERS_ADDRESS = (
    address_of(name, builders.network(), None, Scheme.MD5_24) for name in (NAME, OTHER_NAME)
)
USERS_ADDRESS = SUBNET[0x77]
MAC = "02:11:22:33:44:55"
ELSEWHERE: dict[str, Any] = {
    "IPAMConfig": {"IPv4Address": str(IPV4[OTHER][50])},
    "Aliases": ["there"],
    "DriverOpts": {"com.example.option": "there"},
}
"""What a user asks for on a network that is not mapped."""

NOT_KEPT_BY_CONNECT = frozenset({"26.1", "28.5"})
"""Releases on which the MAC address that a container was created with can be known, and not be kept."""


class SimulatedHost:
    """An engine, and the daemon of a host, which may be another one later."""

    box: FakeContainer
    """The container that the daemon is about to act upon."""

    def __init__(self, engine: FakeEngine, state_dir: Path) -> None:
        self.engine, self.state_dir, self._kernel = engine, state_dir, World()
        self.refused_starts: list[str] = []
        self.daemon = self.new_daemon()

    def new_daemon(self) -> SimulatedDaemon:
        """Start the daemon anew: it hears of nothing that was before."""
        self.engine.pending_events.clear()
        self.daemon = SimulatedDaemon(self.engine, self._kernel, self.state_dir)
        return self.daemon

    def labelled(self, name: str = NAME, /, **networks: dict[str, Any]) -> FakeContainer:
        """A container that is to be mapped, created on these networks."""
        return self.engine.create(name, LABEL, networks)

    def running(self, name: str = NAME, /, **networks: dict[str, Any]) -> FakeContainer:
        """The same, started."""
        box = self.labelled(name, **networks)
        self.engine.start(box)
        return box

    def stranger(self, settings: dict[str, Any], name: str = "stranger") -> FakeContainer:
        """A container that asks for nothing of the mapper, started."""
        box = self.engine.create(name, {}, {HE_IPV6: settings})
        self.engine.start(box)
        return box

    def is_about_to(self, kind: type[EndpointAction]) -> bool:
        """Whether an action of a kind is planned, after everything was listed."""
        self.new_daemon().do(TakeSnapshot)
        self.daemon.settle(act=False)
        return any(isinstance(action, kind) for action in self.daemon.actions)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A container `a`, and what the daemon is about to do."""

    name: str
    prepare: Callable[[SimulatedHost], object]
    action: type[EndpointAction]
    unseen: Callable[[SimulatedHost], None] = lambda _: None
    """What happens when that is decided, and the daemon does not hear of it."""
    mapped: bool = True
    """Whether `a` ends at its address."""
    releases: frozenset[str] = frozenset({"20.10", "26.1", "28.5", "29.1", "29.7"})


def _stopped(host: SimulatedHost) -> None:
    box = host.running(he_ipv6=all_settings(1))
    host.engine.stop(box)


def _held(**networks: dict[str, Any]) -> Callable[[SimulatedHost], None]:
    """`a`, mapped and stopped; another holds its address now."""

    def prepare(host: SimulatedHost) -> None:
        box = host.running(**networks)
        host.daemon.settle()
        host.engine.stop(box)
        host.stranger({"IPAMConfig": {"IPv6Address": str(ADDRESS)}})

    return prepare


def _swapped(first: dict[str, Any], second: dict[str, Any]) -> Callable[[SimulatedHost], None]:
    """Two containers, mapped, whose names were swapped: one must make way."""

    def prepare(host: SimulatedHost) -> None:
        boxes = [host.running(OTHER_NAME, **first), host.running(NAME, **second)]
        host.daemon.settle()
        for box, name in zip((*boxes, boxes[0]), ("between-names", OTHER_NAME, NAME), strict=True):
            host.engine.rename(box, name)

    return prepare


def _with_mac(*, running: bool, **networks: dict[str, Any]) -> Callable[[SimulatedHost], None]:
    def prepare(host: SimulatedHost) -> None:
        box = host.engine.create(NAME, LABEL, networks, MAC)
        if running:
            host.engine.start(box)

    return prepare


def _stopped_with_mac(host: SimulatedHost) -> None:
    box = host.engine.create(NAME, LABEL, {HE_IPV6: all_settings(1)}, MAC)
    host.engine.start(box)
    host.engine.stop(box)


def _in_the_way(host: SimulatedHost) -> None:
    host.stranger({"IPAMConfig": {"IPv6Address": str(ADDRESS)}})
    host.engine.pending_events.clear()


def _mapped_elsewhere(host: SimulatedHost) -> None:
    host.running(other=ELSEWHERE)


def _moved(host: SimulatedHost) -> None:
    host.running(he_ipv6=all_settings(1))


SECOND_MAC = {**all_settings(1), "MacAddress": MAC}

SCENARIOS = (
    Scenario("connect created", lambda host: host.labelled(other=ELSEWHERE), Connect),
    Scenario("connect running", _mapped_elsewhere, Connect),
    Scenario("connect refused", _mapped_elsewhere, Connect, _in_the_way, mapped=False),
    Scenario("move created", lambda host: host.labelled(he_ipv6=all_settings(1)), Reconnect),
    Scenario("move stopped", _stopped, Reconnect),
    Scenario("move running", _moved, Reconnect),
    Scenario("move refused", _moved, Reconnect, _in_the_way, mapped=False),
    Scenario(
        "move from the user's address",
        lambda host: host.running(he_ipv6=all_settings(1, USERS_ADDRESS)),
        Reconnect,
    ),
    Scenario(
        "move on the second network",
        lambda host: host.running(other=ELSEWHERE, he_ipv6=all_settings(1)),
        Reconnect,
    ),
    Scenario(
        "move with a MAC address",
        _with_mac(running=True, he_ipv6=all_settings(1)),
        Reconnect,
        releases=frozenset({"20.10", "29.7"}),
    ),
    Scenario(
        "move stopped with a MAC address",
        _stopped_with_mac,
        Reconnect,
        releases=frozenset({"20.10", "29.7"}),
    ),
    Scenario(
        "move that would lose a MAC address",
        _with_mac(running=True, he_ipv6=all_settings(1)),
        Reconnect,
        mapped=False,
        releases=NOT_KEPT_BY_CONNECT,
    ),
    Scenario(
        "move that would lose the second network's MAC address",
        lambda host: host.labelled(other=ELSEWHERE, he_ipv6=SECOND_MAC),
        Reconnect,
        mapped=False,
        releases=frozenset({"26.1"}),
    ),
    Scenario("release an added address", _held(other=ELSEWHERE), Release, mapped=False),
    Scenario("release a moved one", _held(he_ipv6=all_settings(1)), Release, mapped=False),
    Scenario(
        "release to the user's address", _held(he_ipv6=all_settings(1, USERS_ADDRESS)), Release, mapped=False
    ),
    Scenario("vacate added addresses", _swapped({"other": {}}, {"other": ELSEWHERE}), Vacate),
    Scenario("vacate moved ones", _swapped({HE_IPV6: all_settings(1)}, {HE_IPV6: all_settings(2)}), Vacate),
    Scenario(
        "vacate to the user's address",
        _swapped({HE_IPV6: all_settings(1, SUBNET[0x78])}, {HE_IPV6: all_settings(2, USERS_ADDRESS)}),
        Vacate,
    ),
)
