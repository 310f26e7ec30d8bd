"""Partial failure: what hangs, is refused or lost for one keeps nobody else waiting, and is said once."""

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
from tests.unit.controller.world import NEVER, World, event, running

CREATED = container(network="he_ipv6")
ATTACHED = replace(CREATED, running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
OTHER = container("nginx", network="he_ipv6", running=True, endpoints=(endpoint(NGINX, NGINX),))
ENTRY, OTHER_ENTRY = ProxyEntry(MON_CONTAINER, "eth0"), ProxyEntry(NGINX, "eth0")
SERVING = replace(ATTACHED, labels={**ATTACHED.labels, "ipv6.mapper.ports": "80"})


@dataclass
class Faulty(World):
    """A world in which single calls go wrong."""

    hanging: set[str] = field(default_factory=set)
    """Containers whose looks hang, until `released`."""
    unanswered: dict[str, MapperError] = field(default_factory=dict)
    """Containers whose looks fail."""
    refused: dict[ProxyEntry, int] = field(default_factory=dict)
    """How often the kernel refuses to add an entry."""
    released: threading.Event = field(default_factory=threading.Event)

    def container(self, container_id: str) -> Container | None:
        """One container, unless it is one of those."""
        if container_id in self.hanging:
            self.released.wait(timeout=30)
        if container_id in self.unanswered:
            raise self.unanswered[container_id]
        return super().container(container_id)

    def add_proxies(self, entries: Iterable[ProxyEntry]) -> Outcome:
        """All but those that are refused."""
        wanted = list(entries)
        refused = [entry for entry in wanted if self.refused.get(entry, 0) > 0]
        for entry in refused:
            self.refused[entry] -= 1
        outcome = super().add_proxies([entry for entry in wanted if entry not in refused])
        error = KernelRefusedError(f"adding an entry: {ENOBUFS}")
        outcome.failed = dict.fromkeys(refused, error)
        return outcome


def faulty(*containers: Container) -> Faulty:
    """A world in which these containers are."""
    return Faulty(containers={each.id: each for each in containers})


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch, seconds: float = 0.01) -> Iterator[list[int]]:
    """The failures in a row after which something waited, always as long here."""
    counts: list[int] = []

    def delay(failures: int) -> float:
        counts.append(failures)
        return seconds

    monkeypatch.setattr("dockeripv6mapper.backoff.delay", delay)
    yield counts


def said(caplog: pytest.LogCaptureFixture, part: str) -> list[str]:
    """What was said of something, but for who asks for everything."""
    return [each.message for each in caplog.records if part in each.message and each.levelno > logging.DEBUG]


def test_looks_that_hang_keep_no_other_container_waiting() -> None:
    """As long as there are not as many as there are threads."""
    world, hung = hanging(INSPECTION_THREADS - 1)
    try:
        with running(world, NEVER) as controller:
            eventually(lambda: world.written)
            for each in hung:
                controller.post(event(each, Change.OTHER))
            world.containers[ATTACHED.id] = ATTACHED
            controller.post(event(ATTACHED, Change.OTHER))
            eventually(lambda: ENTRY in world.entries)
    finally:
        world.released.set()


def test_looks_that_hang_keep_no_list_waiting() -> None:
    """However many there are: what they would have told, it tells."""
    world, hung = hanging(INSPECTION_THREADS)
    try:
        with running(world, NEVER) as controller:
            eventually(lambda: world.written)
            for each in hung:
                controller.post(event(each, Change.OTHER))
            world.containers[ATTACHED.id] = ATTACHED
            controller.post(ResyncNow())
            eventually(lambda: ENTRY in world.entries)
    finally:
        world.released.set()


def hanging(count: int) -> tuple[Faulty, list[Container]]:
    """A world with so many containers whose looks hang."""
    hung = [container(f"hung{number}") for number in range(count)]
    world = faulty(*hung)
    world.hanging = {each.id for each in hung}
    world.lists_images = True
    return world, hung


def test_a_list_that_hangs_keeps_no_container_waiting() -> None:
    """Nor the lists of another kind; and the shutdown does not wait for it."""
    world = faulty()
    with running(world, NEVER) as controller:
        eventually(lambda: world.written)
        asked = threading.Event()

        def hang() -> None:
            asked.set()
            world.released.wait(timeout=30)

        world.listing = hang
        for _ in range(3):
            controller.post(ResyncNow())
        assert asked.wait(timeout=10)
        world.containers[ATTACHED.id] = ATTACHED
        controller.post(event(ATTACHED, Change.OTHER))
        eventually(lambda: ENTRY in world.entries)
    assert not world.released.is_set()
    world.released.set()


def test_an_entry_that_the_kernel_refuses_is_tried_again_and_soon(caplog: pytest.LogCaptureFixture) -> None:
    """The others are there meanwhile; it is said when it begins and when it ends."""
    world = faulty(ATTACHED, OTHER)
    world.refused = {ENTRY: 3}
    with caplog.at_level(logging.INFO), running(world, NEVER):
        eventually(lambda: OTHER_ENTRY in world.entries)
        assert ENTRY not in world.entries
        eventually(lambda: ENTRY in world.entries)
        eventually(lambda: len(said(caplog, "adding an entry")) == 2)
    begin, end = said(caplog, "adding an entry")
    assert begin.startswith("adding")
    assert end.startswith("no longer failing")


def test_a_sysctl_that_the_kernel_refuses_is_tried_again_and_soon() -> None:
    """Nothing waits for the next full pass."""
    world = faulty()
    tries = itertools.count()

    def refuse_once(change: SysctlChange) -> None:
        if next(tries) == 0:
            raise KernelRefusedError(f"setting {change.key}: no")

    world.writing = refuse_once
    with running(world, NEVER):
        eventually(lambda: world.sysctls.get("conf/eth0/proxy_ndp") == "1")


def test_a_sysctl_that_is_refused_when_the_host_changes_is_tried_again_and_soon() -> None:
    """Nothing else has changed that a pass would be made for."""
    world = faulty()
    with running(world, NEVER) as controller:
        eventually(lambda: world.sysctls.get("conf/eth0/proxy_ndp") == "1")
        tries = itertools.count()

        def refuse_once(change: SysctlChange) -> None:
            if next(tries) == 0:
                raise KernelRefusedError(f"setting {change.key}: no")

        world.writing = refuse_once
        world.sysctls["conf/eth0/proxy_ndp"] = "0"
        controller.post(HostChanged())
        eventually(lambda: world.sysctls["conf/eth0/proxy_ndp"] == "1")


def test_what_the_kernel_refuses_is_tried_ever_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every try is one more failure in a row."""
    world = faulty(ATTACHED)
    world.refused = {ENTRY: 5}
    with counted(monkeypatch) as counts, running(world, NEVER):
        eventually(lambda: ENTRY in world.entries)
    assert counts[:3] == [1, 2, 3]


def test_what_happens_to_others_puts_no_retry_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many containers come and go meanwhile."""
    world = faulty(ATTACHED, OTHER)
    world.refused = {ENTRY: 1000}
    with counted(monkeypatch, 3600) as counts, running(world, NEVER) as controller:
        eventually(lambda: counts)
        for _ in range(3):
            controller.post(event(OTHER, Change.DIED))
            eventually(lambda: OTHER_ENTRY not in world.entries)
            controller.post(event(OTHER, Change.STARTED))
            eventually(lambda: OTHER_ENTRY in world.entries)
    assert counts == [1]


def test_an_entry_that_nobody_wants_any_more_is_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """Its failure has ended with its container."""
    world = faulty(ATTACHED)
    world.refused = {ENTRY: 1000}
    with caplog.at_level(logging.INFO), running(world, NEVER) as controller:
        eventually(lambda: world.refused[ENTRY] < 1000)
        del world.containers[ATTACHED.id]
        controller.post(event(ATTACHED, Change.DESTROYED))
        eventually(lambda: said(caplog, "no longer failing: adding an entry"))
        left = world.refused[ENTRY]
        controller.post(event(OTHER, Change.OTHER))
        eventually(lambda: OTHER.id in world.looked)
    assert world.refused[ENTRY] == left


def test_a_firewall_that_fails_is_tried_again_and_soon(caplog: pytest.LogCaptureFixture) -> None:
    """Not only with the next full pass."""
    world = faulty(SERVING)
    tries = 0

    def fail_twice(_: FirewallRules) -> None:
        nonlocal tries
        if (tries := tries + 1) <= 2:
            raise KernelRefusedError("running nft: busy")

    world.filtering = fail_twice
    with caplog.at_level(logging.INFO), running(world, NEVER):
        eventually(lambda: world.firewall.openings)
    assert len(said(caplog, "running nft: busy")) == 2


def test_a_call_that_is_not_answered_is_no_engine_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    """It is said of that container, once, however often the others succeed in between."""
    world = faulty(ATTACHED, OTHER)
    world.unanswered = {CREATED.id: NoAnswerError("inspecting mon_container: the engine does not answer")}
    with caplog.at_level(logging.INFO), running(world, NEVER) as controller:
        eventually(lambda: world.written)
        for _ in range(3):
            world.looked.clear()
            controller.post(event(CREATED, Change.OTHER))
            controller.post(event(OTHER, Change.OTHER))
            eventually(lambda: OTHER.id in world.looked)
        eventually(lambda: said(caplog, "inspecting mon_container"))
        world.unanswered = {}
        eventually(lambda: said(caplog, "no longer failing"))
    assert len(said(caplog, "inspecting mon_container")) == 2
    assert not said(caplog, "away")


def test_a_containers_retries_become_rarer_whatever_succeeds_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where the engine hangs up on just this one."""
    world = faulty(replace(CREATED, running=True), OTHER)

    def hang_up(action: EndpointAction) -> None:
        world.looked.clear()
        raise EngineUnavailableError(f"{action}: connection reset by peer")

    world.failing = hang_up
    with counted(monkeypatch) as counts, running(world, NEVER):
        eventually(lambda: len(counts) > 4)
    assert counts[:5] == [1, 2, 3, 4, 5]


def test_an_engine_that_was_away_is_said_to_be_back_once(caplog: pytest.LogCaptureFixture) -> None:
    """Though several things failed meanwhile."""
    world = faulty(ATTACHED, OTHER)
    with caplog.at_level(logging.INFO), running(world, NEVER) as controller:
        eventually(lambda: len(world.entries) == 2)
        gone = EngineUnavailableError("inspecting: connection refused")
        world.unanswered = {ATTACHED.id: gone, OTHER.id: gone}
        controller.post(event(ATTACHED, Change.OTHER))
        controller.post(event(OTHER, Change.OTHER))
        eventually(lambda: said(caplog, "connection refused"))
        world.unanswered = {}
        controller.post(Subscribed())
        eventually(lambda: said(caplog, "no longer failing: the engine is away"))
    assert len(said(caplog, "connection refused")) == 1
    assert len(said(caplog, "no longer failing: the engine is away")) == 1


def test_a_list_from_before_a_subscription_is_not_believed() -> None:
    """Whatever happened between the two was told by nobody."""
    world = faulty(OTHER)
    with running(world, NEVER) as controller:
        eventually(lambda: OTHER_ENTRY in world.entries)
        begun, old = threading.Event(), threading.Event()

        def hold() -> None:
            world.listed = lambda: None
            begun.set()
            old.wait(timeout=10)

        world.listed = hold
        controller.post(ResyncNow())
        assert begun.wait(timeout=10)
        world.containers[ATTACHED.id] = ATTACHED
        world.looked.clear()
        controller.post(Subscribed())
        controller.post(event(OTHER, Change.OTHER))
        eventually(lambda: world.looked)
        old.set()
        eventually(lambda: ENTRY in world.entries)


def test_more_events_than_can_be_kept_are_made_good_by_a_look_at_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also those of containers of which no event was kept."""
    monkeypatch.setattr("dockeripv6mapper.controller.queue.CAPACITY", 10)
    world = faulty(OTHER)
    with running(world, NEVER) as controller:
        eventually(lambda: OTHER_ENTRY in world.entries)
        resume, stopped = threading.Event(), threading.Event()

        def hold(_: object) -> None:
            stopped.set()
            resume.wait(timeout=10)

        world.pruning = hold
        controller.post(ResyncNow())
        assert stopped.wait(timeout=10)
        for _ in range(5000):
            controller.post(event(OTHER, Change.ATTACHED))
        world.containers[ATTACHED.id] = ATTACHED
        controller.post(event(ATTACHED, Change.STARTED))
        world.pruning = lambda _: None
        resume.set()
        eventually(lambda: ENTRY in world.entries)


def test_an_address_that_was_in_flight_in_vain_goes_to_the_container_that_takes_precedence() -> None:
    """At once, though the engine does not show the other one: else each is refused as held by the other."""
    older = container("older", network="he_ipv6", suffix="5", created=1)
    newer = container("newer", network="he_ipv6", suffix="5", created=2)
    world, acting, refused = faulty(newer), threading.Event(), threading.Event()
    world.hanging = {newer.id}

    def fail(action: EndpointAction) -> None:
        if action.container_id == newer.id:
            acting.set()
            refused.wait(timeout=20)
            raise EngineRefusedError("connecting newer: no")

    world.failing = fail
    with running(world, NEVER) as controller:
        assert acting.wait(timeout=10)
        world.containers[older.id] = older
        controller.post(event(older, Change.CREATED))
        controller.post(event(older, Change.OTHER))
        eventually(lambda: older.id in world.looked)
        refused.set()
        eventually(lambda: [each.container_id for each in world.actions] == [older.id])
        world.released.set()
