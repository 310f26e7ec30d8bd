"""Container events: the actions and inspections that each kind of event causes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv6Address

import pytest

from dockeripv6mapper.actions import Connect, EndpointAction, Restore
from dockeripv6mapper.controller.loop import Controller
from dockeripv6mapper.controller.timers import Retry, Timers, Verify
from dockeripv6mapper.engine.events import Change
from dockeripv6mapper.errors import EngineUnavailableError
from dockeripv6mapper.model import ProxyEntry
from dockeripv6mapper.settings import Settings
from tests.lab.waiting import eventually
from tests.unit.builders import MON_CONTAINER, container, endpoint
from tests.unit.controller.world import NEVER, World, event, running_controller, world_with

ENTRY = ProxyEntry(MON_CONTAINER, "eth0")
CREATED = container(network="he_ipv6")
CONFIGURED = replace(CREATED, endpoints=(endpoint(None, MON_CONTAINER),))
RUNNING = replace(CREATED, running=True)
ATTACHED = replace(RUNNING, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
OTHER = IPv6Address("2001:470:b080:103:1::77")
UNRELATED = container("unrelated")


def test_a_created_container_is_connected_before_its_start() -> None:
    """The create event causes the connect; the proxy entry is added after the start event."""
    world = World()
    with running_controller(world) as controller:
        eventually(lambda: world.kernel_writes)
        world.containers[CREATED.id] = CREATED
        controller.post(event(CREATED, Change.CREATED))
        eventually(lambda: world.actions)
        assert not world.entries
        world.containers[CREATED.id] = ATTACHED
        controller.post(event(CREATED, Change.STARTED))
        eventually(lambda: ENTRY in world.entries)
    assert len(world.actions) == 1


def test_an_unfinished_change_of_a_created_container_is_finished_before_its_connect() -> None:
    """A connect would replace its note, which may hold settings of the user."""
    world = World(lists_images=True, unfinished_actions={CREATED.id})
    with running_controller(world, NEVER) as controller:
        eventually(lambda: world.image_lists and world.kernel_writes)
        world.containers[CREATED.id] = CREATED
        controller.post(event(CREATED, Change.CREATED))
        eventually(lambda: world.actions)
    assert isinstance(world.actions[0], Restore)


def test_a_die_event_removes_the_entry_while_the_engine_still_lists_the_container_as_running() -> None:
    """Engine 20.10 lists a dead container as running for some milliseconds."""
    world = world_with(ATTACHED)
    with running_controller(world) as controller:
        eventually(lambda: ENTRY in world.entries)
        controller.post(event(ATTACHED, Change.DIED))
        eventually(lambda: not world.entries)
        controller.post(event(ATTACHED, Change.OTHER))
        world.containers[ATTACHED.id] = CONFIGURED
        eventually(lambda: not world.entries)


def test_a_start_event_adds_the_entry_before_the_inspection_returns() -> None:
    """The address is the one in the endpoint's configuration."""
    world = world_with(CONFIGURED)
    inspections_may_continue = threading.Event()
    world.on_inspect = inspections_may_continue.wait
    with running_controller(world) as controller:
        eventually(lambda: world.kernel_writes)
        controller.post(event(CREATED, Change.STARTED))
        eventually(lambda: ENTRY in world.entries)
        inspections_may_continue.set()


@pytest.mark.parametrize("change", [Change.DETACHED, Change.ATTACHED])
def test_a_created_container_without_its_endpoint_is_connected_again(change: Change) -> None:
    """A disconnect removes the endpoint, and so does a failed start."""
    world = world_with(CONFIGURED)
    with running_controller(world) as controller:
        eventually(lambda: world.kernel_writes)
        world.containers[CONFIGURED.id] = CREATED
        controller.post(event(CONFIGURED, change))
        eventually(lambda: [type(action) for action in world.actions] == [Connect])


def block_inspections(world: World) -> tuple[threading.Event, threading.Event]:
    """Block every inspection; return two events: an inspection began, and inspections may continue."""
    began, may_continue = threading.Event(), threading.Event()

    def block() -> None:
        began.set()
        may_continue.wait()

    world.on_inspect = block
    return began, may_continue


def test_a_container_that_starts_during_its_connect_is_proxied_when_the_connect_returns() -> None:
    """It is not inspected before, because the engine blocks inspections during a connect."""
    world, other = World(lists_images=True), container("other", network="he_ipv6")
    inspection_began, inspections_may_continue = block_inspections(world)
    connect_may_return = threading.Event()
    blocked: list[str] = []

    def block(action: EndpointAction) -> None:
        blocked.append(action.container_id)
        connect_may_return.wait()

    world.on_action = block
    with running_controller(world) as controller:
        try:
            eventually(lambda: world.kernel_writes)
            world.containers = {CREATED.id: CREATED, other.id: other}
            controller.post(event(CREATED, Change.CREATED))
            controller.post(event(CREATED, Change.STARTED))
            controller.post(event(CREATED, Change.ATTACHED))
            controller.post(event(other, Change.CREATED))
            eventually(lambda: blocked == [CREATED.id, other.id])
            assert not inspection_began.is_set()
            world.containers[CREATED.id] = RUNNING
            connect_may_return.set()
            eventually(lambda: ENTRY in world.entries)
        finally:
            connect_may_return.set()
            inspections_may_continue.set()


@contextmanager
def block_actions(world: World, *but: str) -> Iterator[list[str]]:
    """Block every action, except on the containers `but`; yield the containers of the blocked actions."""
    blocked: list[str] = []
    released = threading.Event()

    def act(action: EndpointAction) -> None:
        if action.container_id not in but:
            blocked.append(action.container_id)
            released.wait()

    world.on_action = act
    try:
        yield blocked
    finally:
        released.set()


def wait_until_processed(controller: Controller, timers: Timers) -> None:
    """Wait until the loop has processed every message that was posted before."""
    controller.post(event(UNRELATED, Change.DIED))
    eventually(lambda: Verify(UNRELATED.id) in timers)


def test_a_connect_event_during_our_own_action_causes_no_inspection() -> None:
    """An inspection follows the action in any case."""
    world, timers = World(containers={UNRELATED.id: UNRELATED}, lists_images=True), Timers()
    with running_controller(world, timers=timers) as controller, block_actions(world) as blocked:
        eventually(lambda: world.kernel_writes)
        world.containers[CREATED.id] = CREATED
        controller.post(event(CREATED, Change.CREATED))
        eventually(lambda: blocked)
        controller.post(event(CREATED, Change.ATTACHED))
        wait_until_processed(controller, timers)
        assert CREATED.id not in world.inspected


def test_a_renamed_container_is_inspected_during_its_connect() -> None:
    """The connect may not have blocked in the engine, and other containers may want the old name."""
    world = World(lists_images=True)
    with running_controller(world) as controller, block_actions(world) as blocked:
        eventually(lambda: world.kernel_writes)
        world.containers[CREATED.id] = CREATED
        controller.post(event(CREATED, Change.CREATED))
        eventually(lambda: blocked)
        controller.post(event(CREATED, Change.OTHER))
        eventually(lambda: world.inspected)


def test_a_new_container_whose_image_is_unknown_by_its_name_is_inspected() -> None:
    """One name may stand for several platforms, each with labels of its own; an inspection shows which."""
    world, inspected = World(), threading.Event()
    world.on_inspect = inspected.set
    with running_controller(world, NEVER) as controller:
        eventually(lambda: world.image_lists and world.kernel_writes)
        world.containers[CREATED.id] = CREATED
        controller.post(event(replace(CREATED, image="nginx", network_mode=None), Change.CREATED))
        eventually(lambda: world.actions)
        assert inspected.is_set()


def test_an_endpoint_that_a_failed_start_has_removed_is_made_again() -> None:
    """Engine 29 deletes the network from the container's configuration, and may send no event of that."""
    world = world_with(CONFIGURED)
    with running_controller(world, Settings(resync=0.05)):
        eventually(lambda: world.kernel_writes)
        assert not world.actions
        world.containers[CREATED.id] = CREATED
        eventually(lambda: world.actions)
    assert isinstance(world.actions[0], Connect)


def test_a_start_event_alone_makes_a_container_count_as_running() -> None:
    """A recreation does not get the address while its predecessor is being connected and runs."""
    recreation = replace(CREATED, id="b" * 64, created=CREATED.created + 1)
    other = container("other", network="he_ipv6")
    world = World(lists_images=True)
    with running_controller(world) as controller, block_actions(world) as blocked:
        eventually(lambda: world.kernel_writes)
        for each in (CREATED, recreation, other):
            world.containers[each.id] = each
            controller.post(event(each, Change.CREATED))
            if each is CREATED:
                controller.post(event(each, Change.STARTED))
        eventually(lambda: other.id in blocked)
        assert recreation.id not in blocked


def test_a_disconnect_event_during_an_inspection_causes_another_inspection() -> None:
    """After a failed start, the result of the first inspection is out of date."""
    world, timers = world_with(CONFIGURED, UNRELATED), Timers()
    inspection_began, inspections_may_continue = block_inspections(world)
    with running_controller(world, timers=timers) as controller:
        eventually(lambda: world.kernel_writes)
        controller.post(event(CONFIGURED, Change.ATTACHED))
        controller.post(event(CONFIGURED, Change.DETACHED))
        assert inspection_began.wait(timeout=10)
        world.containers[CONFIGURED.id] = CREATED
        controller.post(event(CONFIGURED, Change.DETACHED))
        wait_until_processed(controller, timers)
        inspections_may_continue.set()
        eventually(lambda: [type(action) for action in world.actions] == [Connect])


def test_a_late_create_event_does_not_undo_a_newer_list() -> None:
    """The first list already showed the container running."""
    world = world_with(ATTACHED)
    with running_controller(world) as controller:
        eventually(lambda: ENTRY in world.entries)
        controller.post(event(CREATED, Change.CREATED))
        eventually(lambda: world.inspected)
    assert not world.removed_entries
    assert not world.actions


def test_a_dead_container_is_inspected_later_in_case_its_start_event_was_lost() -> None:
    """The container was started again, and the start event was lost."""
    world = world_with(ATTACHED)
    with running_controller(world, NEVER) as controller:
        eventually(lambda: ENTRY in world.entries)
        controller.post(event(ATTACHED, Change.DIED))
        eventually(lambda: world.removed_entries)
        eventually(lambda: ENTRY in world.entries)


@contextmanager
def controller_with_failed_action(world: World, timers: Timers) -> Iterator[Controller]:
    """Yield a controller whose action on `RUNNING` failed, with the retry an hour away."""

    def fail(_: EndpointAction) -> None:
        raise EngineUnavailableError("no answer")

    world.on_action = fail
    with running_controller(world, NEVER, timers=timers) as controller:
        eventually(lambda: Retry(RUNNING.id) in timers)
        timers.set(Retry(RUNNING.id), 3600.0)
        yield controller


def test_an_event_of_a_container_retries_its_failed_action_at_once() -> None:
    """The change may have removed the cause of the failure."""
    world, timers = world_with(RUNNING), Timers()
    with controller_with_failed_action(world, timers) as controller:
        world.on_action = lambda _: None
        controller.post(event(RUNNING, Change.OTHER))
        eventually(lambda: ENTRY in world.entries)


def test_endpoint_events_do_not_retry_a_failed_action() -> None:
    """A failed move causes such events itself."""
    world, timers = world_with(RUNNING, UNRELATED), Timers()
    inspections_may_continue = threading.Event()
    with controller_with_failed_action(world, timers) as controller:
        world.on_inspect = inspections_may_continue.wait
        controller.post(event(RUNNING, Change.DETACHED))
        controller.post(event(RUNNING, Change.ATTACHED))
        wait_until_processed(controller, timers)
        assert Retry(RUNNING.id) in timers
        inspections_may_continue.set()
