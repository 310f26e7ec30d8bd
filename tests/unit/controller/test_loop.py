"""The controller: from messages to actions, whatever is late, lost or failing."""

import logging
import math
import threading
from collections.abc import Collection, Iterable
from dataclasses import replace
from ipaddress import IPv6Address

import pytest

from dockeripv6mapper.actions import Connect, EndpointAction, Reconnect, Release, Restore, Vacate
from dockeripv6mapper.controller.queue import HostChanged, Message, ResyncNow
from dockeripv6mapper.engine.events import Change, NetworksChanged, StreamLost, Subscribed
from dockeripv6mapper.errors import EngineRefusedError, EngineUnavailableError, KernelRefusedError
from dockeripv6mapper.model import ProxyEntry
from dockeripv6mapper.settings import Settings
from tests.lab.waiting import eventually
from tests.unit import builders
from tests.unit.builders import MON_CONTAINER, NGINX, container, endpoint
from tests.unit.controller.world import NEVER, World, event, running, world_with

ENTRY = ProxyEntry(MON_CONTAINER, "eth0")
CREATED = container(network="he_ipv6")
RUNNING = replace(CREATED, running=True)
OTHER = IPv6Address("2001:470:b080:103:1::77")


def test_a_container_that_ran_before_the_daemon_is_mapped_at_its_start() -> None:
    """It is in the first list."""
    world = world_with(RUNNING)
    with running(world):
        eventually(lambda: ENTRY in world.entries)
    assert [type(action) for action in world.actions] == [Connect]


def test_a_container_is_proxied_as_soon_as_the_engine_has_attached_it() -> None:
    """It is looked at afterwards."""
    world = world_with(RUNNING)
    held = threading.Event()
    world.looking = lambda: held.wait(timeout=10)
    with running(world):
        eventually(lambda: ENTRY in world.entries)
        assert not world.looked
        held.set()
        eventually(lambda: world.looked)


def test_a_lost_event_is_made_good_by_the_next_full_pass() -> None:
    """Nothing depends on having heard of it."""
    world = World()
    with running(world, Settings(resync=0.2)):
        eventually(lambda: world.written)
        world.containers[RUNNING.id] = RUNNING
        eventually(lambda: ENTRY in world.entries)
        del world.containers[RUNNING.id]
        eventually(lambda: not world.entries)


def test_entries_that_vanish_come_back() -> None:
    """A change of the uplink is reason enough to look."""
    world = world_with(RUNNING)
    with running(world) as controller:
        eventually(lambda: ENTRY in world.entries)
        world.entries.clear()
        world.sysctls.clear()
        controller.post(HostChanged())
        eventually(lambda: ENTRY in world.entries and world.sysctls.get("conf/all/forwarding") == "1")


def test_somebody_elses_entry_stays() -> None:
    """And an old one of ours that nobody wants goes."""
    foreign, stale = ProxyEntry(NGINX, "eth0"), ProxyEntry(MON_CONTAINER, "eth0")
    world = World(entries={foreign: False, stale: True})
    with running(world):
        eventually(lambda: stale not in world.entries)
    assert world.entries == {foreign: False}


def test_a_refused_action_is_tried_again_and_keeps_nobody_waiting(caplog: pytest.LogCaptureFixture) -> None:
    """It is said when it begins and when it ends, not at every try."""
    other = container("nginx", network="he_ipv6", running=True)
    world = world_with(RUNNING, other)
    tries = 0

    def fail_twice(action: EndpointAction) -> None:
        nonlocal tries
        if action.container_id == RUNNING.id and (tries := tries + 1) < 3:
            raise EngineRefusedError("connecting mon_container to he_ipv6: no")

    world.failing = fail_twice
    with caplog.at_level(logging.INFO), running(world):
        eventually(lambda: ProxyEntry(NGINX, "eth0") in world.entries)
        eventually(lambda: ENTRY in world.entries)
    said = [each.message for each in caplog.records if "connecting mon_container" in each.message]
    assert len([each for each in said if each.startswith("connecting")]) == 1
    assert len([each for each in said if each.startswith("no longer failing")]) == 1


def test_an_action_that_hangs_holds_up_neither_the_others_nor_the_shutdown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It waits on a worker's thread, and the next process finishes what it began."""
    monkeypatch.setattr("dockeripv6mapper.controller.loop.DRAIN_SECONDS", 0.1)
    other = container("nginx", network="he_ipv6", running=True)
    world = world_with(RUNNING, other)
    released = threading.Event()

    def hang(action: EndpointAction) -> None:
        if action.container_id == RUNNING.id:
            released.wait(timeout=30)

    world.failing = hang
    with running(world):
        eventually(lambda: ProxyEntry(NGINX, "eth0") in world.entries)
        assert ENTRY not in world.entries
    released.set()


def test_many_actions_that_hang_keep_no_question_waiting() -> None:
    """As many as there are threads for actions: others are looked at and forgotten all the same."""
    hanging = [container(f"hang{number}", network="he_ipv6", running=True) for number in range(9)]
    attached = replace(RUNNING, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
    world = world_with(attached, *hanging)
    released = threading.Event()

    def hang(_: EndpointAction) -> None:
        released.wait(timeout=30)

    world.failing = hang
    try:
        with running(world) as controller:
            eventually(lambda: ENTRY in world.entries)
            del world.containers[attached.id]
            controller.post(event(attached, Change.OTHER))
            eventually(lambda: not world.entries)
            released.set()
    finally:
        released.set()


@pytest.mark.parametrize("change", [event(RUNNING, Change.OTHER), NetworksChanged()])
def test_an_action_that_did_nothing_is_not_repeated_at_once(change: Message) -> None:
    """Until something about the container or the networks changes, or the next full pass."""
    world = world_with(RUNNING)
    world.inert = True
    with running(world, NEVER) as controller:
        eventually(lambda: world.actions)
        controller.post(event(RUNNING, Change.ATTACHED))
        eventually(lambda: world.looked.count(RUNNING.id) > 1)
        assert len(world.actions) == 1
        world.inert = False
        controller.post(change)
        eventually(lambda: ENTRY in world.entries)


def refusing(world: World, times: float = math.inf) -> list[EndpointAction]:
    """Have the engine refuse so many actions; what is tried is in the list."""
    tries: list[EndpointAction] = []

    def refuse(action: EndpointAction) -> None:
        tries.append(action)
        if len(tries) <= times:
            raise EngineRefusedError("moving mon_container: address already in use")

    world.failing = refuse
    return tries


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever failed may be tried again at once."""
    monkeypatch.setattr("dockeripv6mapper.backoff.delay", lambda _: 0.0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("change", [NetworksChanged(), ResyncNow(), event(RUNNING, Change.OTHER)])
def test_a_move_that_was_refused_twice_is_not_tried_again_before_something_changes(change: Message) -> None:
    """Each try takes the container off its network for a moment."""
    world = world_with(replace(RUNNING, endpoints=(endpoint(NGINX),)))
    tries = refusing(world)
    with running(world, Settings(resync=0.05)) as controller:
        eventually(lambda: len(tries) == 2)
        passes: list[object] = []
        world.pruning = passes.append
        eventually(lambda: len(passes) > 3)
        assert len(tries) == 2
        controller.post(change)
        eventually(lambda: len(tries) > 2)


@pytest.mark.usefixtures("impatient")
def test_a_move_that_somebody_was_in_the_way_of_for_a_moment_is_tried_again() -> None:
    """Somebody who was gone before it was known what address it had."""
    world = world_with(replace(RUNNING, endpoints=(endpoint(NGINX),)))
    refusing(world, times=1)
    with running(world, NEVER):
        eventually(lambda: ENTRY in world.entries)


@pytest.mark.usefixtures("impatient")
def test_a_refused_move_is_tried_again_when_another_gives_the_address_up() -> None:
    """It was not known who had it when the move was tried."""
    waiting = replace(RUNNING, endpoints=(endpoint(NGINX),))
    holder = container("holder", running=True, endpoints=(endpoint(MON_CONTAINER),))
    world = world_with(waiting)
    tries: list[EndpointAction] = []

    def refuse_while_held(action: EndpointAction) -> None:
        tries.append(action)
        if len(tries) <= 2 or holder.id in world.containers:
            raise EngineRefusedError("moving mon_container: address already in use")

    world.failing = refuse_while_held
    with running(world, NEVER) as controller:
        eventually(lambda: len(tries) == 2)
        world.containers[holder.id] = holder
        controller.post(event(holder, Change.OTHER))
        eventually(lambda: holder.id in world.looked)
        del world.containers[holder.id]
        controller.post(event(holder, Change.DESTROYED))
        eventually(lambda: ENTRY in world.entries)


def test_containers_whose_names_were_swapped_unseen_are_given_each_others_addresses() -> None:
    """The newer one makes way, the older one is moved, and then the newer one gets its own."""
    older = replace(RUNNING, endpoints=(endpoint(NGINX, NGINX, ours=True),))
    newer = container("nginx", network="he_ipv6", running=True, created=2000)
    newer = replace(newer, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER, ours=True),))
    world = world_with(older, newer)
    with running(world):
        eventually(lambda: world.entries.keys() == {ENTRY, ProxyEntry(NGINX, "eth0")})
    assert [type(action) for action in world.actions] == [Vacate, Reconnect, Connect]


@pytest.mark.usefixtures("impatient")
def test_a_container_that_cannot_make_way_is_asked_to_twice() -> None:
    """Each try takes it off its network for a moment."""
    older = replace(RUNNING, endpoints=(endpoint(NGINX, NGINX, ours=True),))
    newer = container("nginx", network="he_ipv6", running=True, created=2000)
    newer = replace(newer, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER, ours=True),))
    world = world_with(older, newer)
    tries = refusing(world)
    passes: list[object] = []
    with running(world, Settings(resync=0.05)):
        eventually(lambda: len(tries) == 2)
        world.pruning = passes.append
        eventually(lambda: len(passes) > 3)
    assert [type(action) for action in tries] == [Vacate, Vacate]


def test_a_full_pass_that_is_asked_for_while_everything_is_listed_lists_it_again() -> None:
    """That list may be older than what the pass was asked for."""
    world = World()
    listed, go_on = threading.Event(), threading.Event()

    def arrive_late() -> None:
        listed.set()
        assert go_on.wait(timeout=10)

    world.listed = arrive_late
    with running(world) as controller:
        assert listed.wait(timeout=10)
        controller.post(ResyncNow())
        controller.post(event(container("nginx"), Change.OTHER))
        eventually(lambda: world.looked)
        world.containers[RUNNING.id] = RUNNING
        go_on.set()
        eventually(lambda: ENTRY in world.entries)


def test_what_an_earlier_process_began_is_finished_first() -> None:
    """Before anything else is asked for that container."""
    world = world_with(RUNNING)
    world.begun = {RUNNING.id}
    with running(world):
        eventually(lambda: ENTRY in world.entries)
    assert [type(action) for action in world.actions] == [Restore, Connect]


@pytest.mark.parametrize("change", [Change.OTHER, Change.DIED])
def test_what_was_begun_is_not_forgotten_where_an_event_is_newer_than_the_first_list(change: Change) -> None:
    """Nothing is known of the container then but that it is there, or that it was."""
    world = world_with(RUNNING)
    listed, looking, pruned = threading.Event(), threading.Event(), threading.Event()
    kept: list[bool] = []

    def arrive_late() -> None:
        listed.set()
        assert looking.wait(timeout=10)

    def look_later() -> None:
        looking.set()
        assert pruned.wait(timeout=10)

    def prune(known: Collection[str]) -> None:
        kept.append(RUNNING.id in known)
        pruned.set()

    world.listed, world.looking, world.pruning = arrive_late, look_later, prune
    with running(world) as controller:
        assert listed.wait(timeout=10)
        controller.post(event(RUNNING, change))
        eventually(pruned.is_set)
        assert kept == [True]


def test_an_image_that_cannot_be_looked_at_for_now_is_not_asked_for_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is tried again after a while, and then the container is mapped."""
    monkeypatch.setattr("dockeripv6mapper.backoff.delay", lambda _: 0.3)
    world = world_with(RUNNING)
    tries = 0

    def fail_twice() -> None:
        nonlocal tries
        if (tries := tries + 1) < 3:
            raise EngineRefusedError("inspecting image: server error")

    world.inspecting = fail_twice
    with running(world, Settings(resync=0.05)):
        eventually(lambda: ENTRY in world.entries)
    assert tries == 3


def test_an_engine_that_goes_away_changes_nothing_and_is_spoken_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Everything stays, and what the kernel loses meanwhile is put back."""
    world = world_with(RUNNING)

    def away() -> None:
        raise EngineUnavailableError("listing containers: connection refused")

    with caplog.at_level(logging.WARNING), running(world) as controller:
        eventually(lambda: ENTRY in world.entries)
        world.listing = away
        controller.post(StreamLost(EngineUnavailableError("the engine ended the event stream")))
        world.entries.clear()
        controller.post(HostChanged())
        eventually(lambda: ENTRY in world.entries)
    assert len([each for each in caplog.records if "keeping everything" in each.message]) == 1


def test_an_engine_that_comes_back_is_asked_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever backed off while it was away need not wait any longer."""
    monkeypatch.setattr("dockeripv6mapper.backoff.delay", lambda _: 3600.0)
    world = world_with(RUNNING)
    tried = threading.Event()

    def away(_: EndpointAction) -> None:
        tried.set()
        raise EngineUnavailableError("connecting mon_container: connection refused")

    world.failing = away
    with running(world) as controller:
        assert tried.wait(timeout=10)
        world.failing = lambda _: None
        controller.post(Subscribed())
        eventually(lambda: ENTRY in world.entries)


def test_nothing_is_concluded_before_the_engine_was_listed() -> None:
    """Entries of an earlier process stay while the engine cannot be reached."""
    world = World(entries={ENTRY: True})
    listed = threading.Event()

    def away() -> None:
        listed.set()
        raise EngineUnavailableError("listing containers: no such file")

    world.listing = away
    with running(world) as controller:
        assert listed.wait(timeout=10)
        controller.post(HostChanged())
        eventually(lambda: world.written)
    assert world.entries == {ENTRY: True}


def test_a_network_that_appears_lifts_the_refusal() -> None:
    """Whoever named it is evaluated anew."""
    world = world_with(RUNNING)
    world.networks_there = ()
    with running(world) as controller:
        eventually(lambda: world.written)
        world.networks_there = (builders.network(),)
        controller.post(NetworksChanged())
        eventually(lambda: ENTRY in world.entries)


def test_a_refusal_is_one_warning_with_container_label_value_and_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However often it is evaluated."""
    world = world_with(container(network="nope"))
    with caplog.at_level(logging.INFO), running(world, Settings(resync=0.05)):
        eventually(lambda: world.written)
        passes = threading.Event()
        world.listing = passes.set
        assert passes.wait(timeout=10)
    (warning,) = [each.message for each in caplog.records if each.levelno == logging.WARNING]
    for part in ("mon_container", "ipv6.mapper.network", "'nope'", "network-not-found"):
        assert part in warning


def test_a_stopped_container_gives_its_address_up_to_a_holder_and_gets_it_back() -> None:
    """It could not be started in between."""
    stopped = replace(CREATED, endpoints=(endpoint(None, MON_CONTAINER),))
    holder = container("holder", running=True, created=2000, endpoints=(endpoint(MON_CONTAINER),))
    world = world_with(stopped)
    with running(world) as controller:
        eventually(lambda: world.written)
        world.containers[holder.id] = holder
        controller.post(event(holder, Change.STARTED))
        eventually(lambda: [type(action) for action in world.actions] == [Release])
        del world.containers[holder.id]
        controller.post(event(holder, Change.DESTROYED))
        eventually(lambda: [type(action) for action in world.actions] == [Release, Connect])


def test_a_container_at_another_address_is_moved_and_the_old_entry_goes() -> None:
    """With everything proxied, the old address had an entry too."""
    world = world_with(replace(RUNNING, endpoints=(endpoint(NGINX),)))
    with running(world):
        eventually(lambda: world.entries.keys() == {ENTRY})
    assert [type(action) for action in world.actions] == [Reconnect]


def test_a_dry_run_changes_nothing_and_says_what_it_would_do(caplog: pytest.LogCaptureFixture) -> None:
    """Neither endpoints nor entries nor sysctls."""
    world = world_with(RUNNING, container("nginx", running=True, endpoints=(endpoint(NGINX),)))
    world.entries = {ProxyEntry(NGINX, "eth0"): True}
    with caplog.at_level(logging.INFO), running(world, Settings(dry_run=True)):
        eventually(lambda: "would stop proxying" in caplog.text)
    assert "would connect container mon_container to network he_ipv6" in caplog.text
    assert not world.actions
    assert not world.written
    assert world.entries == {ProxyEntry(NGINX, "eth0"): True}


def test_a_daemon_that_starts_takes_no_entry_away_for_a_moment() -> None:
    """Images are not known then: what they decide about stays as the last process left it."""
    attached = replace(RUNNING, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
    world = world_with(attached)
    world.entries = {ENTRY: True}
    with running(world, Settings(resync=0.05)):
        eventually(lambda: world.written)
        passes = threading.Event()
        world.listing = passes.set
        assert passes.wait(timeout=10)
    assert world.entries == {ENTRY: True}
    assert not world.removed


def test_somebody_elses_entry_that_went_away_is_replaced() -> None:
    """What was seen of it is not believed when its address is wanted again."""
    attached = replace(RUNNING, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
    world = world_with(attached)
    world.entries = {ENTRY: False}
    with running(world) as controller:
        eventually(lambda: world.written)
        world.entries.clear()
        controller.post(event(attached, Change.STARTED))
        eventually(lambda: world.entries == {ENTRY: True})


def test_a_misspelt_label_is_remarked_upon_though_nothing_else_is_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Once, with the nearest that exists."""
    world = world_with(container(other_labels={"ipv6.mapper.netwrok": "he_ipv6"}))
    with caplog.at_level(logging.WARNING), running(world, Settings(resync=0.05)):
        eventually(lambda: "did you mean ipv6.mapper.network?" in caplog.text)
        passes = threading.Event()
        world.listing = passes.set
        assert passes.wait(timeout=10)
    assert caplog.text.count("did you mean") == 1


def test_a_label_that_is_the_images_own_is_said_not_to_count(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever wonders why nothing happens finds it in the log."""
    world = world_with(CREATED)
    world.images_there = {builders.IMAGE: {"ipv6.mapper.network": "he_ipv6"}}
    with caplog.at_level(logging.INFO), running(world):
        eventually(lambda: "is its image's own, and does not count" in caplog.text)
    assert not world.actions


def test_an_unexpected_error_ends_a_turn_and_not_the_daemon(caplog: pytest.LogCaptureFixture) -> None:
    """It is said, and the next full pass makes good what was missed."""
    world = world_with(RUNNING)
    errors = iter([RuntimeError("a bug")])

    def fail_once(_: object) -> None:
        for error in errors:
            raise error

    world.pruning = fail_once
    with running(world):
        eventually(lambda: ENTRY in world.entries)
    assert "a bug" in caplog.text


def test_an_image_that_cannot_be_looked_at_exposes_nobody() -> None:
    """Its labels are unknown, so the container's do not count."""
    world = world_with(RUNNING)
    world.images_there = {}
    with running(world, Settings(resync=0.05)):
        eventually(lambda: world.written)
        passes = threading.Event()
        world.listing = passes.set
        assert passes.wait(timeout=10)
    assert not world.actions
    assert not world.entries


def test_two_new_containers_that_want_one_address_are_not_both_attached() -> None:
    """The second is decided on while the first one's connect runs."""
    world, hanging = World(lists_images=True), threading.Event()
    world.failing = lambda _: hanging.wait(timeout=20)
    second = container("second", network="he_ipv6", suffix="3d:7a:30", created=CREATED.created + 1)
    other = container("nginx", network="he_ipv6")
    with running(world, NEVER) as controller:
        eventually(lambda: world.written)
        for each in (CREATED, second, other):
            world.containers[each.id] = each
            controller.post(event(each, Change.CREATED))
        hanging.set()
        eventually(lambda: {CREATED.id, other.id} <= {action.container_id for action in world.actions})
    assert second.id not in {action.container_id for action in world.actions}


def test_whoever_is_being_connected_keeps_the_address_from_one_of_the_same_second() -> None:
    """However the two sort: both would be configured with it, and one could not be started."""
    first = container("one", container_id="b", network="he_ipv6", suffix="7")
    second = container("two", container_id="a", network="he_ipv6", suffix="7")
    world = World(lists_images=True)
    answered = threading.Event()
    world.failing = lambda _: answered.wait(timeout=10)
    with running(world, Settings(resync=60)) as controller:
        eventually(lambda: world.written)
        for each in (first, second):
            world.containers[each.id] = each
            controller.post(event(each, Change.CREATED))
        passes = threading.Event()
        world.listing = passes.set
        controller.post(ResyncNow())
        assert passes.wait(timeout=10)
        answered.set()
        eventually(lambda: world.actions)
    assert [action.container_id for action in world.actions] == [first.id]


def test_only_what_is_ours_is_announced() -> None:
    """Once, when its entry is made; an entry of somebody else's is none of our business."""
    other = container("nginx", network="he_ipv6", running=True)
    world = world_with(RUNNING, other)
    world.entries = {ProxyEntry(NGINX, "eth0"): False}
    announced: list[ProxyEntry] = []
    world.announcing = announced.extend
    with running(world, Settings(resync=0.05)):
        eventually(lambda: len(world.actions) == 2 and ENTRY in world.entries)
        passes = threading.Event()
        world.listing = passes.set
        assert passes.wait(timeout=10)
    assert announced == [ENTRY]


def test_an_announcement_that_fails_is_one_warning_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    """Without CAP_NET_RAW, everything else is done all the same."""
    other = container("nginx", network="he_ipv6", running=True)
    world = world_with(RUNNING, other)

    def refuse(_: Iterable[ProxyEntry]) -> None:
        raise KernelRefusedError("announcing: Operation not permitted")

    world.announcing = refuse
    with running(world):
        eventually(lambda: len(world.entries) == 2)
    assert caplog.text.count("announcing: Operation not permitted") == 1
