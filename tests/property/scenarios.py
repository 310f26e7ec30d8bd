"""Scenarios: a container, and the action that the daemon plans for it. All types of actions occur."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dockeripv6mapper.actions import Connect, EndpointAction, Reconnect, Release, Vacate
from dockeripv6mapper.controller.jobs import TakeSnapshot
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
"""A user's settings on a network that is not mapped."""

MAC_IS_LOST = frozenset({"26.1", "28.5"})
"""Releases that show the MAC address that a container was created with, but cannot keep it in a move."""


class SimulatedHost:
    """A host with a fake engine and a daemon, which can be replaced by a new process."""

    container: FakeContainer
    """The container of the planned action."""

    def __init__(self, engine: FakeEngine, state_dir: Path) -> None:
        self.engine, self.state_dir, self._kernel = engine, state_dir, World()
        self.refused_starts: list[str] = []
        self.daemon = self.new_daemon()

    def new_daemon(self) -> SimulatedDaemon:
        """Start a new daemon process. It gets no event from before."""
        self.engine.pending_events.clear()
        self.daemon = SimulatedDaemon(self.engine, self._kernel, self.state_dir)
        return self.daemon

    def labelled(self, name: str = NAME, /, **networks: dict[str, Any]) -> FakeContainer:
        """Create a container with labels, on these networks."""
        return self.engine.create(name, LABEL, networks)

    def running(self, name: str = NAME, /, **networks: dict[str, Any]) -> FakeContainer:
        """Create and start a container with labels, on these networks."""
        container = self.labelled(name, **networks)
        self.engine.start(container)
        return container

    def unlabelled(self, settings: dict[str, Any], name: str = "unlabelled") -> FakeContainer:
        """Create and start a container without labels."""
        container = self.engine.create(name, {}, {HE_IPV6: settings})
        self.engine.start(container)
        return container

    def plans(self, kind: type[EndpointAction]) -> bool:
        """Whether a new daemon plans an action of this type, after its first list."""
        self.new_daemon().run(TakeSnapshot)
        self.daemon.run_until_idle(act=False)
        return any(isinstance(action, kind) for action in self.daemon.actions)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A container `a`, and the action that the daemon plans for it."""

    name: str
    prepare: Callable[[SimulatedHost], object]
    action: type[EndpointAction]
    unseen_change: Callable[[SimulatedHost], None] = lambda _: None
    """Happens after the action is planned; the daemon gets no event of it."""
    mapped: bool = True
    """Whether `a` has its address in the end."""
    releases: frozenset[str] = frozenset({"20.10", "26.1", "28.5", "29.1", "29.7"})


def _stopped(host: SimulatedHost) -> None:
    container = host.running(he_ipv6=all_settings(1))
    host.engine.stop(container)


def _held_by_another(**networks: dict[str, Any]) -> Callable[[SimulatedHost], None]:
    """`a` was mapped and is stopped; another container holds its address now."""

    def prepare(host: SimulatedHost) -> None:
        container = host.running(**networks)
        host.daemon.run_until_idle()
        host.engine.stop(container)
        host.unlabelled({"IPAMConfig": {"IPv6Address": str(ADDRESS)}})

    return prepare


def _swapped(first: dict[str, Any], second: dict[str, Any]) -> Callable[[SimulatedHost], None]:
    """Two mapped containers whose names were swapped: one must release its address first."""

    def prepare(host: SimulatedHost) -> None:
        containers = [host.running(OTHER_NAME, **first), host.running(NAME, **second)]
        host.daemon.run_until_idle()
        for container, name in zip(
            (*containers, containers[0]), ("between-names", OTHER_NAME, NAME), strict=True
        ):
            host.engine.rename(container, name)

    return prepare


def _with_mac(*, running: bool, **networks: dict[str, Any]) -> Callable[[SimulatedHost], None]:
    def prepare(host: SimulatedHost) -> None:
        container = host.engine.create(NAME, LABEL, networks, MAC)
        if running:
            host.engine.start(container)

    return prepare


def _stopped_with_mac(host: SimulatedHost) -> None:
    container = host.engine.create(NAME, LABEL, {HE_IPV6: all_settings(1)}, MAC)
    host.engine.start(container)
    host.engine.stop(container)


def _take_address(host: SimulatedHost) -> None:
    host.unlabelled({"IPAMConfig": {"IPv6Address": str(ADDRESS)}})
    host.engine.pending_events.clear()


def _mapped_elsewhere(host: SimulatedHost) -> None:
    host.running(other=ELSEWHERE)


def _attached_elsewhere(host: SimulatedHost) -> None:
    host.running(he_ipv6=all_settings(1))


SECOND_MAC = {**all_settings(1), "MacAddress": MAC}

SCENARIOS = (
    Scenario("connect created", lambda host: host.labelled(other=ELSEWHERE), Connect),
    Scenario("connect running", _mapped_elsewhere, Connect),
    Scenario("connect refused", _mapped_elsewhere, Connect, _take_address, mapped=False),
    Scenario("move created", lambda host: host.labelled(he_ipv6=all_settings(1)), Reconnect),
    Scenario("move stopped", _stopped, Reconnect),
    Scenario("move running", _attached_elsewhere, Reconnect),
    Scenario("move refused", _attached_elsewhere, Reconnect, _take_address, mapped=False),
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
        releases=MAC_IS_LOST,
    ),
    Scenario(
        "move that would lose the second network's MAC address",
        lambda host: host.labelled(other=ELSEWHERE, he_ipv6=SECOND_MAC),
        Reconnect,
        mapped=False,
        releases=frozenset({"26.1"}),
    ),
    Scenario("release an added address", _held_by_another(other=ELSEWHERE), Release, mapped=False),
    Scenario("release a moved one", _held_by_another(he_ipv6=all_settings(1)), Release, mapped=False),
    Scenario(
        "release to the user's address",
        _held_by_another(he_ipv6=all_settings(1, USERS_ADDRESS)),
        Release,
        mapped=False,
    ),
    Scenario("vacate added addresses", _swapped({"other": {}}, {"other": ELSEWHERE}), Vacate),
    Scenario("vacate moved ones", _swapped({HE_IPV6: all_settings(1)}, {HE_IPV6: all_settings(2)}), Vacate),
    Scenario(
        "vacate to the user's address",
        _swapped({HE_IPV6: all_settings(1, SUBNET[0x78])}, {HE_IPV6: all_settings(2, USERS_ADDRESS)}),
        Vacate,
    ),
)
