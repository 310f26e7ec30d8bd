"""The mapper in a container, and behind a docker socket proxy with the documented allowlist."""

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.lab import images, socket_proxy
from tests.lab.commands import CommandError
from tests.lab.containers import LABEL, MAPPER_PROTOCOL, WEB_SERVER, reaches, run_labelled, wait_until_mapped
from tests.lab.documented_commands import commands
from tests.lab.engines import IMAGE, Flavour
from tests.lab.hosts import UPLINK, Host
from tests.lab.mapper import Mapper
from tests.lab.prerequisites import CHECKOUT
from tests.lab.swarm import Swarm
from tests.lab.topology import Lab
from tests.lab.waiting import eventually

PAGE = "docs/container.md"


class ComposeMapper:
    """The mapper in a container, run by `compose.yaml`."""

    def __init__(self, host: Host, context: Path) -> None:
        self.host = host
        self._context = context

    def up(self) -> None:
        """Start it with the documented command."""
        self.run_documented(commands("Run", PAGE)[0])

    def run_documented(self, command: str) -> None:
        """Run a documented `docker compose` command in the directory of `compose.yaml`."""
        program, subcommand, *arguments = command.split()
        assert (program, subcommand) == ("docker", "compose")
        self.compose(*arguments)

    def compose(self, *args: str) -> str:
        """Run `docker compose` with the project's `compose.yaml`."""
        return self.host.engine.docker("compose", "--project-directory", str(self._context), *args)

    def inspect(self, template: str) -> str:
        """Run `docker inspect --format` on the container."""
        return self.host.engine.docker(
            "inspect", "--format", template, self.compose("ps", "--all", "--quiet")
        )


@pytest.fixture(scope="module")
def context(lab: Lab) -> Path:
    """Build the image on the oldest engine; return the build context."""
    host = lab.host(Flavour.OLDEST)
    host.reset()
    context = host.workdir / "context"
    images.build(host.engine, context)
    return context


@pytest.fixture
def swarm(lab: Lab, context: Path) -> Iterator[Swarm]:
    """A swarm of two hosts, each with a network `he_ipv6` and the image, without a mapper."""
    assert context.is_dir()
    swarm = Swarm(lab.host(Flavour.OLDEST), lab.host(Flavour.MODERN))
    with ExitStack() as stack:
        for host in swarm.hosts:
            host.reset()
            stack.callback(host.reset)
            host.create_network()
        swarm.form()
        images.copy_image(lab.host(Flavour.OLDEST).engine, swarm.manager.engine)
        yield swarm
        swarm.manager.engine.docker("stack", "rm", "mapper")
        for host in swarm.hosts:
            eventually(partial(no_tasks, host, "mapper_mapper"), within=20)


@pytest.fixture
def composed(lab: Lab, context: Path) -> Iterator[ComposeMapper]:
    """A host with a network, where the mapper's container is not started yet."""
    host = lab.host(Flavour.OLDEST)
    host.reset()
    host.create_network()
    composed = ComposeMapper(host, context)
    yield composed
    composed.compose("down", "--volumes", "--timeout", "5")
    host.reset()


def test_mapper_in_a_container_works_with_two_capabilities(lab: Lab, composed: ComposeMapper) -> None:
    """Sysctls, addresses, proxy entries, ports and health check; the documented removal leaves nothing."""
    host = composed.host
    composed.up()
    options = ("--name", "mon_container", *LABEL, "--label", "ipv6.mapper.ports=80")
    host.engine.docker("run", "-d", *options, IMAGE, *WEB_SERVER)
    address = wait_until_mapped(host)
    assert reaches(lab.client, address)
    eventually(lambda: lab.client.http_get(f"http://[{address}]/"), within=5)
    assert host.sysctl(f"net.ipv6.conf.{UPLINK}.proxy_ndp") == "1"
    assert _capabilities(composed) == 1 << 12 | 1 << 13
    assert composed.inspect("{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.Privileged}}") == "true false"
    assert json.loads(composed.compose("exec", "-T", "mapper", "DockerIPV6Mapper.py", "status", "--json"))
    (probe,) = json.loads(composed.inspect("{{json .Config.Healthcheck.Test}}"))[1:]
    composed.compose("exec", "-T", "mapper", "sh", "-c", probe)
    stop, cleanup, down = commands("Remove", PAGE)
    composed.run_documented(stop)
    assert composed.inspect("{{.State.ExitCode}}") == "0"
    assert wait_until_mapped(host) == address
    composed.run_documented(cleanup)
    composed.run_documented(down)
    assert not host.proxy_entries()
    assert not host.engine.docker("volume", "ls", "--quiet", "--filter", "name=state")


def test_image_has_no_build_tools_or_sources(composed: ComposeMapper) -> None:
    """Neither pip nor `/src` with sources and wheels."""
    docker = composed.host.engine.docker
    look = ("--entrypoint", "sh", images.IMAGE, "-c", "ls -d /src; ls /opt/*/bin")
    listing = docker("run", "--rm", *look, check=False)
    assert "DockerIPV6Mapper.py" in listing
    assert "/src" not in listing
    assert "pip" not in listing


def no_tasks(host: Host, service: str) -> bool:
    """Whether a node has no container of the service."""
    listing = ("ps", "--quiet", "--filter", f"label=com.docker.swarm.service.name={service}")
    return not host.engine.docker(*listing)


def test_swarm_stack_maps_the_tasks_of_each_node(lab: Lab, swarm: Swarm) -> None:
    """One mapper on each node, deployed as documented; a service with one task on each node."""
    (deploy,) = (each for each in commands("On a Swarm", "docs/hosts.md") if "stack deploy" in each)
    program, *arguments = deploy.split()
    assert program == "docker"
    arguments[3] = str(CHECKOUT / arguments[3])
    # The lab has no registry to resolve the image's digest.
    swarm.manager.engine.docker(*arguments[:2], "--resolve-image=never", "--detach=true", *arguments[2:])
    swarm.create_service("web", "--replicas", "1", "--replicas-max-per-node", "1")
    swarm.manager.engine.docker("service", "scale", "--detach", "web=2")
    addresses = {swarm.wait_for_task_address(host) for host in swarm.hosts}
    assert len(addresses) == len(swarm.hosts)
    for host in swarm.hosts:
        (entry,) = host.proxy_entries(MAPPER_PROTOCOL)
        assert entry[0] in addresses
        assert entry[0] in host.subnet
        assert reaches(lab.client, entry[0])


def _capabilities(composed: ComposeMapper) -> int:
    """Return the effective capabilities of the container's first process (CapEff)."""
    status = composed.compose("exec", "-T", "mapper", "cat", "/proc/1/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["NoNewPrivs"] == "1"
    return int(fields["CapEff"], 16)


def _allowed() -> re.Pattern[str]:
    """Return the documented allowlist as one pattern; the documented proxy matches whole paths."""
    patterns = dict(re.findall(r"- -allow(GET|POST)=(.*)", (CHECKOUT / PAGE).read_text()))
    assert patterns.keys() == {"GET", "POST"}
    return re.compile("|".join(rf"{method} (?:{path})(?:\?.*)?" for method, path in patterns.items()))


def test_documented_socket_proxy_allowlist_suffices(lab: Lab, host: Host) -> None:
    """New and moved containers, ports, an engine restart: the mapper sends no other request."""
    path = host.workdir / "proxy.sock"
    with (
        socket_proxy.running(path, host.engine.socket, _allowed()) as proxy,
        Mapper(host, "--docker-host", f"unix://{path}") as mapper,
    ):
        run_labelled(host, "mon_container", "--network", "he_ipv6", "--label", "ipv6.mapper.ports=80")
        assert reaches(lab.client, wait_until_mapped(host))
        host.engine.docker("network", "disconnect", "he_ipv6", "mon_container")
        wait_until_mapped(host)
        host.engine.restart()
        mapper.wait_for_log("retrying, addresses and proxy entries stay")
        host.engine.docker("start", "mon_container")
        eventually(lambda: wait_until_mapped(host), within=15)
        assert proxy.refused == []
        with pytest.raises(CommandError, match="no"):
            host.engine.docker("--host", f"unix://{path}", "run", "--rm", IMAGE, "true")
        assert any(each.endswith("/containers/create") for each in proxy.refused)
