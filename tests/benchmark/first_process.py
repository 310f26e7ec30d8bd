"""How many containers' first process sees the address: what all the rest is for."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from tests.benchmark.outcomes import Outcome, share_of
from tests.benchmark.stage import NANOSECONDS_PER_MS, Condition, Stage, address_of, event_time
from tests.benchmark.ways import COMPOSE_UP, CREATE_AND_START, DOCKER_RUN, Way, in_swarm
from tests.lab.hosts import Host
from tests.lab.swarm import Swarm
from tests.lab.waiting import eventually

AT_ONCE = 10
"""How many containers there are before they are removed."""
TIME_ENOUGH_MS = 20
"""Between create and start, for every container's address to be there."""
NO_LESS_THAN = 99.0
"""Per cent where create and start follow each other at once."""


class Seen(NamedTuple):
    """What became of one container."""

    share: float
    """100 where its first process saw the address, else 0."""
    gap: float
    """What passed at least from its create event to its start, in ms; nan: not known."""


def docker_run(stage: Stage, n: int) -> Iterator[Outcome]:
    """`docker run -d` leaves two or three milliseconds."""
    yield from _at_once(stage, n, DOCKER_RUN.what, lambda _: DOCKER_RUN)


def compose_up(stage: Stage, n: int) -> Iterator[Outcome]:
    """A Compose project of one service: no more than `docker run` leaves."""
    yield from _at_once(stage, n, COMPOSE_UP.what, lambda _: COMPOSE_UP)


def swarm_task(stage: Stage, n: int) -> Iterator[Outcome]:
    """A Swarm service of one task: no more than `docker run` leaves."""

    def formed(played: Host) -> Way:
        for host in stage.lab.hosts:
            if host is not played:
                host.reset()
        swarm = Swarm(stage.lab)
        swarm.form()
        return in_swarm(swarm)

    yield from _at_once(stage, n, "Swarm task", formed)
    for host in stage.lab.hosts:
        host.reset()


def create_and_start(stage: Stage, n: int) -> Iterator[Outcome]:
    """Two commands, as a script gives them."""
    for condition in stage.conditions():
        seen = _all_seen(stage, condition, lambda _: CREATE_AND_START, n)
        gaps = tuple(each.gap for each in seen)
        enough = [each for each in seen if each.gap >= TIME_ENOUGH_MS]
        what = f"{CREATE_AND_START.what}, {TIME_ENOUGH_MS} ms between"
        yield Outcome("create event → docker start", str(condition), "ms", gaps)
        if enough:
            yield _share(what, condition, enough, 100)


def _at_once(stage: Stage, n: int, what: str, prepared: Callable[[Host], Way]) -> Iterator[Outcome]:
    for condition in stage.conditions():
        yield _share(what, condition, _all_seen(stage, condition, prepared, n), NO_LESS_THAN)


def _share(what: str, condition: Condition, seen: Sequence[Seen], per_cent: float) -> Outcome:
    shares = tuple(each.share for each in seen)
    limits = share_of(per_cent) if condition.usual else ()
    return Outcome(f"{what}: first process sees the address", str(condition), "%", shares, limits)


def _all_seen(
    stage: Stage, condition: Condition, prepared: Callable[[Host], Way], n: int
) -> tuple[Seen, ...]:
    names: list[str] = []
    with stage.mapper(condition):
        way = prepared(condition.host)
        return stage.repeat(partial(_seen, stage, condition.host, way, names), n, condition)


def _seen(stage: Stage, host: Host, way: Way, names: list[str]) -> Seen:
    """Start one more container; those in `names` are still there."""
    names.append(name := stage.name())
    began = time.time()
    started = way.start(host, name)
    said = eventually(lambda: host.engine.docker("logs", started.name), within=20)
    gap = math.nan
    if started.start_asked is not None:
        gap = (started.start_asked - event_time(host, started.name, "create", began)) / NANOSECONDS_PER_MS
    if len(names) == AT_ONCE:
        way.remove(host, names)
        names.clear()
    return Seen(100.0 if address_of(host, started.identity).packed.hex() in said else 0.0, gap)
