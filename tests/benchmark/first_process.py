"""The share of containers whose first process sees the address: the mapper's main promise."""

from collections.abc import Callable, Iterator
from functools import partial

from tests.benchmark.environment import Environment, address_of
from tests.benchmark.measurements import Limit, Measurement, share_at_least
from tests.benchmark.start_methods import COMPOSE_UP, CREATE_AND_START, DOCKER_RUN, StartMethod, in_swarm
from tests.lab.hosts import Host
from tests.lab.swarm import Swarm
from tests.lab.waiting import eventually

BATCH = 10
"""Containers that are removed together."""


def docker_run(environment: Environment, n: int) -> Iterator[Measurement]:
    """Between create and start, `docker run -d` leaves two or three milliseconds."""
    yield from _shares(environment, n, DOCKER_RUN.name, lambda _: DOCKER_RUN, share_at_least(99))


def compose_up(environment: Environment, n: int) -> Iterator[Measurement]:
    """A Compose project of one service: it leaves no more time than `docker run`."""
    yield from _shares(environment, n, COMPOSE_UP.name, lambda _: COMPOSE_UP)


def swarm_task(environment: Environment, n: int) -> Iterator[Measurement]:
    """A Swarm service of one task: the engine itself creates and starts the container."""

    def form_swarm(measured: Host) -> StartMethod:
        for host in environment.lab.hosts:
            if host is not measured:
                host.reset()
        swarm = Swarm(*environment.lab.hosts)
        swarm.form()
        return in_swarm(swarm)

    yield from _shares(environment, n, "Swarm task", form_swarm)
    for host in environment.lab.hosts:
        host.reset()


def create_and_start(environment: Environment, n: int) -> Iterator[Measurement]:
    """Two commands with time between them, as in a script or by hand."""
    yield from _shares(environment, n, CREATE_AND_START.name, lambda _: CREATE_AND_START, share_at_least(100))


def _shares(
    environment: Environment,
    n: int,
    name: str,
    method_on: Callable[[Host], StartMethod],
    limits: tuple[Limit, ...] = (),
) -> Iterator[Measurement]:
    for condition in environment.conditions():
        names: list[str] = []
        with environment.mapper(condition):
            measure = partial(_share, environment, condition.host, method_on(condition.host), names)
            shares = environment.repeat(measure, n, condition)
        row_limits = limits if condition.standard else ()
        title = f"{name}: first process sees the address"
        yield Measurement(title, str(condition), "%", shares, row_limits)


def _share(environment: Environment, host: Host, method: StartMethod, names: list[str]) -> float:
    """Start a container. Return 100 where its first process saw the address, else 0.

    Appends to `names`, the containers to remove. A full batch is removed, and `names` is emptied.
    """
    names.append(name := environment.name())
    started = method.start(host, name)
    output = eventually(lambda: host.engine.docker("logs", started.name), within=20)
    if len(names) == BATCH:
        method.remove(host, names)
        names.clear()
    return 100.0 if address_of(host, started.identity).packed.hex() in output else 0.0
