"""How long ports are open after another program has flushed all rules, with `--firewall closed`."""

import time
from collections.abc import Iterator
from functools import partial

from tests.benchmark.environment import NANOSECONDS_PER_MS, Condition, Environment, address_of, probe
from tests.benchmark.measurements import Measurement, at_most
from tests.lab.waiting import eventually

PORT = 8050
"""Nothing listens there: where no firewall drops the packet, the container refuses the connection."""
LIMIT_MS = 1000


def flush_to_closed(environment: Environment, n: int) -> Iterator[Measurement]:
    """From the end of `nft flush ruleset` until a new connection of the client is dropped again."""
    for condition in map(Condition, environment.hosts):
        try:
            with environment.mapper(condition, "--firewall", "closed"):
                values = environment.repeat(partial(_flush_to_closed, environment, condition), n, condition)
        finally:
            # The engine writes its rules only when it starts, and can create no network without them.
            condition.host.engine.restart()
            condition.host.reset()
        limits = at_most(LIMIT_MS, LIMIT_MS)
        yield Measurement("nft flush ruleset → closed again", str(condition), "ms", values, limits)


def _flush_to_closed(environment: Environment, condition: Condition) -> float:
    host, client = condition.host, environment.lab.client
    address = address_of(host, "holder")
    eventually(lambda: not client.reaches(address, PORT))
    argv = ("closed", str(address), str(PORT))
    with probe(client.namespace, *argv, nice=condition.nice) as wait_for_closed:
        host.namespace.run("nft", "flush", "ruleset")
        flushed_at = time.time_ns()
        closed_at = wait_for_closed()
    return max(0, closed_at - flushed_at) / NANOSECONDS_PER_MS
