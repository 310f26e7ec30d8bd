"""Compose and Swarm: a replaced container or task keeps its address."""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import pytest

from tests.lab.containers import EMPTY_PLAN, MAPPER_PROTOCOL, plan_of, reaches, suffix_of, wait_until_mapped
from tests.lab.engine_choice import on_every_engine
from tests.lab.engines import Flavour
from tests.lab.hosts import UPLINK, Host
from tests.lab.mapper import Mapper
from tests.lab.swarm import Swarm, task_name
from tests.lab.topology import Lab
from tests.lab.waiting import eventually

COMPOSE_FILE = """
services:
  web:
    image: busybox:lab
    environment: [EDITION=$EDITION]
    labels: [ipv6.mapper.network=he_ipv6]
"""

ATTACHED_BY_COMPOSE = """
    networks: [he_ipv6]
networks:
  he_ipv6:
    external: true
"""
"""Compose attaches the service to the network too, at an address chosen by the engine."""

SWARM = (Flavour.STABLE, Flavour.MODERN)
"""Worker and manager. The oldest engine is in a swarm in test_container.py."""


class Project:
    """A Compose project on a host."""

    def __init__(self, host: Host, text: str) -> None:
        self.host = host
        self._file = host.workdir / "compose.yaml"
        self._file.write_text(text)

    def up(self, *options: str, edition: str = "first") -> None:
        """Run `compose up`; another `edition` changes the environment, so that the service is recreated."""
        environment = self.host.workdir / "compose.env"
        environment.write_text(f"EDITION={edition}\n")
        self._compose("--env-file", str(environment), "up", "--detach", *options)

    def down(self) -> None:
        """Run `compose down`."""
        self._compose("down")

    def _compose(self, *args: str) -> None:
        self.host.engine.docker("compose", "--project-name", "shop", "--file", str(self._file), *args)


@pytest.fixture(params=["", ATTACHED_BY_COMPOSE], ids=["label only", "attached by compose"])
def project(host: Host, request: pytest.FixtureRequest) -> Project:
    """A project of one labelled service, `web`."""
    return Project(host, COMPOSE_FILE + request.param)


def id_of(host: Host, container: str) -> str:
    """Return the ID of the container with this name."""
    return host.engine.docker("inspect", "--format", "{{.Id}}", container)


def assert_no_warnings(mapper: Mapper) -> None:
    """Assert that the log has neither warnings nor errors."""
    assert not [line for line in mapper.log().splitlines() if " WARNING " in line or " ERROR " in line]


def test_compose_replicas_are_mapped_by_container_name(lab: Lab, mapper: Mapper, project: Project) -> None:
    """Each replica has its own address; `down` leaves no proxy entry."""
    host = project.host
    mapper.wait_for_log("proxying neighbour discovery")
    project.up()
    first = wait_until_mapped(host, "shop-web-1", suffix_of("shop-web-1"))
    project.up("--scale", "web=2")
    second = wait_until_mapped(host, "shop-web-2", suffix_of("shop-web-2"))
    assert host.proxy_entries(MAPPER_PROTOCOL) == {(first, UPLINK), (second, UPLINK)}
    assert reaches(lab.client, first)
    assert reaches(lab.client, second)
    eventually(lambda: plan_of(host) == EMPTY_PLAN)
    project.down()
    eventually(lambda: not host.proxy_entries(), within=2)
    assert_no_warnings(mapper)


@on_every_engine("each sends other events")
def test_compose_recreate_keeps_the_address(lab: Lab, mapper: Mapper, project: Project) -> None:
    """Old and new container exist at the same time; the address moves to the new one, and no start fails."""
    host = project.host
    mapper.wait_for_log("proxying neighbour discovery")
    project.up()
    address = wait_until_mapped(host, "shop-web-1", suffix_of("shop-web-1"))
    old = id_of(host, "shop-web-1")
    project.up(edition="second")
    assert id_of(host, "shop-web-1") != old
    assert wait_until_mapped(host, "shop-web-1", suffix_of("shop-web-1")) == address
    assert reaches(lab.client, address)
    eventually(lambda: plan_of(host) == EMPTY_PLAN)
    assert host.engine.docker("ps", "--all", "--format", "{{.Names}}") == "shop-web-1"
    host.engine.docker("restart", "--time", "0", "shop-web-1")
    assert wait_until_mapped(host, "shop-web-1", suffix_of("shop-web-1")) == address
    assert_no_warnings(mapper)


class Node(NamedTuple):
    """A host in the swarm, and the mapper on it."""

    host: Host
    mapper: Mapper

    def task_name(self) -> str:
        """Return the name of the only running container of the service `web` on this node."""
        return task_name(self.host)


def replaced(node: Node, task_name: str) -> bool:
    """Whether another task has replaced the named one."""
    return node.task_name() != task_name


def has_empty_plan(host: Host) -> bool:
    """Whether the plan is empty, also for the ended tasks that Swarm keeps."""
    return plan_of(host) == EMPTY_PLAN


def no_entries(host: Host) -> bool:
    """Whether the host has no proxy entry."""
    return not host.proxy_entries()


@pytest.fixture
def nodes(lab: Lab) -> Iterator[dict[Flavour, Node]]:
    """Two hosts, each with a network `he_ipv6` and its own mapper."""
    hosts = map(lab.host, SWARM)
    nodes = {host.engine.flavour: Node(host, Mapper(host)) for host in hosts}
    with ExitStack() as stack:
        for node in nodes.values():
            node.host.reset()
            stack.callback(node.host.reset)
            node.host.create_network()
            stack.enter_context(node.mapper)
            node.mapper.wait_for_log("proxying neighbour discovery")
        yield nodes


@pytest.fixture
def swarm(nodes: dict[Flavour, Node]) -> Swarm:
    """The swarm of these nodes."""
    swarm = Swarm(*(node.host for node in nodes.values()))
    swarm.form()
    return swarm


def test_swarm_task_is_mapped_by_its_own_node(lab: Lab, swarm: Swarm, nodes: dict[Flavour, Node]) -> None:
    """Two slots on two nodes, two independent mappers, two addresses."""
    swarm.create_service("web", "--replicas", "2", "--replicas-max-per-node", "1")
    slots = set()
    for node in nodes.values():
        address = swarm.wait_for_task_address(node.host)
        assert node.host.proxy_entries(MAPPER_PROTOCOL) == {(address, UPLINK)}
        assert reaches(lab.client, address)
        slots.add(node.task_name().split(".")[1])
    assert slots == {"1", "2"}
    swarm.manager.engine.docker("service", "rm", "web")
    for node in nodes.values():
        eventually(partial(no_entries, node.host))
        assert_no_warnings(node.mapper)


@pytest.fixture(params=SWARM, ids=lambda flavour: f"{flavour.value}-{flavour.release}")
def node(swarm: Swarm, nodes: dict[Flavour, Node], request: pytest.FixtureRequest) -> Node:
    """The node to which the service is constrained; each in turn."""
    node = nodes[request.param]
    swarm.create_service("web", "--constraint", f"node.id=={swarm.node_id(node.host)}")
    return node


def test_swarm_task_replacing_a_killed_one_keeps_the_address(lab: Lab, swarm: Swarm, node: Node) -> None:
    """A new container in the same slot; the stopped container of the old task does not block the address."""
    address = swarm.wait_for_task_address(node.host)
    killed = node.task_name()
    node.host.engine.docker("kill", killed)
    eventually(partial(replaced, node, killed))
    assert swarm.wait_for_task_address(node.host) == address
    assert reaches(lab.client, address)
    eventually(partial(has_empty_plan, node.host))
    assert_no_warnings(node.mapper)


def test_swarm_update_keeps_the_address(lab: Lab, swarm: Swarm, node: Node) -> None:
    """Also with start-first: the old task still has the address when the new one starts."""
    address = swarm.wait_for_task_address(node.host)
    for order in ("stop-first", "start-first"):
        old = node.task_name()
        swarm.update_service("--force", "--update-order", order, "--update-monitor", "0s")
        eventually(partial(replaced, node, old))
        assert swarm.wait_for_task_address(node.host) == address
        assert reaches(lab.client, address)
        eventually(partial(has_empty_plan, node.host))
    assert_no_warnings(node.mapper)
