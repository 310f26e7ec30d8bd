"""From an engine's event to what the network sees of it."""

import re
import time
from collections.abc import Iterator
from functools import partial

from tests.benchmark.outcomes import Outcome, at_most
from tests.benchmark.stage import Condition, Stage, address_of, address_suffix, event_time, probe, repeat
from tests.lab.engines import IMAGE
from tests.lab.hosts import UPLINK
from tests.lab.mapper import Mapper
from tests.lab.scenes import LABEL, mapped

NANOSECONDS_PER_MS = 1_000_000

ASKED = r"asked the engine (?P<ms>[\d.]+) ms after the event: connect container {name} "


def start_to_echo(stage: Stage, n: int) -> Iterator[Outcome]:
    """From the start event to the first answered ping of a router that has been asking for a while."""
    for condition in stage.conditions():
        with stage.mapper(condition):
            values = repeat(partial(_start_to_echo, stage, condition), n)
        limits = at_most(4, 10) if condition == Condition(condition.host) else ()
        yield Outcome("start event → first echo reply at the router", str(condition), "ms", values, limits)


def _start_to_echo(stage: Stage, condition: Condition) -> float:
    host, name = condition.host, stage.name()
    address, began = address_of(host, name), time.time()
    host.engine.docker("create", "--name", name, *LABEL, IMAGE)
    with probe(stage.router.namespace, "echo", str(address)) as echoed:
        host.engine.docker("start", name)
        replied = echoed()
    started = event_time(host, name, "start", began)
    host.engine.docker("rm", "-f", name)
    return (replied - started) / NANOSECONDS_PER_MS


def event_to_request(stage: Stage, n: int) -> Iterator[Outcome]:
    """From the create event's `timeNano` to the connect request, written; the daemon says it itself."""
    for condition in stage.conditions():
        with stage.mapper(condition, level="--debug") as mapper:
            values = repeat(partial(_event_to_request, stage, condition, mapper), n)
        limits = at_most(0.6, 1.5) if condition == Condition(condition.host) else ()
        yield Outcome("create event → connect request written", str(condition), "ms", values, limits)


def _event_to_request(stage: Stage, condition: Condition, mapper: Mapper) -> float:
    name, docker = stage.name(), condition.host.engine.docker
    docker("create", "--name", name, *LABEL, IMAGE)
    asked = mapper.wait_for_log(ASKED.format(name=re.escape(name)))
    docker("rm", "-f", name)
    return float(asked["ms"])


def death_to_removal(stage: Stage, n: int) -> Iterator[Outcome]:
    """From the die event to the kernel without the proxy entry."""
    for condition in stage.conditions():
        with stage.mapper(condition):
            values = repeat(partial(_death_to_removal, stage, condition), n)
        limits = at_most(3) if condition == Condition(condition.host) else ()
        yield Outcome("die event → proxy entry gone", str(condition), "ms", values, limits)


def _death_to_removal(stage: Stage, condition: Condition) -> float:
    host, name = condition.host, stage.name()
    host.engine.docker("run", "-d", "--name", name, *LABEL, IMAGE)
    address, began = mapped(host, name, address_suffix(host, name)), time.time()
    with probe(host.namespace, "gone", str(address), UPLINK) as gone:
        host.engine.docker("kill", name)
        removed = gone()
    died = event_time(host, name, "die", began)
    host.engine.docker("rm", name)
    return (removed - died) / NANOSECONDS_PER_MS
