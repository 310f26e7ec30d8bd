"""Ways to start a container whose first process prints the IPv6 addresses that it sees."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tests.lab.containers import LABEL
from tests.lab.engines import IMAGE
from tests.lab.hosts import Host
from tests.lab.swarm import Swarm
from tests.lab.waiting import eventually

FIRST_PROCESS = (
    *("sh", "-c"),
    'while read -r line; do echo "$line"; done </proc/net/if_inet6; echo all; exec sleep infinity',
)
"""Prints `/proc/net/if_inet6` at once, by shell builtins alone: another process would take time to start."""

CREATE_TO_START_SECONDS = 0.02
"""Within this time after its creation, every container has to get its address."""

COMPOSE_FILE = f"""
services:
  web:
    image: {IMAGE}
    labels: [{LABEL[1]}]
    init: true
    command: ["sh", "-c", {FIRST_PROCESS[2].replace("$", "$$")!r}]
"""


class Started(NamedTuple):
    """A container that was started."""

    name: str
    identity: str
    """The text that its address is hashed from."""


@dataclass(frozen=True, slots=True)
class StartMethod:
    """How a container is started, and how several are removed."""

    name: str
    start: Callable[[Host, str], Started]
    remove: Callable[[Host, Sequence[str]], None]
    """Both take the benchmark's names; Compose and Swarm make other container names of these."""


def _run(host: Host, name: str) -> Started:
    host.engine.docker("run", "-d", "--name", name, *LABEL, IMAGE, *FIRST_PROCESS)
    return Started(name, name)


def _create_then_start(host: Host, name: str) -> Started:
    host.engine.docker("create", "--name", name, *LABEL, IMAGE, *FIRST_PROCESS)
    time.sleep(CREATE_TO_START_SECONDS)  # this delay is a part of what is measured
    host.engine.docker("start", name)
    return Started(name, name)


def _remove(host: Host, names: Sequence[str]) -> None:
    host.engine.docker("rm", "-f", *names)


def _compose(host: Host, project: str, *args: str) -> None:
    file = host.workdir / "benchmark.yaml"
    file.write_text(COMPOSE_FILE)
    host.engine.docker("compose", "--project-name", project, "--file", str(file), *args)


def _compose_up(host: Host, project: str) -> Started:
    _compose(host, project, "up", "--detach")
    name = f"{project}-web-1"
    return Started(name, name)


def _compose_down(host: Host, projects: Sequence[str]) -> None:
    for project in projects:
        _compose(host, project, "down", "--timeout", "0")


def in_swarm(swarm: Swarm) -> StartMethod:
    """Start a service of one task, with a constraint that places it on the host."""

    def create_service(host: Host, service: str) -> Started:
        constraint = f"node.id=={swarm.node_id(host)}"
        swarm.create_service(service, "--constraint", constraint, command=FIRST_PROCESS)
        filters = ("--filter", f"label=com.docker.swarm.service.name={service}", "--format", "{{.Names}}")
        task = eventually(lambda: host.engine.docker("ps", *filters), within=20)
        return Started(task, task.rpartition(".")[0])

    def remove(_host: Host, services: Sequence[str]) -> None:
        swarm.manager.engine.docker("service", "rm", *services)

    return StartMethod("Swarm task", create_service, remove)


DOCKER_RUN = StartMethod("docker run -d", _run, _remove)
CREATE_AND_START = StartMethod("docker create, 20 ms, docker start", _create_then_start, _remove)
COMPOSE_UP = StartMethod("docker compose up", _compose_up, _compose_down)
