"""What the events' thread has begun: the controller may know of the container before it hears of that."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from dockeripv6mapper.actions import Connect
from dockeripv6mapper.controller.observers import Meter
from dockeripv6mapper.controller.queue import ResyncNow
from dockeripv6mapper.engine.events import ContainerChanged
from tests.lab.waiting import eventually
from tests.unit.builders import HE_IPV6, HE_IPV6_ID, MON_CONTAINER, container, endpoint
from tests.unit.controller.world import NEVER, World, running

CREATED = container(network="he_ipv6")
PLUGGED = replace(CREATED, endpoints=(endpoint(None),))
"""Its user has attached it already, where the engine chooses."""
CONNECT = Connect(CREATED.id, CREATED.name, HE_IPV6_ID, HE_IPV6, MON_CONTAINER)


def test_a_list_that_is_faster_than_the_news_of_a_connect_leaves_its_container_alone() -> None:
    """It is not moved meanwhile, nor is its note taken for one of an earlier process."""
    world = World(lists_images=True, begun={PLUGGED.id})
    news = world.begin(PLUGGED, CONNECT)
    passes: list[object] = []
    world.pruning = passes.append
    with running(world) as controller:
        eventually(lambda: passes)
        world.containers[PLUGGED.id] = PLUGGED
        controller.post(ResyncNow())
        eventually(lambda: len(passes) == 2)
        controller.post(news)
        eventually(lambda: world.actions)
        assert world.actions[0] is CONNECT


def test_a_note_that_is_made_while_the_notes_are_looked_through_is_kept() -> None:
    """Of its container nothing has been heard."""
    world = World(lists_images=True)
    kept: list[bool] = []

    def begin_meanwhile(is_known: Callable[[str], bool]) -> None:
        world.begin(CREATED, CONNECT)
        kept.append(is_known(CREATED.id))

    world.pruning = begin_meanwhile
    with running(world, NEVER):
        eventually(lambda: kept == [True])
        world.under_way.end(CREATED.id)


@dataclass
class Overtaken(World):
    """The events' thread begins a connect when the controller is just about to."""

    news: ContainerChanged | None = None

    def unfinished(self, _container_id: str) -> bool:
        """Asked last before an action is begun."""
        if self.news is None:
            self.news = self.begin(CREATED, CONNECT)
        return False


def test_an_action_that_the_events_thread_was_faster_with_is_not_begun_again() -> None:
    """The one that it has begun is awaited."""
    world = Overtaken(lists_images=True, containers={CREATED.id: CREATED})
    with running(world, NEVER) as controller:
        eventually(lambda: world.news)
        assert world.news is not None
        controller.post(world.news)
        eventually(lambda: world.actions)
    assert [action is CONNECT for action in world.actions] == [True]


class FailingOnce(Meter):
    """One with a bug."""

    failed = False

    def event(self, _lag: float) -> None:
        """Fail the first time."""
        if not self.failed:
            self.failed = True
            raise RuntimeError("a bug")


def test_an_unexpected_error_at_the_news_of_a_connect_is_made_good() -> None:
    """The connect is awaited all the same: else its container would be left alone for ever."""
    world, meter = World(lists_images=True, containers={CREATED.id: CREATED}), FailingOnce()
    news = replace(world.begin(CREATED, CONNECT), at=0.0)
    with running(world, meter=meter) as controller:
        controller.post(news)
        eventually(lambda: world.actions == [CONNECT])
        eventually(lambda: CREATED.id not in world.under_way)
    assert meter.failed
