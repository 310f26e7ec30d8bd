"""How many containers' first process sees the address: what all the rest is for."""

from collections.abc import Callable, Iterator
from functools import partial

from tests.benchmark.outcomes import Outcome, share_of
from tests.benchmark.stage import Stage, address_of
from tests.lab.engines import IMAGE
from tests.lab.hosts import Host
from tests.lab.scenes import LABEL
from tests.lab.waiting import eventually

FIRST_PROCESS = (
    *("sh", "-c"),
    'while read -r line; do echo "$line"; done </proc/net/if_inet6; echo all; exec sleep infinity',
)
"""Says at once what addresses there are, which may be none, without starting another process first."""

AT_ONCE = 10
"""How many containers there are before they are removed."""
VARIATION = 4
"""The part of the repetitions that other conditions than the unit's on a quiet machine get."""


def docker_run(stage: Stage, n: int) -> Iterator[Outcome]:
    """`docker run -d`: create and start follow each other as fast as they can."""

    def run(host: Host, name: str) -> None:
        host.engine.docker("run", "-d", "--name", name, *LABEL, IMAGE, *FIRST_PROCESS)

    yield from _shares(stage, n, "docker run -d: first process sees the address", run, 99)


def create_and_start(stage: Stage, n: int) -> Iterator[Outcome]:
    """`docker create`, then `docker start`: two commands, as a script or Compose gives them."""

    def create_then_start(host: Host, name: str) -> None:
        host.engine.docker("create", "--name", name, *LABEL, IMAGE, *FIRST_PROCESS)
        host.engine.docker("start", name)

    yield from _shares(stage, n, "create, start: first process sees the address", create_then_start, 100)


def _shares(
    stage: Stage, n: int, what: str, start: Callable[[Host, str], None], per_cent: float
) -> Iterator[Outcome]:
    for condition in stage.conditions():
        names: list[str] = []
        repetitions = n if condition.usual else max(2, n // VARIATION)
        with stage.mapper(condition):
            seen = stage.repeat(partial(_seen, stage, condition.host, start, names), repetitions)
        yield Outcome(what, str(condition), "%", seen, share_of(per_cent) if condition.usual else ())


def _seen(stage: Stage, host: Host, start: Callable[[Host, str], None], names: list[str]) -> float:
    """100 where a container's first process saw the address, else 0; those in `names` are still there."""
    names.append(name := stage.name())
    start(host, name)
    said = eventually(lambda: host.engine.docker("logs", name))
    if len(names) == AT_ONCE:
        host.engine.docker("rm", "-f", *names)
        names.clear()
    return 100.0 if address_of(host, name).packed.hex() in said else 0.0
