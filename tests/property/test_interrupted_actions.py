"""Interrupted actions: whatever call of whatever action fails or is the daemon's last, nothing is lost.

The real controller with the real endpoints on the engine of the model. Each law is tried at every call: the
daemon does all that it has to do, and something befalls its k-th call, until there is no such call.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dockeripv6mapper.engine.journal import Journal
from dockeripv6mapper.engine.translate import MARK
from dockeripv6mapper.errors import EngineRefusedError
from tests.property.fake_containers import RELEASES, Box, Release
from tests.property.fake_engine import FakeEngine
from tests.property.fault_injection import Ambush, Death, Trouble
from tests.property.scenarios import (
    ADDRESS,
    NAME,
    OTHER_NAME,
    OTHERS_ADDRESS,
    SITUATIONS,
    USERS_ADDRESS,
    Scene,
    Situation,
)
from tests.property.user_settings import RESTORE, losses, unfinished_marks
from tests.unit.builders import HE_IPV6

CASES = [
    pytest.param(situation, RELEASES[release], id=f"{situation.name}, {release}")
    for situation in SITUATIONS
    for release in RELEASES
    if release in situation.releases
]
RARER = [
    (situation, RELEASES[release])
    for situation in SITUATIONS
    for release in ("28.5", "29.1")
    if release in situation.releases
]
"""Those of two releases, which differ in how a move is made."""
MOVES = [
    pytest.param(situation, release, id=f"{situation.name}, {release.name}")
    for situation, release in RARER
    if "move running" in situation.name or "user's" in situation.name
]
DEATHS = [trouble for trouble in Trouble if trouble.kills]
IPV4 = "IPv4 address"
MOST_CALLS = 16
"""Whatever is done takes fewer calls, or does the same again after these."""


def name_of(value: object) -> str:
    """The ID of a parameter."""
    return str(getattr(value, "name", value)).lower()


@pytest.mark.parametrize(("situation", "release"), CASES)
@pytest.mark.parametrize("trouble", Trouble, ids=name_of)
def test_nothing_is_lost_at_whatever_call_an_action_is_interrupted(
    situation: Situation, release: Release, trouble: Trouble, tmp_path: Path
) -> None:
    """Every container ends with all that its user asked for, startable, and at its address."""
    broken = {}
    for call, scene in interrupted(situation, release, trouble, tmp_path):
        come_to_rest(scene)
        broken[call] = faults(scene, situation)
    assert len(broken) > 1
    assert not any(broken.values()), broken


@pytest.mark.parametrize(("situation", "release"), MOVES)
@pytest.mark.parametrize("trouble", Trouble, ids=name_of)
@pytest.mark.parametrize("death", DEATHS, ids=name_of)
def test_nothing_is_lost_at_whatever_call_a_restore_is_interrupted(
    situation: Situation, release: Release, death: Trouble, trouble: Trouble, tmp_path: Path
) -> None:
    """Twice in trouble: in the middle of a move, and in the middle of finishing that."""
    broken = {}
    for call in range(MOST_CALLS):
        for second in range(MOST_CALLS):
            path = tmp_path / f"{call}-{second}"
            scene, ambush = about_to(situation, release, path), Ambush(call, death)
            strike(scene, ambush)
            if not ambush.sprung:
                break
            next_ambush = Ambush(second, trouble)
            strike(scene, next_ambush)
            if not next_ambush.sprung:
                break
            come_to_rest(scene)
            broken[call, second] = faults(scene, situation)
        if not ambush.sprung:
            break
    assert len(broken) > 1
    assert not any(broken.values()), {calls: what for calls, what in broken.items() if what}


def restart_engine(scene: Scene) -> None:
    """All containers are stopped."""
    scene.engine.restart(live=False)


def restart_engine_live(scene: Scene) -> None:
    """Containers run on."""
    scene.engine.restart(live=True)


def stop_container(scene: Scene) -> None:
    """By its user."""
    scene.engine.stop(scene.box)


def restart_container(scene: Scene) -> None:
    """By its user, who may meet a refusal."""
    scene.engine.stop(scene.box)
    try:
        scene.engine.start(scene.box)
    except EngineRefusedError as error:
        scene.refused_starts.append(str(error))


def make_network_anew(scene: Scene) -> None:
    """The next daemon finishes what was begun while there is no network of that name."""
    for box in scene.engine.boxes.values():
        scene.engine.stop(box)
    scene.engine.replace_network(anew=False)
    scene.new_daemon()
    come_to_rest(scene)
    scene.engine.replace_network(anew=True)
    for box in scene.engine.boxes.values():
        if gift := box.given.get(HE_IPV6):
            box.given[HE_IPV6] = replace(gift, network_id=scene.engine.there[HE_IPV6].id)


MEANWHILE = [
    pytest.param(situation, release, meanwhile, id=f"{situation.name}, {release.name}, {meanwhile.__name__}")
    for situation, release in RARER
    for meanwhile in (
        *(restart_engine, restart_engine_live, stop_container, restart_container),
        # Without the mapper, one that is not to be mapped could not be started on the new network.
        *([make_network_anew] if situation.mapped else ()),
    )
]


@pytest.mark.parametrize(("situation", "release", "meanwhile"), MEANWHILE)
@pytest.mark.parametrize("death", DEATHS, ids=name_of)
def test_nothing_is_lost_where_the_world_goes_on_while_the_daemon_is_dead(
    situation: Situation,
    release: Release,
    death: Trouble,
    meanwhile: Callable[[Scene], None],
    tmp_path: Path,
) -> None:
    """The daemon finds another state than the one that it was killed in."""
    broken = {}
    for call, scene in interrupted(situation, release, death, tmp_path):
        meanwhile(scene)
        scene.new_daemon()
        come_to_rest(scene)
        broken[call] = faults(scene, situation)
    assert len(broken) > 1
    assert not any(broken.values()), broken


@pytest.mark.parametrize(("situation", "release"), MOVES)
@pytest.mark.parametrize("death", DEATHS, ids=name_of)
def test_an_endpoint_that_is_there_for_a_moment_is_known_as_such_without_a_note(
    situation: Situation, release: Release, death: Trouble, tmp_path: Path
) -> None:
    """Notes go with a reboot. What was set on an endpoint that was just detached goes with them."""
    broken = {}
    for call, scene in interrupted(situation, release, death, tmp_path):
        if all(HE_IPV6 in box.networks for box in scene.engine.boxes.values()):
            Journal(scene.state_dir).prune(())
            restart_engine(scene)
            scene.new_daemon()
            come_to_rest(scene)
            broken[call] = faults(scene, situation)
    assert len(broken) > 1
    assert not any(broken.values()), broken


TAKEN = {
    "the user's IPv4 address": {"IPv4Address": "10.9.0.101"},
    "the user's IPv6 address": {"IPv6Address": str(USERS_ADDRESS)},
    "the mapper's address": {"IPv6Address": str(ADDRESS)},
}


@pytest.mark.parametrize(("situation", "release"), MOVES)
@pytest.mark.parametrize("taken", TAKEN)
def test_an_address_that_another_takes_in_the_middle_of_an_action_costs_nothing_else(
    situation: Situation, release: Release, taken: str, tmp_path: Path
) -> None:
    """While the other has it, the endpoint has all else; afterwards it has that again."""
    broken = {}
    for call in range(MOST_CALLS):
        scene = about_to(situation, release, tmp_path / str(call))

        def take(scene: Scene = scene) -> None:
            thief = scene.engine.create("thief", {}, {HE_IPV6: {"IPAMConfig": TAKEN[taken]}})
            try:
                scene.engine.start(thief)
            except EngineRefusedError:
                scene.engine.remove(thief)

        ambush = Ambush(call, take)
        strike(scene, ambush)
        if not ambush.sprung:
            break
        come_to_rest(scene)
        excused = "IPv4" in taken or scene.engine.is_burned(scene.box)
        lost = [each for each in losses(scene.engine, scene.box) if not (excused and IPV4 in each)]
        for thief in [each for each in scene.engine.boxes.values() if each.name == "thief"]:
            scene.engine.remove(thief)
        come_to_rest(scene)
        scene.new_daemon()
        come_to_rest(scene)
        broken[call] = [*lost, *faults(scene, situation)]
    assert len(broken) > 1
    assert not any(broken.values()), broken


@pytest.mark.parametrize("death", DEATHS, ids=name_of)
def test_a_move_that_was_cut_off_is_made_without_waiting_for_a_full_pass(
    death: Trouble, tmp_path: Path
) -> None:
    """The next daemon knows of it from the note, whatever call was the last."""
    situation = next(each for each in SITUATIONS if each.name == "move running")
    late = []
    for call, scene in interrupted(situation, RELEASES["28.5"], death, tmp_path):
        scene.daemon.settle()
        late += [] if _has_address(scene.box) else [call]
    assert not late


def test_swapped_names_do_not_keep_stopped_containers_from_a_network_that_was_made_anew(
    tmp_path: Path,
) -> None:
    """Each is configured with the address that the other is to have, as the daemon has seen."""
    situation = next(each for each in SITUATIONS if each.name == "vacate moved ones")
    scene = Scene(FakeEngine(), tmp_path)
    situation.prepare(scene)
    restart_engine(scene)
    scene.engine.replace_network(anew=True)
    scene.engine.told.pop()  # the event stream was cut, and the next list shows it
    come_to_rest(scene)
    requested = {
        box.name: box.networks[HE_IPV6].requested("IPv6Address") for box in scene.engine.boxes.values()
    }
    assert requested == {NAME: str(ADDRESS), OTHER_NAME: str(OTHERS_ADDRESS)}


def about_to(situation: Situation, release: Release, state_dir: Path) -> Scene:
    """A scene in which the daemon is about to act."""
    scene = Scene(FakeEngine(release), state_dir)
    situation.prepare(scene)
    assert scene.is_about_to(situation.action)
    scene.box = next(box for box in scene.engine.boxes.values() if box.name == NAME)
    situation.unseen(scene)
    return scene


def interrupted(
    situation: Situation, release: Release, trouble: Trouble, path: Path
) -> Iterator[tuple[int, Scene]]:
    """A scene for each call that there is to be interrupted, just after that."""
    for call in range(MOST_CALLS):
        scene, ambush = about_to(situation, release, path / str(call)), Ambush(call, trouble)
        strike(scene, ambush)
        if not ambush.sprung:
            return
        yield call, scene


def strike(scene: Scene, ambush: Ambush) -> None:
    """Have the daemon do all that it has to do, and fall into the ambush; one that dies is started anew."""
    scene.engine.ambush = ambush
    try:
        scene.daemon.settle()
    except Death:
        scene.new_daemon()
    scene.engine.ambush = None


def come_to_rest(scene: Scene) -> None:
    """Have the daemon do all that it has to do, and the same after a full pass."""
    scene.daemon.settle()
    scene.daemon.full_pass()
    scene.daemon.settle()


def faults(scene: Scene, situation: Situation) -> list[str]:
    """What is not as it must be, now, and after each container was started anew.

    An IPv4 address that the engine holds for an endpoint that it refused can be nobody's until the engine
    restarts: all else must be there before, and it must be there afterwards.
    """
    found = []
    if any(map(scene.engine.is_burned, scene.engine.boxes.values())):
        found = [each for each in _faults(scene) if not any(map(each.__contains__, (IPV4, RESTORE)))]
        found += [] if scene.refused_starts else _start_again(scene)
        scene.engine.restart(live=True)
        scene.new_daemon()
        come_to_rest(scene)
    found += _faults(scene)
    if situation.mapped and scene.box.running and not _has_address(scene.box):
        found.append(f"{NAME} is not mapped")
    found += _start_again(scene)
    if situation.mapped and not _has_address(scene.box):
        found.append(f"{NAME} is not mapped after a restart")
    return found or [f"{each} after a restart" for each in _faults(scene)]


def _start_again(scene: Scene) -> list[str]:
    """Start each container anew that is to be mapped; returns which could not be."""
    found = []
    for box in [each for each in scene.engine.boxes.values() if each.labels]:
        scene.engine.stop(box)
        scene.daemon.settle()
        try:
            scene.engine.start(box)
        except EngineRefusedError as error:
            found.append(f"{box.name} cannot be started: {error}")
        scene.daemon.settle()
    return found


def _faults(scene: Scene) -> list[str]:
    found = []
    for box in scene.engine.boxes.values():
        found += [*losses(scene.engine, box), *unfinished_marks(box)]
        if scene.daemon.endpoints.unfinished(box.id):
            found.append(f"{box.name} has a note")
        for name in box.networks.keys() - box.given.keys():
            if MARK not in (box.networks[name].asked.get("DriverOpts") or {}):
                found.append(f"{box.name} is on {name}, and nothing says why")
    return found


def _has_address(box: Box) -> bool:
    plug = box.networks.get(HE_IPV6)
    return plug is not None and plug.ipv6 == str(ADDRESS)
