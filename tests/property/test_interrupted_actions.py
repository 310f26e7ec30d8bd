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
from tests.property.fake_containers import RELEASES, FakeContainer, Release
from tests.property.fake_engine import FakeEngine
from tests.property.fault_injection import CallFault, FaultInjection, Killed
from tests.property.scenarios import (
    ADDRESS,
    NAME,
    OTHER_NAME,
    OTHERS_ADDRESS,
    SCENARIOS,
    USERS_ADDRESS,
    Scenario,
    SimulatedHost,
)
from tests.property.user_settings import RESTORE, lost_settings, unfinished_marks
from tests.unit.builders import HE_IPV6

CASES = [
    pytest.param(scenario, RELEASES[release], id=f"{scenario.name}, {release}")
    for scenario in SCENARIOS
    for release in RELEASES
    if release in scenario.releases
]
RARER = [
    (scenario, RELEASES[release])
    for scenario in SCENARIOS
    for release in ("28.5", "29.1")
    if release in scenario.releases
]
"""Those of two releases, which differ in how a move is made."""
MOVES = [
    pytest.param(scenario, release, id=f"{scenario.name}, {release.name}")
    for scenario, release in RARER
    if "move running" in scenario.name or "user's" in scenario.name
]
KILLS = [fault for fault in CallFault if fault.kills]
IPV4 = "IPv4 address"
MOST_CALLS = 16
"""Whatever is done takes fewer calls, or does the same again after these."""


def name_of(value: object) -> str:
    """The ID of a parameter."""
    return str(getattr(value, "name", value)).lower()


@pytest.mark.parametrize(("scenario", "release"), CASES)
@pytest.mark.parametrize("fault", CallFault, ids=name_of)
def test_nothing_is_lost_at_whatever_call_an_action_is_interrupted(
    scenario: Scenario, release: Release, fault: CallFault, tmp_path: Path
) -> None:
    """Every container ends with all that its user asked for, startable, and at its address."""
    broken = {}
    for call, host in interrupted_at_each_call(scenario, release, fault, tmp_path):
        run_to_convergence(host)
        broken[call] = violations(host, scenario)
    assert len(broken) > 1
    assert not any(broken.values()), broken


@pytest.mark.parametrize(("scenario", "release"), MOVES)
@pytest.mark.parametrize("fault", CallFault, ids=name_of)
@pytest.mark.parametrize("kill", KILLS, ids=name_of)
def test_nothing_is_lost_at_whatever_call_a_restore_is_interrupted(
    scenario: Scenario, release: Release, kill: CallFault, fault: CallFault, tmp_path: Path
) -> None:
    """Twice in trouble: in the middle of a move, and in the middle of finishing that."""
    broken = {}
    for call in range(MOST_CALLS):
        for second in range(MOST_CALLS):
            path = tmp_path / f"{call}-{second}"
            host, injection = about_to(scenario, release, path), FaultInjection(call, kill)
            run_with_injection(host, injection)
            if not injection.injected:
                break
            second_injection = FaultInjection(second, fault)
            run_with_injection(host, second_injection)
            if not second_injection.injected:
                break
            run_to_convergence(host)
            broken[call, second] = violations(host, scenario)
        if not injection.injected:
            break
    assert len(broken) > 1
    assert not any(broken.values()), {calls: what for calls, what in broken.items() if what}


def restart_engine(host: SimulatedHost) -> None:
    """All containers are stopped."""
    host.engine.restart(live=False)


def restart_engine_live(host: SimulatedHost) -> None:
    """Containers run on."""
    host.engine.restart(live=True)


def stop_container(host: SimulatedHost) -> None:
    """By its user."""
    host.engine.stop(host.box)


def restart_container(host: SimulatedHost) -> None:
    """By its user, who may meet a refusal."""
    host.engine.stop(host.box)
    try:
        host.engine.start(host.box)
    except EngineRefusedError as error:
        host.refused_starts.append(str(error))


def make_network_anew(host: SimulatedHost) -> None:
    """The next daemon finishes what was begun while there is no network of that name."""
    for box in host.engine.boxes.values():
        host.engine.stop(box)
    host.engine.replace_network(anew=False)
    host.new_daemon()
    run_to_convergence(host)
    host.engine.replace_network(anew=True)
    for box in host.engine.boxes.values():
        if all_settings := box.given.get(HE_IPV6):
            box.given[HE_IPV6] = replace(all_settings, network_id=host.engine.there[HE_IPV6].id)


MEANWHILE = [
    pytest.param(scenario, release, meanwhile, id=f"{scenario.name}, {release.name}, {meanwhile.__name__}")
    for scenario, release in RARER
    for meanwhile in (
        *(restart_engine, restart_engine_live, stop_container, restart_container),
        # Without the mapper, one that is not to be mapped could not be started on the new network.
        *([make_network_anew] if scenario.mapped else ()),
    )
]


@pytest.mark.parametrize(("scenario", "release", "meanwhile"), MEANWHILE)
@pytest.mark.parametrize("kill", KILLS, ids=name_of)
def test_nothing_is_lost_where_the_world_goes_on_while_the_daemon_is_dead(
    scenario: Scenario,
    release: Release,
    kill: CallFault,
    meanwhile: Callable[[SimulatedHost], None],
    tmp_path: Path,
) -> None:
    """The daemon finds another state than the one that it was killed in."""
    broken = {}
    for call, host in interrupted_at_each_call(scenario, release, kill, tmp_path):
        meanwhile(host)
        host.new_daemon()
        run_to_convergence(host)
        broken[call] = violations(host, scenario)
    assert len(broken) > 1
    assert not any(broken.values()), broken


@pytest.mark.parametrize(("scenario", "release"), MOVES)
@pytest.mark.parametrize("kill", KILLS, ids=name_of)
def test_an_endpoint_that_is_there_for_a_moment_is_known_as_such_without_a_note(
    scenario: Scenario, release: Release, kill: CallFault, tmp_path: Path
) -> None:
    """Notes go with a reboot. What was set on an endpoint that was just detached goes with them."""
    broken = {}
    for call, host in interrupted_at_each_call(scenario, release, kill, tmp_path):
        if all(HE_IPV6 in box.networks for box in host.engine.boxes.values()):
            Journal(host.state_dir).prune(())
            restart_engine(host)
            host.new_daemon()
            run_to_convergence(host)
            broken[call] = violations(host, scenario)
    assert len(broken) > 1
    assert not any(broken.values()), broken


TAKEN = {
    "the user's IPv4 address": {"IPv4Address": "10.9.0.101"},
    "the user's IPv6 address": {"IPv6Address": str(USERS_ADDRESS)},
    "the mapper's address": {"IPv6Address": str(ADDRESS)},
}


@pytest.mark.parametrize(("scenario", "release"), MOVES)
@pytest.mark.parametrize("taken", TAKEN)
def test_an_address_that_another_takes_in_the_middle_of_an_action_costs_nothing_else(
    scenario: Scenario, release: Release, taken: str, tmp_path: Path
) -> None:
    """While the other has it, the endpoint has all else; afterwards it has that again."""
    broken = {}
    for call in range(MOST_CALLS):
        host = about_to(scenario, release, tmp_path / str(call))

        def take(host: SimulatedHost = host) -> None:
            thief = host.engine.create("thief", {}, {HE_IPV6: {"IPAMConfig": TAKEN[taken]}})
            try:
                host.engine.start(thief)
            except EngineRefusedError:
                host.engine.remove(thief)

        injection = FaultInjection(call, take)
        run_with_injection(host, injection)
        if not injection.injected:
            break
        run_to_convergence(host)
        excused = "IPv4" in taken or host.engine.has_leaked_address(host.box)
        lost = [each for each in lost_settings(host.engine, host.box) if not (excused and IPV4 in each)]
        for thief in [each for each in host.engine.boxes.values() if each.name == "thief"]:
            host.engine.remove(thief)
        run_to_convergence(host)
        host.new_daemon()
        run_to_convergence(host)
        broken[call] = [*lost, *violations(host, scenario)]
    assert len(broken) > 1
    assert not any(broken.values()), broken


@pytest.mark.parametrize("kill", KILLS, ids=name_of)
def test_a_move_that_was_cut_off_is_made_without_waiting_for_a_full_pass(
    kill: CallFault, tmp_path: Path
) -> None:
    """The next daemon knows of it from the note, whatever call was the last."""
    scenario = next(each for each in SCENARIOS if each.name == "move running")
    late = []
    for call, host in interrupted_at_each_call(scenario, RELEASES["28.5"], kill, tmp_path):
        host.daemon.settle()
        late += [] if _has_address(host.box) else [call]
    assert not late


def test_swapped_names_do_not_keep_stopped_containers_from_a_network_that_was_made_anew(
    tmp_path: Path,
) -> None:
    """Each is configured with the address that the other is to have, as the daemon has seen."""
    scenario = next(each for each in SCENARIOS if each.name == "vacate moved ones")
    host = SimulatedHost(FakeEngine(), tmp_path)
    scenario.prepare(host)
    restart_engine(host)
    host.engine.replace_network(anew=True)
    host.engine.pending_events.pop()  # the event stream was cut, and the next list shows it
    run_to_convergence(host)
    requested = {
        box.name: box.networks[HE_IPV6].requested("IPv6Address") for box in host.engine.boxes.values()
    }
    assert requested == {NAME: str(ADDRESS), OTHER_NAME: str(OTHERS_ADDRESS)}


def about_to(scenario: Scenario, release: Release, state_dir: Path) -> SimulatedHost:
    """A scene in which the daemon is about to act."""
    host = SimulatedHost(FakeEngine(release), state_dir)
    scenario.prepare(host)
    assert host.is_about_to(scenario.action)
    host.box = next(box for box in host.engine.boxes.values() if box.name == NAME)
    scenario.unseen(host)
    return host


def interrupted_at_each_call(
    scenario: Scenario, release: Release, fault: CallFault, path: Path
) -> Iterator[tuple[int, SimulatedHost]]:
    """A scene for each call that there is to be interrupted, just after that."""
    for call in range(MOST_CALLS):
        host, injection = about_to(scenario, release, path / str(call)), FaultInjection(call, fault)
        run_with_injection(host, injection)
        if not injection.injected:
            return
        yield call, host


def run_with_injection(host: SimulatedHost, injection: FaultInjection) -> None:
    """Have the daemon do all that it has to do, and fall into the ambush; one that dies is started anew."""
    host.engine.injection = injection
    try:
        host.daemon.settle()
    except Killed:
        host.new_daemon()
    host.engine.injection = None


def run_to_convergence(host: SimulatedHost) -> None:
    """Have the daemon do all that it has to do, and the same after a full pass."""
    host.daemon.settle()
    host.daemon.full_pass()
    host.daemon.settle()


def violations(host: SimulatedHost, scenario: Scenario) -> list[str]:
    """What is not as it must be, now, and after each container was started anew.

    An IPv4 address that the engine holds for an endpoint that it refused can be nobody's until the engine
    restarts: all else must be there before, and it must be there afterwards.
    """
    found = []
    if any(map(host.engine.has_leaked_address, host.engine.boxes.values())):
        found = [each for each in _violations(host) if not any(map(each.__contains__, (IPV4, RESTORE)))]
        found += [] if host.refused_starts else _start_again(host)
        host.engine.restart(live=True)
        host.new_daemon()
        run_to_convergence(host)
    found += _violations(host)
    if scenario.mapped and host.box.running and not _has_address(host.box):
        found.append(f"{NAME} is not mapped")
    found += _start_again(host)
    if scenario.mapped and not _has_address(host.box):
        found.append(f"{NAME} is not mapped after a restart")
    return found or [f"{each} after a restart" for each in _violations(host)]


def _start_again(host: SimulatedHost) -> list[str]:
    """Start each container anew that is to be mapped; returns which could not be."""
    found = []
    for box in [each for each in host.engine.boxes.values() if each.labels]:
        host.engine.stop(box)
        host.daemon.settle()
        try:
            host.engine.start(box)
        except EngineRefusedError as error:
            found.append(f"{box.name} cannot be started: {error}")
        host.daemon.settle()
    return found


def _violations(host: SimulatedHost) -> list[str]:
    found = []
    for box in host.engine.boxes.values():
        found += [*lost_settings(host.engine, box), *unfinished_marks(box)]
        if host.daemon.endpoints.unfinished(box.id):
            found.append(f"{box.name} has a note")
        for name in box.networks.keys() - box.given.keys():
            if MARK not in (box.networks[name].asked.get("DriverOpts") or {}):
                found.append(f"{box.name} is on {name}, and nothing says why")
    return found


def _has_address(box: FakeContainer) -> bool:
    plug = box.networks.get(HE_IPV6)
    return plug is not None and plug.ipv6 == str(ADDRESS)
