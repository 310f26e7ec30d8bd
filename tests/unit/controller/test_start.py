"""The start of a daemon: what an earlier one left stays, whatever the first list does not know yet."""

import threading
from dataclasses import dataclass, field, replace

import pytest

from dockeripv6mapper.controller.observers import Meter
from dockeripv6mapper.engine.events import Change, ContainerChanged, ImagesChanged, NetworksChanged
from dockeripv6mapper.engine.listed import Listed
from dockeripv6mapper.errors import EngineRefusedError, KernelRefusedError
from dockeripv6mapper.model import FirewallRules, Network, Opening, ProxyEntry
from dockeripv6mapper.settings import DEFAULT_FWMARK, FirewallMode, Settings
from tests.lab.waiting import eventually
from tests.unit.builders import MON_CONTAINER, container, endpoint
from tests.unit.controller.world import World, event, running

ENTRY = ProxyEntry(MON_CONTAINER, "eth0")
WEB = Opening(MON_CONTAINER, "tcp", 80, 80)
SERVING = container(
    network="he_ipv6", ports="80", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),)
)
LEFT = FirewallRules(DEFAULT_FWMARK, frozenset({WEB}), frozenset({MON_CONTAINER}), ("eth0",))
CLOSED = Settings(firewall=FirewallMode.CLOSED)


class Passed(Meter):
    """Tells when a full pass was made."""

    def __init__(self) -> None:
        self.whole = threading.Event()

    def passed(self, seconds: float, *, whole: bool) -> None:  # noqa: ARG002 - only that it was made
        """Tell it."""
        if whole:
            self.whole.set()


@dataclass
class LateWorld(World):
    """A world whose engine answers to whole lists, and to everything else only when it is told to."""

    goes_on: threading.Event = field(default_factory=threading.Event)

    def networks(self) -> Listed[Network]:
        """Late."""
        self.goes_on.wait(timeout=10)
        return super().networks()


@pytest.fixture
def world() -> LateWorld:
    """What an earlier daemon left."""
    world = LateWorld(
        containers={SERVING.id: SERVING}, entries={ENTRY: True}, firewall=LEFT, lists_images=True
    )
    world.looking = lambda: world.goes_on.wait(timeout=10)
    return world


def changes_of_the_firewall(world: World) -> list[FirewallRules]:
    """What becomes of the firewall from now on, where that is something else than it was."""
    applied: list[FirewallRules] = []
    world.filtering = lambda rules: applied.append(rules) if rules != LEFT else None
    return applied


@pytest.mark.parametrize(
    "message",
    [NetworksChanged(), ImagesChanged(), event(SERVING, Change.OTHER), event(SERVING, Change.ATTACHED)],
    ids=["network", "image", "container", "endpoint"],
)
def test_what_changes_while_everything_is_listed_takes_nothing_away(
    world: LateWorld, message: NetworksChanged | ImagesChanged | ContainerChanged
) -> None:
    """The list is out of date then, and the answer to the next question may take its time."""
    passed, applied = Passed(), changes_of_the_firewall(world)
    with running(world, CLOSED, meter=passed) as controller:
        world.listing = lambda: controller.post(message)
        assert passed.whole.wait(timeout=10)
        assert not world.removed
        world.goes_on.set()
        if isinstance(message, ContainerChanged):
            eventually(lambda: SERVING.id in world.looked)
    assert world.entries == {ENTRY: True}
    assert not world.removed
    assert not applied


@pytest.mark.parametrize("change", [Change.DIED, Change.DESTROYED])
def test_a_death_while_everything_is_listed_is_a_death(world: LateWorld, change: Change) -> None:
    """The list may still show it as running: what was heard since is newer."""
    passed = Passed()
    with running(world, CLOSED, meter=passed) as controller:
        world.listing = lambda: controller.post(event(SERVING, change))
        assert passed.whole.wait(timeout=10)
        assert not world.entries
        eventually(lambda: not world.firewall.openings)
        world.listing = lambda: None
        world.goes_on.set()


@pytest.mark.parametrize("change", [Change.DIED, Change.DESTROYED])
def test_a_container_that_ends_before_its_image_is_known_leaves_nothing(
    world: LateWorld, change: Change
) -> None:
    """What was spared for it is removed by then, and not at the next full pass."""
    asked = threading.Event()

    def refuse() -> None:
        asked.set()
        raise EngineRefusedError("inspecting image: server error")

    world.lists_images = False
    world.inspecting = refuse
    world.goes_on.set()
    with running(world, CLOSED) as controller:
        assert asked.wait(timeout=10)
        assert world.entries == {ENTRY: True}
        assert world.firewall.openings == {WEB}
        ended = world.containers.pop(SERVING.id)
        if change is Change.DIED:
            world.containers[SERVING.id] = replace(ended, running=False)
        controller.post(event(ended, change))
        eventually(lambda: not world.entries and not world.firewall.openings, within=5)


def test_a_host_that_cannot_be_looked_at_is_left_as_it_is(world: LateWorld) -> None:
    """Which links are uplinks is not known then: what was closed there stays closed."""

    def fail() -> None:
        raise KernelRefusedError("reading links, addresses and routes: No buffer space available")

    passed, applied = Passed(), changes_of_the_firewall(world)
    world.observing = fail
    with running(world, replace(CLOSED, resync=0.05), meter=passed):
        assert passed.whole.wait(timeout=10)
        assert not applied
        world.observing = lambda: None
        world.goes_on.set()
        passed.whole.clear()
        assert passed.whole.wait(timeout=10)
    assert world.entries == {ENTRY: True}
    assert world.firewall == LEFT
