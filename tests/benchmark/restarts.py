"""The time until a container is reachable again after it was started with another MAC address."""

import time
from collections.abc import Iterator
from functools import partial

from tests.benchmark.environment import (
    NANOSECONDS_PER_MS,
    Condition,
    Environment,
    address_of,
    event_time,
    probe,
)
from tests.benchmark.measurements import Measurement, at_most
from tests.lab.containers import LABEL
from tests.lab.engines import IMAGE
from tests.lab.waiting import eventually


def swapped_macs(environment: Environment, n: int) -> Iterator[Measurement]:
    """Two containers are killed and started in the other order, so that an engine before 28 swaps their MACs.

    The host itself has their old MACs in its neighbour cache.
    """
    for condition in environment.conditions():
        with environment.mapper(condition):
            values = environment.repeat(partial(_swapped_macs, environment, condition), n, condition)
        limits = at_most(1000, 1000) if condition.standard else ()
        yield Measurement(
            "restart with swapped MACs: start event → first echo reply", str(condition), "ms", values, limits
        )


def _swapped_macs(environment: Environment, condition: Condition) -> float:
    host, names = condition.host, (environment.name(), environment.name())
    for name in names:
        host.engine.docker("run", "-d", "--name", name, *LABEL, IMAGE)
        eventually(partial(environment.router.ping, address_of(host, name)))
    host.engine.docker("kill", *names)
    first, second = names
    host.engine.docker("start", second)
    began = time.time()
    with probe(environment.router.namespace, "echo", str(address_of(host, first))) as wait_for_echo:
        host.engine.docker("start", first)
        replied_at = wait_for_echo()
    started_at = event_time(host, first, "start", began)
    host.engine.docker("rm", "-f", *names)
    return (replied_at - started_at) / NANOSECONDS_PER_MS
