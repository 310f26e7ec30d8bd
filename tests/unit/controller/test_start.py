"""Start of the daemon: entries and rules of an earlier daemon stay until the facts are complete."""

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
from tests.unit.controller.world import World, event, running_controller

ENTRY = ProxyEntry(MON_CONTAINER, "eth0")
WEB = Opening(MON_CONTAINER, "tcp", 80, 80)
SERVING = container(
    network="he_ipv6", ports="80", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),)
)
LEFT = FirewallRules(DEFAULT_FWMARK, frozenset({WEB}), frozenset({MON_CONTAINER}), ("eth0",))
CLOSED = Settings(firewall=FirewallMode.CLOSED)


class FullPassSignal(Meter):
    """A meter that sets `whole` at each full pass."""

    def __init__(self) -> None:
        self.whole = threading.Event()

    def passed(self, seconds: float, *, whole: bool) -> None:  # noqa: ARG002 - the duration does not matter here
        """Set `whole` after a full pass."""
        if whole:
            self.whole.set()


@dataclass
class SlowEngineWorld(World):
    """A world whose engine answers full lists at once, and all else only after `answers_allowed` is set."""

    answers_allowed: threading.Event = field(default_factory=threading.Event)

    def networks(self) -> Listed[Network]:
        """List networks, after `answers_allowed` is set."""
        self.answers_allowed.wait(timeout=10)
        return super().networks()


@pytest.fixture
def world() -> SlowEngineWorld:
    """A host with the entry and the firewall table of an earlier daemon."""
    world = SlowEngineWorld(
        containers={SERVING.id: SERVING}, entries={ENTRY: True}, firewall=LEFT, lists_images=True
    )
    world.on_inspect = lambda: world.answers_allowed.wait(timeout=10)
    return world


def record_firewall_changes(world: World) -> list[FirewallRules]:
    """Record the tables written from now on that differ from `LEFT`."""
    applied: list[FirewallRules] = []
    world.on_write_firewall = lambda rules: applied.append(rules) if rules != LEFT else None
    return applied


@pytest.mark.parametrize(
    "message",
    [NetworksChanged(), ImagesChanged(), event(SERVING, Change.OTHER), event(SERVING, Change.ATTACHED)],
    ids=["network", "image", "container", "endpoint"],
)
def test_an_event_during_the_first_list_removes_nothing(
    world: SlowEngineWorld, message: NetworksChanged | ImagesChanged | ContainerChanged
) -> None:
    """The list is out of date then, and the next inspection or list takes long."""
    passed, applied = FullPassSignal(), record_firewall_changes(world)
    with running_controller(world, CLOSED, meter=passed) as controller:
        world.before_list = lambda: controller.post(message)
        assert passed.whole.wait(timeout=10)
        assert not world.removed_entries
        world.answers_allowed.set()
        if isinstance(message, ContainerChanged):
            eventually(lambda: SERVING.id in world.inspected)
    assert world.entries == {ENTRY: True}
    assert not world.removed_entries
    assert not applied


@pytest.mark.parametrize("change", [Change.DIED, Change.DESTROYED])
def test_a_die_event_during_the_first_list_removes_entry_and_openings(
    world: SlowEngineWorld, change: Change
) -> None:
    """The list may still show the container as running, but the event is newer."""
    passed = FullPassSignal()
    with running_controller(world, CLOSED, meter=passed) as controller:
        world.before_list = lambda: controller.post(event(SERVING, change))
        assert passed.whole.wait(timeout=10)
        assert not world.entries
        eventually(lambda: not world.firewall.openings)
        world.before_list = lambda: None
        world.answers_allowed.set()


@pytest.mark.parametrize("change", [Change.DIED, Change.DESTROYED])
def test_a_container_that_ends_before_its_image_labels_are_known_is_cleaned_up_at_once(
    world: SlowEngineWorld, change: Change
) -> None:
    """Its entry and openings were kept for it, and are removed before the next full pass."""
    asked = threading.Event()

    def refuse() -> None:
        asked.set()
        raise EngineRefusedError("inspecting image: server error")

    world.lists_images = False
    world.on_inspect_image = refuse
    world.answers_allowed.set()
    with running_controller(world, CLOSED) as controller:
        assert asked.wait(timeout=10)
        assert world.entries == {ENTRY: True}
        assert world.firewall.openings == {WEB}
        ended = world.containers.pop(SERVING.id)
        if change is Change.DIED:
            world.containers[SERVING.id] = replace(ended, running=False)
        controller.post(event(ended, change))
        eventually(lambda: not world.entries and not world.firewall.openings, within=5)


def test_a_host_that_cannot_be_observed_is_not_changed(world: SlowEngineWorld) -> None:
    """The uplinks are unknown then, so closed addresses stay closed."""

    def fail() -> None:
        raise KernelRefusedError("reading links, addresses and routes: No buffer space available")

    passed, applied = FullPassSignal(), record_firewall_changes(world)
    world.on_observe = fail
    with running_controller(world, replace(CLOSED, resync=0.05), meter=passed):
        assert passed.whole.wait(timeout=10)
        assert not applied
        world.on_observe = lambda: None
        world.answers_allowed.set()
        passed.whole.clear()
        assert passed.whole.wait(timeout=10)
    assert world.entries == {ENTRY: True}
    assert world.firewall == LEFT
