"""How many containers' first process sees the address: what all the rest is for."""

from collections.abc import Callable, Iterator
from functools import partial

from tests.benchmark.environment import Stage, address_of
from tests.benchmark.measurements import Limit, Outcome, share_of
from tests.benchmark.start_methods import COMPOSE_UP, CREATE_AND_START, DOCKER_RUN, Way, in_swarm
from tests.lab.hosts import Host
from tests.lab.swarm import Swarm
from tests.lab.waiting import eventually

AT_ONCE = 10
"""How many containers there are before they are removed."""


def docker_run(stage: Stage, n: int) -> Iterator[Outcome]:
    """`docker run -d` leaves two or three milliseconds."""
    yield from _shares(stage, n, DOCKER_RUN.what, lambda _: DOCKER_RUN, share_of(99))


def compose_up(stage: Stage, n: int) -> Iterator[Outcome]:
    """A Compose project of one service, which leaves no more time than `docker run`."""
    yield from _shares(stage, n, COMPOSE_UP.what, lambda _: COMPOSE_UP)


def swarm_task(stage: Stage, n: int) -> Iterator[Outcome]:
    """A Swarm service of one task, which the engine creates and starts by itself."""

    def formed(played: Host) -> Way:
        for host in stage.lab.hosts:
            if host is not played:
                host.reset()
        swarm = Swarm(stage.lab)
        swarm.form()
        return in_swarm(swarm)

    yield from _shares(stage, n, "Swarm task", formed)
    for host in stage.lab.hosts:
        host.reset()


def create_and_start(stage: Stage, n: int) -> Iterator[Outcome]:
    """Two commands with time between them, as a script or a person gives them."""
    yield from _shares(stage, n, CREATE_AND_START.what, lambda _: CREATE_AND_START, share_of(100))


def _shares(
    stage: Stage,
    n: int,
    what: str,
    prepared: Callable[[Host], Way],
    wanted: tuple[Limit, ...] = (),
) -> Iterator[Outcome]:
    for condition in stage.conditions():
        names: list[str] = []
        with stage.mapper(condition):
            measure = partial(_share, stage, condition.host, prepared(condition.host), names)
            shares = stage.repeat(measure, n, condition)
        limits = wanted if condition.usual else ()
        yield Outcome(f"{what}: first process sees the address", str(condition), "%", shares, limits)


def _share(stage: Stage, host: Host, way: Way, names: list[str]) -> float:
    """Start one more container: 100 where its first process saw the address, else 0.

    Those in `names` are still there.
    """
    names.append(name := stage.name())
    started = way.start(host, name)
    said = eventually(lambda: host.engine.docker("logs", started.name), within=20)
    if len(names) == AT_ONCE:
        way.remove(host, names)
        names.clear()
    return 100.0 if address_of(host, started.identity).packed.hex() in said else 0.0
