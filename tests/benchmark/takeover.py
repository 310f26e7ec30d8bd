"""How soon a router sends to the right MAC address, where it has the wrong one: the client pings."""

import time
from collections.abc import Iterator
from functools import partial
from ipaddress import IPv6Address

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
from tests.lab.hosts import UPLINK
from tests.lab.router import BRIDGE
from tests.lab.uplinks import changed_mac

FORMER_MAC = "02:00:00:00:00:99"
NEW_MAC = "02:00:00:00:00:98"


def takeover(environment: Environment, n: int) -> Iterator[Measurement]:
    """After the start of a container that ran on another host; after a change of the uplink's MAC address."""
    for condition in environment.conditions():
        with environment.mapper(condition):
            starts = environment.repeat(partial(_start, environment, condition), n, condition)
            changes = environment.repeat(partial(_mac_change, environment, condition), n, condition)
        limits = (at_most(50), at_most(1000)) if condition.standard else ((), ())
        yield Measurement(
            "start event → first echo, router with a former host's MAC",
            str(condition),
            "ms",
            starts,
            limits[0],
        )
        yield Measurement("change of the uplink's MAC → first echo", str(condition), "ms", changes, limits[1])


def _start(environment: Environment, condition: Condition) -> float:
    host, name = condition.host, environment.name()
    address, began = address_of(host, name), time.time()
    host.engine.docker("create", "--name", name, *LABEL, IMAGE)
    stale = ("lladdr", FORMER_MAC, "nud", "reachable", "dev", BRIDGE)
    environment.router.namespace.run("ip", "-6", "neigh", "replace", str(address), *stale)
    with probe(environment.lab.client.namespace, "echo", str(address)) as wait_for_echo:
        host.engine.docker("start", name)
        replied_at = wait_for_echo()
    started_at = event_time(host, name, "start", began)
    host.engine.docker("rm", "-f", name)
    return (replied_at - started_at) / NANOSECONDS_PER_MS


def _mac_change(environment: Environment, condition: Condition) -> float:
    """Change the MAC and, when the address has answered, change it back: both are measured.

    The probe is started after the change, since it ends with the first reply. That takes less time than the
    daemon waits for more notifications.
    """
    address = address_of(condition.host, "holder")
    began = time.time_ns()
    with changed_mac(condition.host, UPLINK, NEW_MAC):
        there = _first_echo(environment, address) - began
        began = time.time_ns()
    back = _first_echo(environment, address) - began
    return max(there, back) / NANOSECONDS_PER_MS


def _first_echo(environment: Environment, address: IPv6Address) -> int:
    with probe(environment.lab.client.namespace, "echo", str(address)) as wait_for_echo:
        return wait_for_echo()
