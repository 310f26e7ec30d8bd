"""Counts of what gets in, for the metrics: they delay nothing else."""

import threading
import time
from itertools import pairwise

import pytest

from dockeripv6mapper.controller import inbound_count
from dockeripv6mapper.controller.shutdown import DRAIN_SECONDS
from dockeripv6mapper.settings import Settings
from tests.lab.waiting import eventually
from tests.unit.builders import MON_CONTAINER, NGINX, container, endpoint
from tests.unit.controller.world import running_controller, world_with

WEB = container(
    network="he_ipv6", ports="80", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),)
)
OTHER = container("nginx", network="he_ipv6", ports="80", running=True, endpoints=(endpoint(NGINX, NGINX),))
METRICS = Settings(metrics=("::1", 0), resync=0.05)


@pytest.fixture(autouse=True)
def count_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no time pass between two counts but the multiple of the run time."""
    monkeypatch.setattr(inbound_count, "INTERVAL_SECONDS", 0.0)


def test_neither_ports_nor_the_shutdown_wait_for_a_count() -> None:
    """With many containers it may take seconds."""
    world, counting, done = world_with(WEB), threading.Event(), threading.Event()

    def block() -> None:
        counting.set()
        done.wait(timeout=30)

    world.on_read_ruleset = block
    try:
        with running_controller(world, METRICS):
            assert counting.wait(timeout=10)
            world.containers[OTHER.id] = OTHER
            eventually(lambda: NGINX in {opening.address for opening in world.firewall.openings})
            began = time.monotonic()
        assert time.monotonic() - began < DRAIN_SECONDS / 2
    finally:
        done.set()


def test_a_count_that_takes_long_is_made_less_often() -> None:
    """At most a twentieth of the time is spent on counts."""
    world = world_with(WEB)
    counts: list[tuple[float, float]] = []

    def take_time() -> None:
        began = time.monotonic()
        time.sleep(0.05)
        counts.append((began, time.monotonic()))

    world.on_read_ruleset = take_time
    with running_controller(world, METRICS):
        eventually(lambda: len(counts) > 2)
    for (began, ended), (following, _) in pairwise(counts):
        assert following - ended >= inbound_count.PAUSE * (ended - began)
