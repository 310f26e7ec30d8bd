"""Interrupted actions: no user setting is lost, whichever call of an action fails or is the daemon's last.

The real controller and endpoints run on the fake engine. Each test repeats a scenario with a fault at the
first call, at the second, and so on, until there is no such call.
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
ON_TWO_RELEASES = [
    (scenario, RELEASES[release])
    for scenario in SCENARIOS
    for release in ("28.5", "29.1")
    if release in scenario.releases
]
"""Scenarios on two releases on which a move takes different calls, for the slower tests."""
MOVES = [
    pytest.param(scenario, release, id=f"{scenario.name}, {release.name}")
    for scenario, release in ON_TWO_RELEASES
    if "move running" in scenario.name or "user's" in scenario.name
]
KILLS = [fault for fault in CallFault if fault.kills]
IPV4 = "IPv4 address"
MOST_CALLS = 16
"""A test stops after as many calls. All actions take fewer, or retry the same calls after these."""


def name_of(value: object) -> str:
    """The ID of a parameter."""
    return str(getattr(value, "name", value)).lower()


@pytest.mark.parametrize(("scenario", "release"), CASES)
@pytest.mark.parametrize("fault", CallFault, ids=name_of)
def test_no_user_setting_is_lost_at_whichever_call_an_action_is_interrupted(
    scenario: Scenario, release: Release, fault: CallFault, tmp_path: Path
) -> None:
    """In the end, every container has its user's settings and its address, and can be started."""
    failures = {}
    for call, host in interrupted_at_each_call(scenario, release, fault, tmp_path):
        run_to_convergence(host)
        failures[call] = violations(host, scenario)
    assert len(failures) > 1
    assert not any(failures.values()), failures


@pytest.mark.parametrize(("scenario", "release"), MOVES)
@pytest.mark.parametrize("fault", CallFault, ids=name_of)
@pytest.mark.parametrize("kill", KILLS, ids=name_of)
def test_no_user_setting_is_lost_at_whichever_call_a_restore_is_interrupted(
    scenario: Scenario, release: Release, kill: CallFault, fault: CallFault, tmp_path: Path
) -> None:
    """Two faults: one during a move, one while a new daemon finishes that move."""
    failures = {}
    for call in range(MOST_CALLS):
        for second in range(MOST_CALLS):
            path = tmp_path / f"{call}-{second}"
            host, injection = prepare_host(scenario, release, path), FaultInjection(call, kill)
            run_with_injection(host, injection)
            if not injection.injected:
                break
            second_injection = FaultInjection(second, fault)
            run_with_injection(host, second_injection)
            if not second_injection.injected:
                break
            run_to_convergence(host)
            failures[call, second] = violations(host, scenario)
        if not injection.injected:
            break
    assert len(failures) > 1
    assert not any(failures.values()), {calls: problems for calls, problems in failures.items() if problems}


def restart_engine(host: SimulatedHost) -> None:
    """Restart the engine; all containers are stopped."""
    host.engine.restart(live=False)


def restart_engine_live(host: SimulatedHost) -> None:
    """Restart the engine with live-restore; containers keep running."""
    host.engine.restart(live=True)


def stop_container(host: SimulatedHost) -> None:
    """The user stops the container."""
    host.engine.stop(host.container)


def restart_container(host: SimulatedHost) -> None:
    """The user restarts the container; the engine may refuse the start."""
    host.engine.stop(host.container)
    try:
        host.engine.start(host.container)
    except EngineRefusedError as error:
        host.refused_starts.append(str(error))


def recreate_network(host: SimulatedHost) -> None:
    """The user recreates the network; a new daemon runs while it does not exist."""
    for container in host.engine.containers.values():
        host.engine.stop(container)
    host.engine.replace_network(recreate=False)
    host.new_daemon()
    run_to_convergence(host)
    host.engine.replace_network(recreate=True)
    for container in host.engine.containers.values():
        if settings := container.user_settings.get(HE_IPV6):
            container.user_settings[HE_IPV6] = replace(
                settings, network_id=host.engine.network_by_name[HE_IPV6].id
            )


MEANWHILE = [
    pytest.param(scenario, release, meanwhile, id=f"{scenario.name}, {release.name}, {meanwhile.__name__}")
    for scenario, release in ON_TWO_RELEASES
    for meanwhile in (
        *(restart_engine, restart_engine_live, stop_container, restart_container),
        # A container that is not mapped cannot be started on the new network, even without the mapper.
        *([recreate_network] if scenario.mapped else ()),
    )
]


@pytest.mark.parametrize(("scenario", "release", "meanwhile"), MEANWHILE)
@pytest.mark.parametrize("kill", KILLS, ids=name_of)
def test_no_user_setting_is_lost_where_the_state_changes_while_no_daemon_runs(
    scenario: Scenario,
    release: Release,
    kill: CallFault,
    meanwhile: Callable[[SimulatedHost], None],
    tmp_path: Path,
) -> None:
    """The next daemon finds another state than the killed one left."""
    failures = {}
    for call, host in interrupted_at_each_call(scenario, release, kill, tmp_path):
        meanwhile(host)
        host.new_daemon()
        run_to_convergence(host)
        failures[call] = violations(host, scenario)
    assert len(failures) > 1
    assert not any(failures.values()), failures


@pytest.mark.parametrize(("scenario", "release"), MOVES)
@pytest.mark.parametrize("kill", KILLS, ids=name_of)
def test_a_temporary_endpoint_is_recognized_without_a_journal(
    scenario: Scenario, release: Release, kill: CallFault, tmp_path: Path
) -> None:
    """A reboot deletes the journal, and with it the settings of an endpoint that is detached just then."""
    failures = {}
    for call, host in interrupted_at_each_call(scenario, release, kill, tmp_path):
        if all(HE_IPV6 in container.networks for container in host.engine.containers.values()):
            Journal(host.state_dir).prune(())
            restart_engine(host)
            host.new_daemon()
            run_to_convergence(host)
            failures[call] = violations(host, scenario)
    assert len(failures) > 1
    assert not any(failures.values()), failures


TAKEN = {
    "the user's IPv4 address": {"IPv4Address": "10.9.0.101"},
    "the user's IPv6 address": {"IPv6Address": str(USERS_ADDRESS)},
    "the mapper's address": {"IPv6Address": str(ADDRESS)},
}


@pytest.mark.parametrize(("scenario", "release"), MOVES)
@pytest.mark.parametrize("taken", TAKEN)
def test_an_address_taken_during_an_action_costs_no_other_setting(
    scenario: Scenario, release: Release, taken: str, tmp_path: Path
) -> None:
    """While another container holds it, only this address is missing; afterwards it is restored."""
    failures = {}
    for call in range(MOST_CALLS):
        host = prepare_host(scenario, release, tmp_path / str(call))

        def take(host: SimulatedHost = host) -> None:
            other = host.engine.create("other", {}, {HE_IPV6: {"IPAMConfig": TAKEN[taken]}})
            try:
                host.engine.start(other)
            except EngineRefusedError:
                host.engine.remove(other)

        injection = FaultInjection(call, take)
        run_with_injection(host, injection)
        if not injection.injected:
            break
        run_to_convergence(host)
        ipv4_may_be_lost = "IPv4" in taken or host.engine.has_leaked_address(host.container)
        lost = [
            each
            for each in lost_settings(host.engine, host.container)
            if not (ipv4_may_be_lost and IPV4 in each)
        ]
        for other in [each for each in host.engine.containers.values() if each.name == "other"]:
            host.engine.remove(other)
        run_to_convergence(host)
        host.new_daemon()
        run_to_convergence(host)
        failures[call] = [*lost, *violations(host, scenario)]
    assert len(failures) > 1
    assert not any(failures.values()), failures


@pytest.mark.parametrize("kill", KILLS, ids=name_of)
def test_an_interrupted_move_is_finished_without_a_full_pass(kill: CallFault, tmp_path: Path) -> None:
    """The next daemon knows of it from the journal, whichever call was the last."""
    scenario = next(each for each in SCENARIOS if each.name == "move running")
    late = []
    for call, host in interrupted_at_each_call(scenario, RELEASES["28.5"], kill, tmp_path):
        host.daemon.run_until_idle()
        late += [] if _has_address(host.container) else [call]
    assert not late


def test_stopped_containers_with_swapped_names_get_their_addresses_on_a_recreated_network(
    tmp_path: Path,
) -> None:
    """Each is configured with the address that the other one must get."""
    scenario = next(each for each in SCENARIOS if each.name == "vacate moved ones")
    host = SimulatedHost(FakeEngine(), tmp_path)
    scenario.prepare(host)
    restart_engine(host)
    host.engine.replace_network(recreate=True)
    host.engine.pending_events.pop()  # the event is lost with the stream; the next list shows the change
    run_to_convergence(host)
    requested = {
        container.name: container.networks[HE_IPV6].requested_address("IPv6Address")
        for container in host.engine.containers.values()
    }
    assert requested == {NAME: str(ADDRESS), OTHER_NAME: str(OTHERS_ADDRESS)}


def prepare_host(scenario: Scenario, release: Release, state_dir: Path) -> SimulatedHost:
    """A host on which the daemon plans the scenario's action."""
    host = SimulatedHost(FakeEngine(release), state_dir)
    scenario.prepare(host)
    assert host.plans(scenario.action)
    host.container = next(
        container for container in host.engine.containers.values() if container.name == NAME
    )
    scenario.unseen_change(host)
    return host


def interrupted_at_each_call(
    scenario: Scenario, release: Release, fault: CallFault, path: Path
) -> Iterator[tuple[int, SimulatedHost]]:
    """Yield, for each call, its number and a host on which the fault was injected at that call."""
    for call in range(MOST_CALLS):
        host, injection = prepare_host(scenario, release, path / str(call)), FaultInjection(call, fault)
        run_with_injection(host, injection)
        if not injection.injected:
            return
        yield call, host


def run_with_injection(host: SimulatedHost, injection: FaultInjection) -> None:
    """Run the daemon until it is idle, with a fault injected. A killed daemon is replaced."""
    host.engine.injection = injection
    try:
        host.daemon.run_until_idle()
    except Killed:
        host.new_daemon()
    host.engine.injection = None


def run_to_convergence(host: SimulatedHost) -> None:
    """Run the daemon until it is idle, before and after a full pass."""
    host.daemon.run_until_idle()
    host.daemon.full_pass()
    host.daemon.run_until_idle()


def violations(host: SimulatedHost, scenario: Scenario) -> list[str]:
    """All violations, now and after a restart of each container.

    A leaked IPv4 address is not free before the engine restarts: it may be missing before that, and must be
    there afterwards. Everything else must be there before.
    """
    problems = []
    if any(map(host.engine.has_leaked_address, host.engine.containers.values())):
        problems = [each for each in _violations(host) if not any(map(each.__contains__, (IPV4, RESTORE)))]
        problems += [] if host.refused_starts else _restart_containers(host)
        host.engine.restart(live=True)
        host.new_daemon()
        run_to_convergence(host)
    problems += _violations(host)
    if scenario.mapped and host.container.running and not _has_address(host.container):
        problems.append(f"{NAME} is not mapped")
    problems += _restart_containers(host)
    if scenario.mapped and not _has_address(host.container):
        problems.append(f"{NAME} is not mapped after a restart")
    return problems or [f"{each} after a restart" for each in _violations(host)]


def _restart_containers(host: SimulatedHost) -> list[str]:
    """Restart each container with labels; returns the failures."""
    problems = []
    for container in [each for each in host.engine.containers.values() if each.labels]:
        host.engine.stop(container)
        host.daemon.run_until_idle()
        try:
            host.engine.start(container)
        except EngineRefusedError as error:
            problems.append(f"{container.name} cannot be started: {error}")
        host.daemon.run_until_idle()
    return problems


def _violations(host: SimulatedHost) -> list[str]:
    problems = []
    for container in host.engine.containers.values():
        problems += [*lost_settings(host.engine, container), *unfinished_marks(container)]
        if host.daemon.endpoints.unfinished(container.id):
            problems.append(f"{container.name} has an unfinished action")
        for name in container.networks.keys() - container.user_settings.keys():
            if MARK not in (container.networks[name].requested.get("DriverOpts") or {}):
                problems.append(
                    f"{container.name} is on {name}, but neither its user nor the mapper attached it"
                )
    return problems


def _has_address(container: FakeContainer) -> bool:
    endpoint = container.networks.get(HE_IPV6)
    return endpoint is not None and endpoint.ipv6 == str(ADDRESS)
