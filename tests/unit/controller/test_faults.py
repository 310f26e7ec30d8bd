"""Partial failure: one hanging or failing call delays nothing else, and is logged once."""

import itertools
import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from errno import ENOBUFS

import pytest

from dockeripv6mapper.actions import EndpointAction, SysctlChange
from dockeripv6mapper.controller.queue import HostChanged, ResyncNow
from dockeripv6mapper.controller.workqueue import INSPECTION_THREADS
from dockeripv6mapper.engine.events import Change, Subscribed
from dockeripv6mapper.errors import (
    EngineRefusedError,
    EngineUnavailableError,
    KernelRefusedError,
    MapperError,
    NoAnswerError,
)
from dockeripv6mapper.kernel.proxies import Outcome
from dockeripv6mapper.model import Container, FirewallRules, ProxyEntry
from tests.lab.waiting import eventually
from tests.unit.builders import MON_CONTAINER, NGINX, container, endpoint
from tests.unit.controller.world import NEVER, World, event, running_controller

CREATED = container(network="he_ipv6")
ATTACHED = replace(CREATED, running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
OTHER = container("nginx", network="he_ipv6", running=True, endpoints=(endpoint(NGINX, NGINX),))
ENTRY, OTHER_ENTRY = ProxyEntry(MON_CONTAINER, "eth0"), ProxyEntry(NGINX, "eth0")
SERVING = replace(ATTACHED, labels={**ATTACHED.labels, "ipv6.mapper.ports": "80"})


@dataclass
class FaultyWorld(World):
    """A world in which inspections hang or fail, and the kernel refuses proxy entries."""

    hanging_inspections: set[str] = field(default_factory=set)
    """IDs of containers whose inspection hangs until `released`."""
    inspection_errors: dict[str, MapperError] = field(default_factory=dict)
    """Errors of failing inspections, by container ID."""
    refusals_left: dict[ProxyEntry, int] = field(default_factory=dict)
    """How many more times the kernel refuses to add each entry."""
    released: threading.Event = field(default_factory=threading.Event)

    def container(self, container_id: str) -> Container | None:
        """Inspect one container; hang or fail as configured."""
        if container_id in self.hanging_inspections:
            self.released.wait(timeout=30)
        if container_id in self.inspection_errors:
            raise self.inspection_errors[container_id]
        return super().container(container_id)

    def add_proxies(self, entries: Iterable[ProxyEntry]) -> Outcome:
        """Add all entries except the refused ones."""
        wanted = list(entries)
        refused = [entry for entry in wanted if self.refusals_left.get(entry, 0) > 0]
        for entry in refused:
            self.refusals_left[entry] -= 1
        outcome = super().add_proxies([entry for entry in wanted if entry not in refused])
        error = KernelRefusedError(f"adding an entry: {ENOBUFS}")
        outcome.failed = dict.fromkeys(refused, error)
        return outcome


def faulty_world(*containers: Container) -> FaultyWorld:
    """Return a world with these containers."""
    return FaultyWorld(containers={each.id: each for each in containers})


@contextmanager
def record_failure_counts(monkeypatch: pytest.MonkeyPatch, seconds: float = 0.01) -> Iterator[list[int]]:
    """Yield the failure counts passed to the backoff; every delay is `seconds`."""
    failure_counts: list[int] = []

    def delay(failures: int) -> float:
        failure_counts.append(failures)
        return seconds

    monkeypatch.setattr("dockeripv6mapper.backoff.delay", delay)
    yield failure_counts


def logged(caplog: pytest.LogCaptureFixture, part: str) -> list[str]:
    """Return the messages above DEBUG that contain `part`."""
    return [each.message for each in caplog.records if part in each.message and each.levelno > logging.DEBUG]


def test_hanging_inspections_do_not_delay_other_containers() -> None:
    """One inspection thread is still free."""
    world, hanging = world_with_hanging_inspections(INSPECTION_THREADS - 1)
    try:
        with running_controller(world, NEVER) as controller:
            eventually(lambda: world.kernel_writes)
            for each in hanging:
                controller.post(event(each, Change.OTHER))
            world.containers[ATTACHED.id] = ATTACHED
            controller.post(event(ATTACHED, Change.OTHER))
            eventually(lambda: ENTRY in world.entries)
    finally:
        world.released.set()


def test_hanging_inspections_do_not_delay_a_full_list() -> None:
    """All inspection threads hang, and the list shows the new container."""
    world, hanging = world_with_hanging_inspections(INSPECTION_THREADS)
    try:
        with running_controller(world, NEVER) as controller:
            eventually(lambda: world.kernel_writes)
            for each in hanging:
                controller.post(event(each, Change.OTHER))
            world.containers[ATTACHED.id] = ATTACHED
            controller.post(ResyncNow())
            eventually(lambda: ENTRY in world.entries)
    finally:
        world.released.set()


def world_with_hanging_inspections(count: int) -> tuple[FaultyWorld, list[Container]]:
    """Return a world with `count` containers whose inspections hang, and these containers."""
    hanging = [container(f"hanging{number}") for number in range(count)]
    world = faulty_world(*hanging)
    world.hanging_inspections = {each.id for each in hanging}
    world.lists_images = True
    return world, hanging


def test_a_hanging_list_delays_neither_a_container_nor_the_shutdown() -> None:
    """Several full passes are requested while the list hangs."""
    world = faulty_world()
    with running_controller(world, NEVER) as controller:
        eventually(lambda: world.kernel_writes)
        list_began = threading.Event()

        def hang() -> None:
            list_began.set()
            world.released.wait(timeout=30)

        world.before_list = hang
        for _ in range(3):
            controller.post(ResyncNow())
        assert list_began.wait(timeout=10)
        world.containers[ATTACHED.id] = ATTACHED
        controller.post(event(ATTACHED, Change.OTHER))
        eventually(lambda: ENTRY in world.entries)
    assert not world.released.is_set()
    world.released.set()


def test_a_refused_proxy_entry_is_retried_before_the_next_full_pass(caplog: pytest.LogCaptureFixture) -> None:
    """The failure is logged when it begins and when it ends; other entries are added meanwhile."""
    world = faulty_world(ATTACHED, OTHER)
    world.refusals_left = {ENTRY: 3}
    with caplog.at_level(logging.INFO), running_controller(world, NEVER):
        eventually(lambda: OTHER_ENTRY in world.entries)
        assert ENTRY not in world.entries
        eventually(lambda: ENTRY in world.entries)
        eventually(lambda: len(logged(caplog, "adding an entry")) == 2)
    begin, end = logged(caplog, "adding an entry")
    assert begin.startswith("adding")
    assert end.startswith("no longer failing")


def test_a_refused_sysctl_is_retried_before_the_next_full_pass() -> None:
    """The first write fails, and the retry succeeds."""
    world = faulty_world()
    tries = itertools.count()

    def refuse_once(change: SysctlChange) -> None:
        if next(tries) == 0:
            raise KernelRefusedError(f"setting {change.key}: no")

    world.on_write_sysctl = refuse_once
    with running_controller(world, NEVER):
        eventually(lambda: world.sysctls.get("conf/eth0/proxy_ndp") == "1")


def test_a_sysctl_refused_after_a_host_change_is_retried_before_the_next_full_pass() -> None:
    """No other change causes a pass."""
    world = faulty_world()
    with running_controller(world, NEVER) as controller:
        eventually(lambda: world.sysctls.get("conf/eth0/proxy_ndp") == "1")
        tries = itertools.count()

        def refuse_once(change: SysctlChange) -> None:
            if next(tries) == 0:
                raise KernelRefusedError(f"setting {change.key}: no")

        world.on_write_sysctl = refuse_once
        world.sysctls["conf/eth0/proxy_ndp"] = "0"
        controller.post(HostChanged())
        eventually(lambda: world.sysctls["conf/eth0/proxy_ndp"] == "1")


def test_the_backoff_grows_with_each_refusal_by_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every attempt counts as one more failure in a row."""
    world = faulty_world(ATTACHED)
    world.refusals_left = {ENTRY: 5}
    with record_failure_counts(monkeypatch) as failure_counts, running_controller(world, NEVER):
        eventually(lambda: ENTRY in world.entries)
    assert failure_counts[:3] == [1, 2, 3]


def test_events_of_other_containers_do_not_postpone_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other containers stop and start while the retry is pending."""
    world = faulty_world(ATTACHED, OTHER)
    world.refusals_left = {ENTRY: 1000}
    with (
        record_failure_counts(monkeypatch, 3600) as failure_counts,
        running_controller(world, NEVER) as controller,
    ):
        eventually(lambda: failure_counts)
        for _ in range(3):
            controller.post(event(OTHER, Change.DIED))
            eventually(lambda: OTHER_ENTRY not in world.entries)
            controller.post(event(OTHER, Change.STARTED))
            eventually(lambda: OTHER_ENTRY in world.entries)
    assert failure_counts == [1]


def test_a_refused_entry_is_not_retried_after_its_container_was_destroyed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The end of the failure is logged."""
    world = faulty_world(ATTACHED)
    world.refusals_left = {ENTRY: 1000}
    with caplog.at_level(logging.INFO), running_controller(world, NEVER) as controller:
        eventually(lambda: world.refusals_left[ENTRY] < 1000)
        del world.containers[ATTACHED.id]
        controller.post(event(ATTACHED, Change.DESTROYED))
        eventually(lambda: logged(caplog, "no longer failing: adding an entry"))
        left = world.refusals_left[ENTRY]
        controller.post(event(OTHER, Change.OTHER))
        eventually(lambda: OTHER.id in world.inspected)
    assert world.refusals_left[ENTRY] == left


def test_a_failed_firewall_write_is_retried_before_the_next_full_pass(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The failure is logged when it begins and when it ends."""
    world = faulty_world(SERVING)
    tries = 0

    def fail_twice(_: FirewallRules) -> None:
        nonlocal tries
        if (tries := tries + 1) <= 2:
            raise KernelRefusedError("running nft: busy")

    world.on_write_firewall = fail_twice
    with caplog.at_level(logging.INFO), running_controller(world, NEVER):
        eventually(lambda: world.firewall.openings)
    assert len(logged(caplog, "running nft: busy")) == 2


def test_one_unanswered_call_does_not_count_as_an_unreachable_engine(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The failure is logged once for that container, although other calls succeed in between."""
    world = faulty_world(ATTACHED, OTHER)
    world.inspection_errors = {
        CREATED.id: NoAnswerError("inspecting mon_container: the engine does not answer")
    }
    with caplog.at_level(logging.INFO), running_controller(world, NEVER) as controller:
        eventually(lambda: world.kernel_writes)
        for _ in range(3):
            world.inspected.clear()
            controller.post(event(CREATED, Change.OTHER))
            controller.post(event(OTHER, Change.OTHER))
            eventually(lambda: OTHER.id in world.inspected)
        eventually(lambda: logged(caplog, "inspecting mon_container"))
        world.inspection_errors = {}
        eventually(lambda: logged(caplog, "no longer failing"))
    assert len(logged(caplog, "inspecting mon_container")) == 2
    assert not logged(caplog, "away")


def test_success_for_one_container_does_not_reset_the_backoff_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The engine closes the connection for this container only."""
    world = faulty_world(replace(CREATED, running=True), OTHER)

    def hang_up(action: EndpointAction) -> None:
        world.inspected.clear()
        raise EngineUnavailableError(f"{action}: connection reset by peer")

    world.on_action = hang_up
    with record_failure_counts(monkeypatch) as failure_counts, running_controller(world, NEVER):
        eventually(lambda: len(failure_counts) > 4)
    assert failure_counts[:5] == [1, 2, 3, 4, 5]


def test_the_return_of_the_engine_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Two inspections failed while the engine was unreachable."""
    world = faulty_world(ATTACHED, OTHER)
    with caplog.at_level(logging.INFO), running_controller(world, NEVER) as controller:
        eventually(lambda: len(world.entries) == 2)
        gone = EngineUnavailableError("inspecting: connection refused")
        world.inspection_errors = {ATTACHED.id: gone, OTHER.id: gone}
        controller.post(event(ATTACHED, Change.OTHER))
        controller.post(event(OTHER, Change.OTHER))
        eventually(lambda: logged(caplog, "connection refused"))
        world.inspection_errors = {}
        controller.post(Subscribed())
        eventually(lambda: logged(caplog, "no longer failing: the engine is unreachable"))
    assert len(logged(caplog, "connection refused")) == 1
    assert len(logged(caplog, "no longer failing: the engine is unreachable")) == 1


def test_a_list_requested_before_a_resubscription_is_discarded() -> None:
    """Events between the list and the subscription were lost."""
    world = faulty_world(OTHER)
    with running_controller(world, NEVER) as controller:
        eventually(lambda: OTHER_ENTRY in world.entries)
        list_began, list_may_return = threading.Event(), threading.Event()

        def block() -> None:
            world.after_list = lambda: None
            list_began.set()
            list_may_return.wait(timeout=10)

        world.after_list = block
        controller.post(ResyncNow())
        assert list_began.wait(timeout=10)
        world.containers[ATTACHED.id] = ATTACHED
        world.inspected.clear()
        controller.post(Subscribed())
        controller.post(event(OTHER, Change.OTHER))
        eventually(lambda: world.inspected)
        list_may_return.set()
        eventually(lambda: ENTRY in world.entries)


def test_a_queue_overflow_causes_a_full_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The list also shows a container whose start event was dropped."""
    monkeypatch.setattr("dockeripv6mapper.controller.queue.CAPACITY", 10)
    world = faulty_world(OTHER)
    with running_controller(world, NEVER) as controller:
        eventually(lambda: OTHER_ENTRY in world.entries)
        may_resume, loop_blocked = threading.Event(), threading.Event()

        def block(_: object) -> None:
            loop_blocked.set()
            may_resume.wait(timeout=10)

        world.on_prune = block
        controller.post(ResyncNow())
        assert loop_blocked.wait(timeout=10)
        for _ in range(5000):
            controller.post(event(OTHER, Change.ATTACHED))
        world.containers[ATTACHED.id] = ATTACHED
        controller.post(event(ATTACHED, Change.STARTED))
        world.on_prune = lambda _: None
        may_resume.set()
        eventually(lambda: ENTRY in world.entries)


def test_the_address_of_a_failed_connect_goes_to_the_older_container() -> None:
    """At once, although the inspection of the newer container hangs."""
    older = container("older", network="he_ipv6", suffix="5", created=1)
    newer = container("newer", network="he_ipv6", suffix="5", created=2)
    world, action_began, action_may_fail = faulty_world(newer), threading.Event(), threading.Event()
    world.hanging_inspections = {newer.id}

    def fail(action: EndpointAction) -> None:
        if action.container_id == newer.id:
            action_began.set()
            action_may_fail.wait(timeout=20)
            raise EngineRefusedError("connecting newer: no")

    world.on_action = fail
    with running_controller(world, NEVER) as controller:
        assert action_began.wait(timeout=10)
        world.containers[older.id] = older
        controller.post(event(older, Change.CREATED))
        controller.post(event(older, Change.OTHER))
        eventually(lambda: older.id in world.inspected)
        action_may_fail.set()
        eventually(lambda: [each.container_id for each in world.actions] == [older.id])
        world.released.set()
