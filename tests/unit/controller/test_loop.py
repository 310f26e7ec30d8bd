"""The controller: from messages to actions, also with late, lost or failing answers."""

import logging
import math
import threading
from collections.abc import Collection
from dataclasses import replace
from ipaddress import IPv6Address

import pytest

from dockeripv6mapper.actions import Connect, EndpointAction, Reconnect, Release, Restore, Vacate
from dockeripv6mapper.controller.queue import HostChanged, Message, ResyncNow
from dockeripv6mapper.engine.events import Change, NetworksChanged, StreamLost, Subscribed
from dockeripv6mapper.errors import (
    EngineRefusedError,
    EngineUnavailableError,
    KernelRefusedError,
    NotFinishedError,
)
from dockeripv6mapper.model import ProxyEntry
from dockeripv6mapper.settings import Settings
from tests.lab.waiting import eventually
from tests.unit import builders
from tests.unit.builders import MON_CONTAINER, NGINX, container, endpoint
from tests.unit.controller.world import NEVER, World, event, running_controller, world_with

ENTRY = ProxyEntry(MON_CONTAINER, "eth0")
CREATED = container(network="he_ipv6")
RUNNING = replace(CREATED, running=True)
OTHER = IPv6Address("2001:470:b080:103:1::77")


def test_a_container_that_was_running_before_the_daemon_is_mapped() -> None:
    """It is in the first list."""
    world = world_with(RUNNING)
    with running_controller(world):
        eventually(lambda: ENTRY in world.entries)
    assert [type(action) for action in world.actions] == [Connect]


def test_a_container_is_proxied_before_the_inspection_after_its_connect() -> None:
    """The result of the connect is enough to add the entry."""
    world = world_with(RUNNING)
    inspection_allowed = threading.Event()
    world.on_inspect = lambda: inspection_allowed.wait(timeout=10)
    with running_controller(world):
        eventually(lambda: ENTRY in world.entries)
        assert not world.inspected
        inspection_allowed.set()
        eventually(lambda: world.inspected)


def test_the_next_full_pass_repairs_a_lost_event() -> None:
    """Neither the start event nor the destroy event arrives."""
    world = World()
    with running_controller(world, Settings(resync=0.2)):
        eventually(lambda: world.kernel_writes)
        world.containers[RUNNING.id] = RUNNING
        eventually(lambda: ENTRY in world.entries)
        del world.containers[RUNNING.id]
        eventually(lambda: not world.entries)


def test_deleted_entries_and_sysctls_are_restored_after_a_host_change() -> None:
    """A netlink notification causes a new observation of the host."""
    world = world_with(RUNNING)
    with running_controller(world) as controller:
        eventually(lambda: ENTRY in world.entries)
        world.entries.clear()
        world.sysctls.clear()
        controller.post(HostChanged())
        eventually(lambda: ENTRY in world.entries and world.sysctls.get("conf/all/forwarding") == "1")


def test_a_foreign_entry_stays_and_a_stale_entry_of_ours_is_removed() -> None:
    """At the first full pass."""
    foreign, stale = ProxyEntry(NGINX, "eth0"), ProxyEntry(MON_CONTAINER, "eth0")
    world = World(entries={foreign: False, stale: True})
    with running_controller(world):
        eventually(lambda: stale not in world.entries)
    assert world.entries == {foreign: False}


def test_a_refused_action_is_retried_and_delays_no_other_container(caplog: pytest.LogCaptureFixture) -> None:
    """The failure is logged when it begins and when it ends, not at every attempt."""
    other = container("nginx", network="he_ipv6", running=True)
    world = world_with(RUNNING, other)
    tries = 0

    def fail_twice(action: EndpointAction) -> None:
        nonlocal tries
        if action.container_id == RUNNING.id and (tries := tries + 1) < 3:
            raise EngineRefusedError("connecting mon_container to he_ipv6: no")

    world.on_action = fail_twice
    with caplog.at_level(logging.INFO), running_controller(world):
        eventually(lambda: ProxyEntry(NGINX, "eth0") in world.entries)
        eventually(lambda: ENTRY in world.entries)
    messages = [each.message for each in caplog.records if "connecting mon_container" in each.message]
    assert len([each for each in messages if each.startswith("connecting")]) == 1
    assert len([each for each in messages if each.startswith("no longer failing")]) == 1


def test_a_hanging_action_delays_neither_other_containers_nor_the_shutdown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It blocks only its worker thread, and the next process finishes the action."""
    monkeypatch.setattr("dockeripv6mapper.controller.shutdown.DRAIN_SECONDS", 0.1)
    other = container("nginx", network="he_ipv6", running=True)
    world = world_with(RUNNING, other)
    released = threading.Event()

    def hang(action: EndpointAction) -> None:
        if action.container_id == RUNNING.id:
            released.wait(timeout=30)

    world.on_action = hang
    with running_controller(world):
        eventually(lambda: ProxyEntry(NGINX, "eth0") in world.entries)
        assert ENTRY not in world.entries
    released.set()


def test_hanging_actions_on_all_threads_do_not_delay_an_inspection() -> None:
    """Inspections have threads of their own."""
    hanging = [container(f"hang{number}", network="he_ipv6", running=True) for number in range(9)]
    attached = replace(RUNNING, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
    world = world_with(attached, *hanging)
    released = threading.Event()

    def hang(_: EndpointAction) -> None:
        released.wait(timeout=30)

    world.on_action = hang
    try:
        with running_controller(world) as controller:
            eventually(lambda: ENTRY in world.entries)
            del world.containers[attached.id]
            controller.post(event(attached, Change.OTHER))
            eventually(lambda: not world.entries)
            released.set()
    finally:
        released.set()


@pytest.mark.parametrize("says_done", [False, True])
@pytest.mark.parametrize("change", [event(RUNNING, Change.OTHER), NetworksChanged()])
def test_an_action_without_effect_is_repeated_only_after_a_change(
    change: Message, *, says_done: bool
) -> None:
    """A change of the container or of the networks; an endpoint event is not enough."""
    world = world_with(RUNNING)
    world.actions_without_effect, world.says_done = True, says_done
    with running_controller(world, NEVER) as controller:
        eventually(lambda: world.actions)
        controller.post(event(RUNNING, Change.ATTACHED))
        eventually(lambda: world.inspected.count(RUNNING.id) > 1)
        assert len(world.actions) == 1
        world.actions_without_effect = False
        controller.post(change)
        eventually(lambda: ENTRY in world.entries)


def refuse_actions(world: World, times: float = math.inf) -> list[EndpointAction]:
    """Refuse the first `times` actions; return the list of attempted actions, which grows."""
    tries: list[EndpointAction] = []

    def refuse(action: EndpointAction) -> None:
        tries.append(action)
        if len(tries) <= times:
            raise EngineRefusedError("moving mon_container: address already in use")

    world.on_action = refuse
    return tries


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every backoff delay zero."""
    monkeypatch.setattr("dockeripv6mapper.backoff.delay", lambda _: 0.0)


@pytest.mark.usefixtures("no_backoff")
@pytest.mark.parametrize("change", [NetworksChanged(), ResyncNow(), event(RUNNING, Change.OTHER)])
def test_a_move_refused_twice_is_retried_only_after_a_change_or_a_resync(change: Message) -> None:
    """Each attempt disconnects the container for a moment."""
    world = world_with(replace(RUNNING, endpoints=(endpoint(NGINX),)))
    tries = refuse_actions(world)
    with running_controller(world, Settings(resync=0.05)) as controller:
        eventually(lambda: len(tries) == 2)
        passes: list[object] = []
        world.on_prune = passes.append
        eventually(lambda: len(passes) > 3)
        assert len(tries) == 2
        controller.post(change)
        eventually(lambda: len(tries) > 2)


@pytest.mark.usefixtures("no_backoff")
def test_a_move_refused_once_is_retried() -> None:
    """A holder may have released the address before it was ever inspected."""
    world = world_with(replace(RUNNING, endpoints=(endpoint(NGINX),)))
    refuse_actions(world, times=1)
    with running_controller(world, NEVER):
        eventually(lambda: ENTRY in world.entries)


@pytest.mark.usefixtures("no_backoff")
def test_a_refused_move_is_retried_when_the_holder_of_the_address_is_destroyed() -> None:
    """The holder was unknown when the move was attempted."""
    waiting = replace(RUNNING, endpoints=(endpoint(NGINX),))
    holder = container("holder", running=True, endpoints=(endpoint(MON_CONTAINER),))
    world = world_with(waiting)
    tries: list[EndpointAction] = []

    def refuse_while_holder_exists(action: EndpointAction) -> None:
        tries.append(action)
        if len(tries) <= 2 or holder.id in world.containers:
            raise EngineRefusedError("moving mon_container: address already in use")

    world.on_action = refuse_while_holder_exists
    with running_controller(world, NEVER) as controller:
        eventually(lambda: len(tries) == 2)
        world.containers[holder.id] = holder
        controller.post(event(holder, Change.OTHER))
        eventually(lambda: holder.id in world.inspected)
        del world.containers[holder.id]
        controller.post(event(holder, Change.DESTROYED))
        eventually(lambda: ENTRY in world.entries)


def test_two_containers_with_swapped_names_exchange_their_addresses() -> None:
    """The newer is disconnected, the older is moved, and then the newer is connected."""
    older = replace(RUNNING, endpoints=(endpoint(NGINX, NGINX, ours=True),))
    newer = container("nginx", network="he_ipv6", running=True, created=2000)
    newer = replace(newer, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER, ours=True),))
    world = world_with(older, newer)
    with running_controller(world):
        eventually(lambda: world.entries.keys() == {ENTRY, ProxyEntry(NGINX, "eth0")})
    assert [type(action) for action in world.actions] == [Vacate, Reconnect, Connect]


@pytest.mark.usefixtures("no_backoff")
def test_a_refused_vacate_is_attempted_twice() -> None:
    """Each attempt disconnects the container for a moment."""
    older = replace(RUNNING, endpoints=(endpoint(NGINX, NGINX, ours=True),))
    newer = container("nginx", network="he_ipv6", running=True, created=2000)
    newer = replace(newer, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER, ours=True),))
    world = world_with(older, newer)
    tries = refuse_actions(world)
    passes: list[object] = []
    with running_controller(world, Settings(resync=0.05)):
        eventually(lambda: len(tries) == 2)
        world.on_prune = passes.append
        eventually(lambda: len(passes) > 3)
    assert [type(action) for action in tries] == [Vacate, Vacate]


def test_a_full_pass_requested_during_a_list_causes_another_list() -> None:
    """The running list may be older than the reason for the request."""
    world = World()
    list_made, list_may_return = threading.Event(), threading.Event()

    def return_late() -> None:
        list_made.set()
        assert list_may_return.wait(timeout=10)

    world.after_list = return_late
    with running_controller(world) as controller:
        assert list_made.wait(timeout=10)
        controller.post(ResyncNow())
        controller.post(event(container("nginx"), Change.OTHER))
        eventually(lambda: world.inspected)
        world.containers[RUNNING.id] = RUNNING
        list_may_return.set()
        eventually(lambda: ENTRY in world.entries)


def test_an_unfinished_action_of_an_earlier_process_is_restored_first() -> None:
    """Before any other action on that container."""
    world = world_with(RUNNING)
    world.unfinished_actions = {RUNNING.id}
    with running_controller(world):
        eventually(lambda: ENTRY in world.entries)
    assert [type(action) for action in world.actions] == [Restore, Connect]


def test_a_restore_is_repeated_where_the_next_action_is_cut_off() -> None:
    """Until then the container may be detached, so it does not wait for the next list."""
    world, cut_off = world_with(RUNNING), list[EndpointAction]()

    def cut_off_first_connect(action: EndpointAction) -> None:
        if isinstance(action, Connect) and not cut_off:
            cut_off.append(action)
            world.unfinished_actions.add(RUNNING.id)
            raise NotFinishedError("connecting mon_container: no answer")

    with running_controller(world, NEVER) as controller:
        eventually(lambda: ENTRY in world.entries)
        world.actions.clear()
        world.on_action = cut_off_first_connect
        world.unfinished_actions.add(RUNNING.id)
        world.containers[RUNNING.id] = RUNNING
        controller.post(event(RUNNING, Change.ATTACHED))
        eventually(lambda: any(isinstance(action, Connect) for action in world.actions))
    assert [type(action) for action in world.actions] == [Restore, Restore, Connect]


@pytest.mark.parametrize("change", [Change.OTHER, Change.DIED])
def test_the_journal_entry_of_a_container_survives_an_event_during_the_first_list(change: Change) -> None:
    """The container is not in the cache yet, but it must not be pruned."""
    world = world_with(RUNNING)
    list_made, inspection_began, pruned = threading.Event(), threading.Event(), threading.Event()
    kept: list[bool] = []

    def return_late() -> None:
        list_made.set()
        assert inspection_began.wait(timeout=10)

    def inspect_slowly() -> None:
        inspection_began.set()
        assert pruned.wait(timeout=10)

    def prune(known: Collection[str]) -> None:
        kept.append(RUNNING.id in known)
        pruned.set()

    world.after_list, world.on_inspect, world.on_prune = return_late, inspect_slowly, prune
    with running_controller(world) as controller:
        assert list_made.wait(timeout=10)
        controller.post(event(RUNNING, change))
        eventually(pruned.is_set)
        assert kept == [True]


def test_a_failed_image_inspection_is_retried_with_backoff(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The container is mapped once the inspection succeeds."""
    monkeypatch.setattr("dockeripv6mapper.backoff.delay", lambda _: 0.3)
    world = world_with(RUNNING)
    tries = 0

    def fail_twice() -> None:
        nonlocal tries
        if (tries := tries + 1) < 3:
            raise EngineRefusedError("inspecting image: server error")

    world.on_inspect_image = fail_twice
    with running_controller(world, Settings(resync=0.05)):
        eventually(lambda: ENTRY in world.entries)
    assert tries == 3


def test_an_unreachable_engine_removes_nothing_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Entries that the kernel loses meanwhile are restored."""
    world = world_with(RUNNING)

    def away() -> None:
        raise EngineUnavailableError("listing containers: connection refused")

    with caplog.at_level(logging.WARNING), running_controller(world) as controller:
        eventually(lambda: ENTRY in world.entries)
        world.before_list = away
        controller.post(StreamLost(EngineUnavailableError("the engine ended the event stream")))
        world.entries.clear()
        controller.post(HostChanged())
        eventually(lambda: ENTRY in world.entries)
    assert len([each for each in caplog.records if "; retrying, addresses" in each.message]) == 1


def test_a_new_subscription_retries_failed_actions_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backoff of an hour is cut short."""
    monkeypatch.setattr("dockeripv6mapper.backoff.delay", lambda _: 3600.0)
    world = world_with(RUNNING)
    tried = threading.Event()

    def away(_: EndpointAction) -> None:
        tried.set()
        raise EngineUnavailableError("connecting mon_container: connection refused")

    world.on_action = away
    with running_controller(world) as controller:
        assert tried.wait(timeout=10)
        world.on_action = lambda _: None
        controller.post(Subscribed())
        eventually(lambda: ENTRY in world.entries)


def test_entries_of_an_earlier_process_stay_until_the_first_list_succeeds() -> None:
    """The engine is unreachable."""
    world = World(entries={ENTRY: True})
    list_made = threading.Event()

    def away() -> None:
        list_made.set()
        raise EngineUnavailableError("listing containers: no such file")

    world.before_list = away
    with running_controller(world) as controller:
        assert list_made.wait(timeout=10)
        controller.post(HostChanged())
        eventually(lambda: world.kernel_writes)
    assert world.entries == {ENTRY: True}


def test_a_container_is_mapped_when_its_missing_network_appears() -> None:
    """Containers that name the network are decided again."""
    world = world_with(RUNNING)
    world.engine_networks = ()
    with running_controller(world) as controller:
        eventually(lambda: world.kernel_writes)
        world.engine_networks = (builders.network(),)
        controller.post(NetworksChanged())
        eventually(lambda: ENTRY in world.entries)


def test_a_refusal_is_one_warning_with_container_label_value_and_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is logged once, although each full pass decides again."""
    world = world_with(container(network="nope"))
    with caplog.at_level(logging.INFO), running_controller(world, Settings(resync=0.05)):
        eventually(lambda: world.kernel_writes)
        passes = threading.Event()
        world.before_list = passes.set
        assert passes.wait(timeout=10)
    (warning,) = [each.message for each in caplog.records if each.levelno == logging.WARNING]
    for part in ("mon_container", "ipv6.mapper.network", "'nope'", "network-not-found"):
        assert part in warning


def test_a_stopped_container_releases_its_address_to_a_holder_and_gets_it_back() -> None:
    """While the other container has the address, the stopped one could not start with it."""
    stopped = replace(CREATED, endpoints=(endpoint(None, MON_CONTAINER),))
    holder = container("holder", running=True, created=2000, endpoints=(endpoint(MON_CONTAINER),))
    world = world_with(stopped)
    with running_controller(world) as controller:
        eventually(lambda: world.kernel_writes)
        world.containers[holder.id] = holder
        controller.post(event(holder, Change.STARTED))
        eventually(lambda: [type(action) for action in world.actions] == [Release])
        del world.containers[holder.id]
        controller.post(event(holder, Change.DESTROYED))
        eventually(lambda: [type(action) for action in world.actions] == [Release, Connect])


def test_a_container_at_another_address_is_moved() -> None:
    """Only the new address has an entry afterwards."""
    world = world_with(replace(RUNNING, endpoints=(endpoint(NGINX),)))
    with running_controller(world):
        eventually(lambda: world.entries.keys() == {ENTRY})
    assert [type(action) for action in world.actions] == [Reconnect]


def test_a_dry_run_logs_the_plan_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It writes no endpoints, entries or sysctls."""
    world = world_with(RUNNING, container("nginx", running=True, endpoints=(endpoint(NGINX),)))
    world.entries = {ProxyEntry(NGINX, "eth0"): True}
    with caplog.at_level(logging.INFO), running_controller(world, Settings(dry_run=True)):
        eventually(lambda: "would stop proxying" in caplog.text)
    assert "would connect container mon_container to network he_ipv6" in caplog.text
    assert not world.actions
    assert not world.kernel_writes
    assert world.entries == {ProxyEntry(NGINX, "eth0"): True}


def test_a_starting_daemon_never_removes_an_entry_that_is_still_wanted() -> None:
    """Image labels are unknown at first, so the entries of the last process are kept."""
    attached = replace(RUNNING, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
    world = world_with(attached)
    world.entries = {ENTRY: True}
    with running_controller(world, Settings(resync=0.05)):
        eventually(lambda: world.kernel_writes)
        passes = threading.Event()
        world.before_list = passes.set
        assert passes.wait(timeout=10)
    assert world.entries == {ENTRY: True}
    assert not world.removed_entries


def test_a_deleted_foreign_entry_is_replaced_by_ours() -> None:
    """An earlier observation of the entry does not count when the address is wanted again."""
    attached = replace(RUNNING, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
    world = world_with(attached)
    world.entries = {ENTRY: False}
    with running_controller(world) as controller:
        eventually(lambda: world.kernel_writes)
        world.entries.clear()
        controller.post(event(attached, Change.STARTED))
        eventually(lambda: world.entries == {ENTRY: True})


def test_a_misspelt_label_alone_causes_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The warning suggests the nearest existing label."""
    world = world_with(container(other_labels={"ipv6.mapper.netwrok": "he_ipv6"}))
    with caplog.at_level(logging.WARNING), running_controller(world, Settings(resync=0.05)):
        eventually(lambda: "did you mean ipv6.mapper.network?" in caplog.text)
        passes = threading.Event()
        world.before_list = passes.set
        assert passes.wait(timeout=10)
    assert caplog.text.count("did you mean") == 1


def test_an_ignored_image_label_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The log explains why the container is not mapped."""
    world = world_with(CREATED)
    world.engine_images = {builders.IMAGE: {"ipv6.mapper.network": "he_ipv6"}}
    with caplog.at_level(logging.INFO), running_controller(world):
        eventually(lambda: "it comes from the image" in caplog.text)
    assert not world.actions


def test_an_unexpected_error_does_not_end_the_daemon(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the next full pass completes the work."""
    world = world_with(RUNNING)
    errors = iter([RuntimeError("a bug")])

    def fail_once(_: object) -> None:
        for error in errors:
            raise error

    world.on_prune = fail_once
    with running_controller(world):
        eventually(lambda: ENTRY in world.entries)
    assert "a bug" in caplog.text


def test_a_container_whose_image_is_unknown_is_not_mapped() -> None:
    """Its labels may be the image's own, so they do not count."""
    world = world_with(RUNNING)
    world.engine_images = {}
    with running_controller(world, Settings(resync=0.05)):
        eventually(lambda: world.kernel_writes)
        passes = threading.Event()
        world.before_list = passes.set
        assert passes.wait(timeout=10)
    assert not world.actions
    assert not world.entries


def test_only_one_of_two_new_containers_that_want_one_address_is_connected() -> None:
    """The second is decided while the connect of the first is in flight."""
    world, hanging = World(lists_images=True), threading.Event()
    world.on_action = lambda _: hanging.wait(timeout=20)
    second = container("second", network="he_ipv6", suffix="3d:7a:30", created=CREATED.created + 1)
    other = container("nginx", network="he_ipv6")
    with running_controller(world, NEVER) as controller:
        eventually(lambda: world.kernel_writes)
        for each in (CREATED, second, other):
            world.containers[each.id] = each
            controller.post(event(each, Change.CREATED))
        hanging.set()
        eventually(lambda: {CREATED.id, other.id} <= {action.container_id for action in world.actions})
    assert second.id not in {action.container_id for action in world.actions}


def test_an_address_in_flight_is_refused_to_a_container_created_in_the_same_second() -> None:
    """Whichever of them sorts first: otherwise one of them could not be started."""
    first = container("one", container_id="b", network="he_ipv6", suffix="7")
    second = container("two", container_id="a", network="he_ipv6", suffix="7")
    world = World(lists_images=True)
    answered = threading.Event()
    world.on_action = lambda _: answered.wait(timeout=10)
    with running_controller(world, Settings(resync=60)) as controller:
        eventually(lambda: world.kernel_writes)
        for each in (first, second):
            world.containers[each.id] = each
            controller.post(event(each, Change.CREATED))
        passes = threading.Event()
        world.before_list = passes.set
        controller.post(ResyncNow())
        assert passes.wait(timeout=10)
        answered.set()
        eventually(lambda: world.actions)
    assert [action.container_id for action in world.actions] == [first.id]


def test_only_entries_that_we_added_are_announced() -> None:
    """Each is announced once, when it is added; a foreign entry never is."""
    other = container("nginx", network="he_ipv6", running=True)
    world = world_with(RUNNING, other)
    world.entries = {ProxyEntry(NGINX, "eth0"): False}
    with running_controller(world, Settings(resync=0.05)):
        eventually(lambda: len(world.actions) == 2 and ENTRY in world.entries)
        passes = threading.Event()
        world.before_list = passes.set
        assert passes.wait(timeout=10)
    assert world.sent.count(f"advertise {ENTRY}") == 1
    assert not [each for each in world.sent if str(NGINX) in each]


def test_a_failed_announcement_causes_one_warning_and_the_entries_are_added(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As without CAP_NET_RAW."""
    other = container("nginx", network="he_ipv6", running=True)
    world = world_with(RUNNING, other)

    def refuse(_: str) -> None:
        raise KernelRefusedError("announcing: Operation not permitted")

    world.on_send = refuse
    with running_controller(world):
        eventually(lambda: len(world.entries) == 2)
        eventually(lambda: "announcing: Operation not permitted" in caplog.text)
    assert caplog.text.count("announcing: Operation not permitted") == 1
