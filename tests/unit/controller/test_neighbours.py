"""Neighbours on the engine's bridges: forgotten once for each start and each attachment of a container."""

import logging
from dataclasses import replace

import pytest

from dockeripv6mapper.controller.queue import ResyncNow
from dockeripv6mapper.engine.events import Change
from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.model import BridgeAddress, Container, ProxyEntry
from dockeripv6mapper.settings import ProxyMode, Settings
from tests.lab.waiting import eventually
from tests.unit.builders import MON_CONTAINER, NGINX, container, endpoint, network
from tests.unit.controller.world import NEVER, World, event, running_controller

BRIDGE = "br-24113567e277"
MAPPED = BridgeAddress(MON_CONTAINER, BRIDGE)
ENTRY = ProxyEntry(MON_CONTAINER, "eth0")
RUNNING = container(network="he_ipv6", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
STOPPED = replace(RUNNING, running=False, endpoints=(endpoint(None, MON_CONTAINER),))
UNLABELLED = container("nginx", running=True, endpoints=(endpoint(NGINX),))


def bridged(*containers: Container) -> World:
    """Return a world whose network has a bridge on this host."""
    world = World(engine_networks=(network(bridge=BRIDGE),), lists_images=True)
    world.containers = {each.id: each for each in containers}
    return world


def test_neighbour_is_forgotten_before_the_entry_is_added() -> None:
    """The entry brings the first packets."""
    world = bridged(RUNNING)
    entries: list[int] = []
    world.on_forget_neighbours = lambda: entries.append(len(world.entries))
    with running_controller(world, NEVER):
        eventually(lambda: ENTRY in world.entries)
    assert (world.forgotten, entries) == ([MAPPED], [0])


@pytest.mark.parametrize("changes", [(Change.DIED, Change.STARTED), (Change.STARTED,), (Change.ATTACHED,)])
def test_neighbour_is_forgotten_again_at_each_start_and_attachment(changes: tuple[Change, ...]) -> None:
    """Also where the die event was missed. A look at an unchanged container forgets nothing."""
    world = bridged(RUNNING)
    with running_controller(world, NEVER) as controller:
        eventually(lambda: ENTRY in world.entries)
        for change in changes:
            controller.post(event(RUNNING, change))
        eventually(lambda: world.forgotten == [MAPPED, MAPPED])
        inspections = len(world.inspected)
        controller.post(event(RUNNING, Change.OTHER))
        eventually(lambda: len(world.inspected) > inspections)
    assert world.forgotten == [MAPPED, MAPPED]


def test_all_neighbours_are_forgotten_after_missed_events() -> None:
    """Any container may have been started again."""
    world = bridged(RUNNING)
    with running_controller(world, NEVER) as controller:
        eventually(lambda: world.forgotten == [MAPPED])
        controller.post(ResyncNow())
        eventually(lambda: world.forgotten == [MAPPED, MAPPED])


@pytest.mark.parametrize(
    ("mode", "forgotten"),
    [
        (ProxyMode.OFF, {MAPPED}),
        (ProxyMode.MAPPED, {MAPPED}),
        (ProxyMode.ALL, {MAPPED, BridgeAddress(NGINX, BRIDGE)}),
    ],
)
def test_mapped_and_proxied_addresses_of_running_containers_count(
    mode: ProxyMode, forgotten: set[BridgeAddress]
) -> None:
    """The host routes to a mapped address also where it needs no entry."""
    world = bridged(RUNNING, UNLABELLED, replace(STOPPED, id="stopped", name="other"))
    with running_controller(world, Settings(proxy=mode, resync=86400)):
        eventually(lambda: set(world.forgotten) == forgotten)
    assert len(world.forgotten) == len(forgotten)


def test_neighbour_is_forgotten_after_an_action_at_the_same_address() -> None:
    """A move that is undone attaches the container again, with another MAC."""
    elsewhere = replace(RUNNING, endpoints=(endpoint(NGINX, NGINX),))
    world = bridged(elsewhere)
    with running_controller(world, NEVER):
        eventually(lambda: ENTRY in world.entries)
    assert world.forgotten == [MAPPED]
    assert world.actions


def test_refused_removal_is_logged_once_and_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The entry is added all the same."""

    def refuse() -> None:
        raise KernelRefusedError("removing neighbour entries: operation not permitted")

    world = bridged(RUNNING)
    world.on_forget_neighbours = refuse
    with running_controller(world, NEVER) as controller:
        eventually(lambda: ENTRY in world.entries)
        controller.post(event(RUNNING, Change.ATTACHED))
        eventually(lambda: world.inspected)
    lines = [each for each in caplog.records if "removing neighbour entries" in each.message]
    assert [each.levelno for each in lines] == [logging.WARNING]


def test_an_entry_that_could_not_be_removed_is_removed_by_the_next_pass() -> None:
    """Though nothing changed at its container."""
    refusals = [KernelRefusedError("removing neighbour entries: no buffer space")]

    def refuse_once() -> None:
        if refusals:
            raise refusals.pop()

    world = bridged(RUNNING)
    world.on_forget_neighbours = refuse_once
    with running_controller(world, NEVER) as controller:
        eventually(lambda: ENTRY in world.entries)
        controller.post(event(RUNNING, Change.OTHER))
        eventually(lambda: world.forgotten == [MAPPED])


def test_dry_run_forgets_no_neighbour() -> None:
    """It changes nothing."""
    world = bridged(RUNNING)
    with running_controller(world, Settings(dry_run=True)) as controller:
        controller.post(event(RUNNING, Change.ATTACHED))
        eventually(lambda: world.inspected)
    assert world.forgotten == []
