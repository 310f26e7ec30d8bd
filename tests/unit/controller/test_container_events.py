"""The lifecycle: what a creation, start, death and end lead to, and when a container is looked at."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv6Address

import pytest

from dockeripv6mapper.actions import Connect, EndpointAction
from dockeripv6mapper.controller.loop import Controller
from dockeripv6mapper.controller.timers import Retry, Timers, Verify
from dockeripv6mapper.engine.events import Change
from dockeripv6mapper.errors import EngineUnavailableError
from dockeripv6mapper.model import ProxyEntry
from tests.lab.waiting import eventually
from tests.unit.builders import HE_IPV6, HE_IPV6_ID, MON_CONTAINER, container, endpoint
from tests.unit.controller.world import NEVER, World, event, running, world_with

ENTRY = ProxyEntry(MON_CONTAINER, "eth0")
CREATED = container(network="he_ipv6")
CONFIGURED = replace(CREATED, endpoints=(endpoint(None, MON_CONTAINER),))
RUNNING = replace(CREATED, running=True)
ATTACHED = replace(RUNNING, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
CONNECT = Connect(CREATED.id, CREATED.name, HE_IPV6_ID, HE_IPV6, MON_CONTAINER)
OTHER = IPv6Address("2001:470:b080:103:1::77")
BYSTANDER = container("bystander")


def test_a_created_container_is_connected_before_its_start() -> None:
    """On the create event; the entry follows when it runs."""
    world = World()
    with running(world) as controller:
        eventually(lambda: world.written)
        world.containers[CREATED.id] = CREATED
        controller.post(event(CREATED, Change.CREATED))
        eventually(lambda: world.actions)
        assert not world.entries
        world.containers[CREATED.id] = ATTACHED
        controller.post(event(CREATED, Change.STARTED))
        eventually(lambda: ENTRY in world.entries)
    assert len(world.actions) == 1


def test_a_death_removes_the_entry_although_the_engine_still_lists_the_container_as_running() -> None:
    """Engine 20.10 does so for some milliseconds."""
    world = world_with(ATTACHED)
    with running(world) as controller:
        eventually(lambda: ENTRY in world.entries)
        controller.post(event(ATTACHED, Change.DIED))
        eventually(lambda: not world.entries)
        controller.post(event(ATTACHED, Change.OTHER))
        world.containers[ATTACHED.id] = CONFIGURED
        eventually(lambda: not world.entries)


def test_a_start_is_acted_upon_before_anybody_has_looked() -> None:
    """The address is the one that the container was configured with."""
    world = world_with(CONFIGURED)
    looking = threading.Event()
    world.looking = looking.wait
    with running(world) as controller:
        eventually(lambda: world.written)
        controller.post(event(CREATED, Change.STARTED))
        eventually(lambda: ENTRY in world.entries)
        looking.set()


@pytest.mark.parametrize("change", [Change.DETACHED, Change.ATTACHED])
def test_a_created_container_without_its_endpoint_is_connected_again(change: Change) -> None:
    """After a disconnect, and after a start that failed."""
    world = world_with(CONFIGURED)
    with running(world) as controller:
        eventually(lambda: world.written)
        world.containers[CONFIGURED.id] = CREATED
        controller.post(event(CONFIGURED, change))
        eventually(lambda: [type(action) for action in world.actions] == [Connect])


def hanging_looks(world: World) -> tuple[threading.Event, threading.Event]:
    """Have every look hang; of the events one tells that a look has begun, the other lets all go on."""
    begun, go_on = threading.Event(), threading.Event()

    def look() -> None:
        begun.set()
        go_on.wait()

    world.looking = look
    return begun, go_on


def test_a_container_that_starts_while_it_is_attached_is_proxied_as_soon_as_that_is_done() -> None:
    """Nobody asks for a look at it before: the engine lets nobody look while it attaches."""
    world, other = World(lists_images=True), container("other", network="he_ipv6")
    looked_at, looking = hanging_looks(world)
    attaching = threading.Event()
    begun: list[str] = []

    def attach(action: EndpointAction) -> None:
        begun.append(action.container_id)
        attaching.wait()

    world.failing = attach
    with running(world) as controller:
        try:
            eventually(lambda: world.written)
            world.containers = {CREATED.id: CREATED, other.id: other}
            controller.post(event(CREATED, Change.CREATED))
            controller.post(event(CREATED, Change.STARTED))
            controller.post(event(CREATED, Change.ATTACHED))
            controller.post(event(other, Change.CREATED))
            eventually(lambda: begun == [CREATED.id, other.id])
            assert not looked_at.is_set()
            world.containers[CREATED.id] = RUNNING
            attaching.set()
            eventually(lambda: ENTRY in world.entries)
        finally:
            attaching.set()
            looking.set()


@contextmanager
def held(world: World, *but: str) -> Iterator[list[str]]:
    """The engine hangs in each action, but on some containers; yields those that it was asked to act on."""
    begun: list[str] = []
    released = threading.Event()

    def act(action: EndpointAction) -> None:
        if action.container_id not in but:
            begun.append(action.container_id)
            released.wait()

    world.failing = act
    try:
        yield begun
    finally:
        released.set()


def heard_of(controller: Controller, timers: Timers) -> None:
    """Wait until the loop has dealt with all that was posted before."""
    controller.post(event(BYSTANDER, Change.DIED))
    eventually(lambda: Verify(BYSTANDER.id) in timers)


def test_an_attachment_by_a_running_action_causes_no_inspection() -> None:
    """The action is followed by one in any case."""
    world, timers = World(containers={BYSTANDER.id: BYSTANDER}, lists_images=True), Timers()
    with running(world, timers=timers) as controller, held(world) as begun:
        eventually(lambda: world.written)
        world.containers[CREATED.id] = CREATED
        controller.post(event(CREATED, Change.CREATED))
        eventually(lambda: begun)
        controller.post(event(CREATED, Change.ATTACHED))
        heard_of(controller, timers)
        assert CREATED.id not in world.looked


def test_a_rename_is_looked_at_while_the_container_is_attached() -> None:
    """The engine may not have begun with that, and others wait for the name."""
    world = World(lists_images=True)
    with running(world) as controller, held(world) as begun:
        eventually(lambda: world.written)
        world.containers[CREATED.id] = CREATED
        controller.post(event(CREATED, Change.CREATED))
        eventually(lambda: begun)
        controller.post(event(CREATED, Change.OTHER))
        eventually(lambda: world.looked)


def test_a_start_counts_before_anybody_has_looked() -> None:
    """While its predecessor is being attached and runs, a recreation is not asked for its address."""
    recreation = replace(CREATED, id="b" * 64, created=CREATED.created + 1)
    other = container("other", network="he_ipv6")
    world = World(lists_images=True)
    with running(world) as controller, held(world) as begun:
        eventually(lambda: world.written)
        for each in (CREATED, recreation, other):
            world.containers[each.id] = each
            controller.post(event(each, Change.CREATED))
            if each is CREATED:
                controller.post(event(each, Change.STARTED))
        eventually(lambda: other.id in begun)
        assert recreation.id not in begun


def test_a_disconnect_after_a_start_that_failed_is_looked_at_at_once() -> None:
    """Also where a look was under way already, whose answer comes too late."""
    world, timers = world_with(CONFIGURED, BYSTANDER), Timers()
    begun, looking = hanging_looks(world)
    with running(world, timers=timers) as controller:
        eventually(lambda: world.written)
        controller.post(event(CONFIGURED, Change.ATTACHED))
        controller.post(event(CONFIGURED, Change.DETACHED))
        assert begun.wait(timeout=10)
        world.containers[CONFIGURED.id] = CREATED
        controller.post(event(CONFIGURED, Change.DETACHED))
        heard_of(controller, timers)
        looking.set()
        eventually(lambda: [type(action) for action in world.actions] == [Connect])


def test_a_creation_that_is_heard_of_late_takes_nothing_back() -> None:
    """The first list was faster, and showed the container running."""
    world = world_with(ATTACHED)
    with running(world) as controller:
        eventually(lambda: ENTRY in world.entries)
        controller.post(event(CREATED, Change.CREATED))
        eventually(lambda: world.looked)
    assert not world.removed
    assert not world.actions


def test_a_death_without_an_end_is_verified() -> None:
    """The container was started again, of which nothing was heard."""
    world = world_with(ATTACHED)
    with running(world, NEVER) as controller:
        eventually(lambda: ENTRY in world.entries)
        controller.post(event(ATTACHED, Change.DIED))
        eventually(lambda: world.removed)
        eventually(lambda: ENTRY in world.entries)


@contextmanager
def failed(world: World, timers: Timers) -> Iterator[Controller]:
    """A controller whose action on `RUNNING` has failed, and is not tried again for long."""

    def fail(_: EndpointAction) -> None:
        raise EngineUnavailableError("no answer")

    world.failing = fail
    with running(world, NEVER, timers=timers) as controller:
        eventually(lambda: Retry(RUNNING.id) in timers)
        timers.set(Retry(RUNNING.id), 3600.0)
        yield controller


def test_what_failed_for_a_container_is_tried_again_when_something_happens_to_it() -> None:
    """It may succeed now."""
    world, timers = world_with(RUNNING), Timers()
    with failed(world, timers) as controller:
        world.failing = lambda _: None
        controller.post(event(RUNNING, Change.OTHER))
        eventually(lambda: ENTRY in world.entries)


def test_news_of_a_containers_endpoints_does_not_hasten_what_failed_for_it() -> None:
    """A move that failed has brought them about itself."""
    world, timers = world_with(RUNNING, BYSTANDER), Timers()
    looking = threading.Event()
    with failed(world, timers) as controller:
        world.looking = looking.wait
        controller.post(event(RUNNING, Change.DETACHED))
        controller.post(event(RUNNING, Change.ATTACHED))
        heard_of(controller, timers)
        assert Retry(RUNNING.id) in timers
        looking.set()
