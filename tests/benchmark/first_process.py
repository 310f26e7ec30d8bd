"""How many containers' first process sees the address: what all the rest is for."""

from collections.abc import Callable, Iterator
from functools import partial

from tests.benchmark.environment import Environment, address_of
from tests.benchmark.measurements import Limit, Measurement, share_at_least
from tests.benchmark.start_methods import COMPOSE_UP, CREATE_AND_START, DOCKER_RUN, StartMethod, in_swarm
from tests.lab.hosts import Host
from tests.lab.swarm import Swarm
from tests.lab.waiting import eventually

AT_ONCE = 10
"""How many containers there are before they are removed."""


def docker_run(environment: Environment, n: int) -> Iterator[Measurement]:
    """`docker run -d` leaves two or three milliseconds."""
    yield from _shares(environment, n, DOCKER_RUN.what, lambda _: DOCKER_RUN, share_at_least(99))


def compose_up(environment: Environment, n: int) -> Iterator[Measurement]:
    """A Compose project of one service, which leaves no more time than `docker run`."""
    yield from _shares(environment, n, COMPOSE_UP.what, lambda _: COMPOSE_UP)


def swarm_task(environment: Environment, n: int) -> Iterator[Measurement]:
    """A Swarm service of one task, which the engine creates and starts by itself."""

    def formed(under_load: Host) -> StartMethod:
        for host in environment.lab.hosts:
            if host is not under_load:
                host.reset()
        swarm = Swarm(environment.lab)
        swarm.form()
        return in_swarm(swarm)

    yield from _shares(environment, n, "Swarm task", formed)
    for host in environment.lab.hosts:
        host.reset()


def create_and_start(environment: Environment, n: int) -> Iterator[Measurement]:
    """Two commands with time between them, as a script or a person gives them."""
    yield from _shares(environment, n, CREATE_AND_START.what, lambda _: CREATE_AND_START, share_at_least(100))


def _shares(
    environment: Environment,
    n: int,
    what: str,
    prepared: Callable[[Host], StartMethod],
    wanted: tuple[Limit, ...] = (),
) -> Iterator[Measurement]:
    for condition in environment.conditions():
        names: list[str] = []
        with environment.mapper(condition):
            measure = partial(_share, environment, condition.host, prepared(condition.host), names)
            shares = environment.repeat(measure, n, condition)
        limits = wanted if condition.standard else ()
        yield Measurement(f"{what}: first process sees the address", str(condition), "%", shares, limits)


def _share(environment: Environment, host: Host, method: StartMethod, names: list[str]) -> float:
    """Start one more container: 100 where its first process saw the address, else 0.

    Those in `names` are still there.
    """
    names.append(name := environment.name())
    started = method.start(host, name)
    said = eventually(lambda: host.engine.docker("logs", started.name), within=20)
    if len(names) == AT_ONCE:
        method.remove(host, names)
        names.clear()
    return 100.0 if address_of(host, started.identity).packed.hex() in said else 0.0
