"""Latency from an engine's event to its effect on the network."""

import math
import os
import re
import signal
import time
from collections.abc import Iterator
from functools import partial
from ipaddress import IPv6Address

from tests.benchmark.environment import (
    NANOSECONDS_PER_MS,
    Condition,
    Environment,
    address_of,
    address_suffix,
    event_time,
    prepare,
    probe,
)
from tests.benchmark.measurements import Measurement, at_most, share_at_least
from tests.lab.containers import LABEL, wait_until_mapped
from tests.lab.engines import IMAGE
from tests.lab.hosts import UPLINK, Host
from tests.lab.mapper import Mapper
from tests.lab.waiting import eventually

WRITTEN = r"connecting {name} to .*: request written at (?P<seconds>[\d.]+)"
ANSWERED = r"connecting {name} to .*: answer read after (?P<ms>[\d.]+) ms"


def start_to_echo(environment: Environment, n: int) -> Iterator[Measurement]:
    """From the start event to the first echo reply; the router has been pinging since before the start."""
    for condition in environment.conditions():
        with environment.mapper(condition):
            values = environment.repeat(partial(_start_to_echo, environment, condition), n, condition)
        limits = at_most(4, 10) if condition.standard else ()
        yield Measurement(
            "start event → first echo reply at the router", str(condition), "ms", values, limits
        )


def _start_to_echo(environment: Environment, condition: Condition) -> float:
    host, name = condition.host, environment.name()
    address, began = address_of(host, name), time.time()
    host.engine.docker("create", "--name", name, *LABEL, IMAGE)
    with probe(environment.router.namespace, "echo", str(address)) as wait_for_echo:
        host.engine.docker("start", name)
        replied_at = wait_for_echo()
    started_at = event_time(host, name, "start", began)
    host.engine.docker("rm", "-f", name)
    return (replied_at - started_at) / NANOSECONDS_PER_MS


def late_connect(environment: Environment, n: int) -> Iterator[Measurement]:
    """From a connect after the start to the first echo reply, without the engine's own time.

    The daemon logs that time at DEBUG.
    """
    for condition in environment.conditions():
        with environment.mapper(condition, level="--debug") as mapper:
            late = environment.repeat(
                partial(_late_connect, environment, condition.host, mapper), n, condition
            )
        beyond, own = zip(*late, strict=True)
        limits = at_most(3) if condition.standard else ()
        yield Measurement("engine's own connect of a running container", str(condition), "ms", own)
        yield Measurement(
            "late connect → first echo reply, without the engine's own connect",
            str(condition),
            "ms",
            beyond,
            limits,
        )


def _late_connect(environment: Environment, host: Host, mapper: Mapper) -> tuple[float, float]:
    """Stop the daemon's process during the start, so that the connect comes too late.

    Returns two times in ms: from the engine's answer to the first echo reply, and the engine's answer time.
    """
    name = environment.name()
    os.kill(mapper.pid, signal.SIGSTOP)
    host.engine.docker("run", "-d", "--name", name, *LABEL, IMAGE)
    with probe(environment.router.namespace, "echo", str(address_of(host, name))) as wait_for_echo:
        began = time.time_ns()
        os.kill(mapper.pid, signal.SIGCONT)
        took = (wait_for_echo() - began) / NANOSECONDS_PER_MS
    own = float(mapper.wait_for_log(ANSWERED.format(name=re.escape(name)))["ms"])
    host.engine.docker("rm", "-f", name)
    return took - own, own


def first_packet(environment: Environment, n: int) -> Iterator[Measurement]:
    """Three pings by a router with an empty neighbour cache."""
    for condition in environment.conditions():
        with environment.mapper(condition):
            address = address_of(condition.host, "holder")
            eventually(partial(environment.router.ping, address))
            pings = environment.repeat(partial(_first_packet, environment, address), n, condition)
        first = at_most(1) if condition.standard else ()
        all_three = share_at_least(100) if condition.standard else ()
        times, received = zip(*pings, strict=True)
        yield Measurement(
            "first ping by a router with an empty neighbour cache", str(condition), "ms", times, first
        )
        yield Measurement(
            "share of its first three pings that are answered", str(condition), "%", received, all_three
        )


def _first_packet(environment: Environment, address: IPv6Address) -> tuple[float, float]:
    """Return the time of the first reply in ms (infinite for none), and the share of replies in per cent."""
    environment.router.flush_neighbours()
    argv = ("ping", "-6", "-n", "-i", "0.2", "-c", "3", "-W", "2", str(address))
    output = environment.router.namespace.run(*argv, check=False).stdout
    times = [float(each) for each in re.findall(r"time=([\d.]+) ms", output)]
    return times[0] if times else math.inf, 100 * len(times) / 3


def event_to_request(environment: Environment, n: int) -> Iterator[Measurement]:
    """From the create event's `timeNano` until the connect request is written, as the daemon logs it.

    The engine's own part is measured too: the time until a program that does nothing else has the event.
    """
    for condition in environment.conditions():
        prepare(condition.host)
        with condition.under_load():
            own = environment.repeat(partial(_event_delivery, environment, condition), n, condition)
        yield Measurement("create event → it can be read (the engine's own part)", str(condition), "ms", own)
        with environment.mapper(condition, level="--debug") as mapper:
            values = environment.repeat(
                partial(_event_to_request, environment, condition, mapper), n, condition
            )
        limits = at_most(0.6, 1.5) if condition.standard else ()
        yield Measurement("create event → connect request written", str(condition), "ms", values, limits)


def _event_delivery(environment: Environment, condition: Condition) -> float:
    host, name = condition.host, environment.name()
    began = time.time()
    with probe(
        host.namespace, "create", str(host.engine.socket), name, nice=condition.nice
    ) as wait_for_event:
        host.engine.docker("create", "--name", name, *LABEL, IMAGE)
        arrived_at = wait_for_event()
    created_at = event_time(host, name, "create", began)
    host.engine.docker("rm", "-f", name)
    return (arrived_at - created_at) / NANOSECONDS_PER_MS


def _event_to_request(environment: Environment, condition: Condition, mapper: Mapper) -> float:
    host, name, began = condition.host, environment.name(), time.time()
    host.engine.docker("create", "--name", name, *LABEL, IMAGE)
    written = mapper.wait_for_log(WRITTEN.format(name=re.escape(name)))
    created_at = event_time(host, name, "create", began)
    host.engine.docker("rm", "-f", name)
    return float(written["seconds"]) * 1000 - created_at / NANOSECONDS_PER_MS


def death_to_removal(environment: Environment, n: int) -> Iterator[Measurement]:
    """From the die event until the kernel has removed the proxy entry."""
    for condition in environment.conditions():
        with environment.mapper(condition):
            values = environment.repeat(partial(_death_to_removal, environment, condition), n, condition)
        limits = at_most(3) if condition.standard else ()
        yield Measurement("die event → proxy entry removed", str(condition), "ms", values, limits)


def _death_to_removal(environment: Environment, condition: Condition) -> float:
    host, name = condition.host, environment.name()
    host.engine.docker("run", "-d", "--name", name, *LABEL, IMAGE)
    address, began = wait_until_mapped(host, name, address_suffix(host, name)), time.time()
    with probe(host.namespace, "gone", str(address), UPLINK) as wait_for_removal:
        host.engine.docker("kill", name)
        removed_at = wait_for_removal()
    died_at = event_time(host, name, "die", began)
    host.engine.docker("rm", name)
    return (removed_at - died_at) / NANOSECONDS_PER_MS
