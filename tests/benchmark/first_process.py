"""How many containers' first process sees the address: what all the rest is for."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from tests.benchmark.outcomes import Limit, Outcome, share_of
from tests.benchmark.stage import NANOSECONDS_PER_MS, Condition, Stage, address_of, event_time
from tests.benchmark.ways import COMPOSE_UP, CREATE_AND_START, DOCKER_RUN, Way, in_swarm
from tests.lab.hosts import Host
from tests.lab.swarm import Swarm
from tests.lab.waiting import eventually

AT_ONCE = 10
"""How many containers there are before they are removed."""
VARIATION = 4
"""The part of the repetitions that other conditions than the unit's on a quiet machine get."""
TIME_ENOUGH_MS = 20
"""Between create and start, for every container's address to be there."""


class Seen(NamedTuple):
    """What became of one container."""

    share: float
    """100 where its first process saw the address, else 0."""
    gap: float
    """What passed between its create and its start event, in ms."""


def docker_run(stage: Stage, n: int) -> Iterator[Outcome]:
    """`docker run -d`, where the engine leaves two or three milliseconds."""
    for condition in stage.conditions():
        with stage.mapper(condition):
            seen = _all_seen(stage, condition, DOCKER_RUN, n)
        yield _share(DOCKER_RUN.what, condition, seen, share_of(99))
        yield Outcome(f"{DOCKER_RUN.what}: from create to start", str(condition), "ms", _gaps(seen))


def create_and_start(stage: Stage, n: int) -> Iterator[Outcome]:
    """Two commands, as a script gives them."""
    yield from _with_time_enough(stage, n, lambda _: CREATE_AND_START)


def compose_up(stage: Stage, n: int) -> Iterator[Outcome]:
    """A Compose project of one service."""
    yield from _with_time_enough(stage, n, lambda _: COMPOSE_UP)


def swarm_task(stage: Stage, n: int) -> Iterator[Outcome]:
    """A Swarm service of one task."""

    def formed(played: Host) -> Way:
        for host in stage.lab.hosts:
            if host is not played:
                host.reset()
        swarm = Swarm(stage.lab)
        swarm.form()
        return in_swarm(swarm)

    yield from _with_time_enough(stage, n, formed)
    for host in stage.lab.hosts:
        host.reset()


def _with_time_enough(stage: Stage, n: int, prepared: Callable[[Host], Way]) -> Iterator[Outcome]:
    for condition in stage.conditions():
        with stage.mapper(condition):
            way = prepared(condition.host)
            seen = _all_seen(stage, condition, way, n)
        if in_time := [each for each in seen if each.gap >= TIME_ENOUGH_MS]:
            yield _share(f"{way.what}, {TIME_ENOUGH_MS} ms or more", condition, in_time, share_of(100))
        if hurried := [each for each in seen if each.gap < TIME_ENOUGH_MS]:
            yield _share(f"{way.what}, less than {TIME_ENOUGH_MS} ms", condition, hurried, ())
        yield Outcome(f"{way.what}: from create to start", str(condition), "ms", _gaps(seen))


def _share(what: str, condition: Condition, seen: Sequence[Seen], limits: tuple[Limit, ...]) -> Outcome:
    shares = tuple(each.share for each in seen)
    bounds = limits if condition.usual else ()
    return Outcome(f"{what}: first process sees the address", str(condition), "%", shares, bounds)


def _gaps(seen: Sequence[Seen]) -> tuple[float, ...]:
    return tuple(each.gap for each in seen)


def _all_seen(stage: Stage, condition: Condition, way: Way, n: int) -> tuple[Seen, ...]:
    repetitions = n if condition.usual else max(2, n // VARIATION)
    names: list[str] = []
    return stage.repeat(partial(_seen, stage, condition.host, way, names), repetitions)


def _seen(stage: Stage, host: Host, way: Way, names: list[str]) -> Seen:
    """Start one more container; those in `names` are still there."""
    names.append(name := stage.name())
    began = time.time()
    started = way.start(host, name)
    said = eventually(lambda: host.engine.docker("logs", started.name), within=20)
    created, start = (event_time(host, started.name, each, began) for each in ("create", "start"))
    if len(names) == AT_ONCE:
        way.remove(host, names)
        names.clear()
    share = 100.0 if address_of(host, started.identity).packed.hex() in said else 0.0
    return Seen(share, (start - created) / NANOSECONDS_PER_MS)
