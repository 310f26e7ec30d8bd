"""The mapper in a container, and behind a proxy that lets it do no more than its job."""

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


class Composed:
    """The mapper as `compose.yaml` runs it."""

    def __init__(self, host: Host, context: Path) -> None:
        self.host = host
        self._context = context

    def up(self) -> None:
        """Start it as the page says."""
        self.type(commands("Run", PAGE)[0])

    def type(self, command: str) -> None:
        """Type a command of the page, where `compose.yaml` is."""
        program, subcommand, *arguments = command.split()
        assert (program, subcommand) == ("docker", "compose")
        self.compose(*arguments)

    def compose(self, *args: str) -> str:
        """Run `docker compose` where `compose.yaml` is."""
        return self.host.engine.docker("compose", "--project-directory", str(self._context), *args)

    def inspect(self, template: str) -> str:
        """Ask the engine about the container."""
        return self.host.engine.docker(
            "inspect", "--format", template, self.compose("ps", "--all", "--quiet")
        )


@pytest.fixture(scope="module")
def context(lab: Lab) -> Path:
    """What the image was built from, on the distribution's engine."""
    host = lab.host(Flavour.DISTRO)
    host.reset()
    context = host.workdir / "context"
    images.build(host.engine, context)
    return context


@pytest.fixture
def swarm(lab: Lab, context: Path) -> Iterator[Swarm]:
    """Both hosts in one swarm, each with a network `he_ipv6` and the image, and no mapper yet."""
    assert context.is_dir()
    swarm = Swarm(lab)
    with ExitStack() as stack:
        for host in swarm.hosts:
            host.reset()
            stack.callback(host.reset)
            host.create_network()
        swarm.form()
        images.copy_image(lab.host(Flavour.DISTRO).engine, swarm.manager.engine)
        yield swarm
        swarm.manager.engine.docker("stack", "rm", "mapper")
        for host in swarm.hosts:
            eventually(partial(no_tasks, host, "mapper_mapper"), within=20)


@pytest.fixture
def composed(lab: Lab, context: Path) -> Iterator[Composed]:
    """A host with a network, on which the container does not run yet."""
    host = lab.host(Flavour.DISTRO)
    host.reset()
    host.create_network()
    composed = Composed(host, context)
    yield composed
    composed.compose("down", "--volumes", "--timeout", "5")
    host.reset()


def test_the_container_does_the_whole_job_with_two_capabilities(lab: Lab, composed: Composed) -> None:
    """Sysctls, addresses, proxy entries, ports; healthy, and gone without a trace as the page says."""
    host = composed.host
    composed.up()
    options = ("--name", "mon_container", *LABEL, "--label", "ipv6.mapper.ports=80")
    host.engine.docker("run", "-d", *options, IMAGE, *WEB_SERVER)
    address = wait_until_mapped(host)
    assert reaches(lab.router, address)
    eventually(lambda: lab.router.http_get(f"http://[{address}]/"), within=5)
    assert host.sysctl(f"net.ipv6.conf.{UPLINK}.proxy_ndp") == "1"
    assert _capabilities(composed) == 1 << 12 | 1 << 13
    assert composed.inspect("{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.Privileged}}") == "true false"
    assert json.loads(composed.compose("exec", "-T", "mapper", "DockerIPV6Mapper.py", "status", "--json"))
    (probe,) = json.loads(composed.inspect("{{json .Config.Healthcheck.Test}}"))[1:]
    composed.compose("exec", "-T", "mapper", "sh", "-c", probe)
    stop, cleanup, down = commands("Remove", PAGE)
    composed.type(stop)
    assert composed.inspect("{{.State.ExitCode}}") == "0"
    assert wait_until_mapped(host) == address
    composed.type(cleanup)
    composed.type(down)
    assert not host.proxy_entries()
    assert not host.engine.docker("volume", "ls", "--quiet", "--filter", "name=state")


def test_nothing_that_builds_is_in_the_image(composed: Composed) -> None:
    """No pip, no sources, no wheels."""
    docker = composed.host.engine.docker
    look = ("--entrypoint", "sh", images.IMAGE, "-c", "ls -d /src; ls /opt/*/bin")
    left = docker("run", "--rm", *look, check=False)
    assert "DockerIPV6Mapper.py" in left
    assert "/src" not in left
    assert "pip" not in left


def no_tasks(host: Host, service: str) -> bool:
    """Whether no task of the service is left on a node."""
    listing = ("ps", "--quiet", "--filter", f"label=com.docker.swarm.service.name={service}")
    return not host.engine.docker(*listing)


def test_a_stack_has_each_node_map_its_own_tasks(lab: Lab, swarm: Swarm) -> None:
    """One mapper on each node, deployed as the README says; a service that is scaled over both."""
    (deploy,) = (each for each in commands("On a Swarm") if "stack deploy" in each)
    program, *arguments = deploy.split()
    assert program == "docker"
    arguments[3] = str(CHECKOUT / arguments[3])
    # There is no registry to ask for the image's digest.
    swarm.manager.engine.docker(*arguments[:2], "--resolve-image=never", "--detach=true", *arguments[2:])
    swarm.create_service("web", "--replicas", "1", "--replicas-max-per-node", "1")
    swarm.manager.engine.docker("service", "scale", "--detach", "web=2")
    addresses = {swarm.wait_for_task_address(host) for host in swarm.hosts}
    assert len(addresses) == len(swarm.hosts)
    for host in swarm.hosts:
        (entry,) = host.proxy_entries(MAPPER_PROTOCOL)
        assert entry[0] in addresses
        assert entry[0] in host.subnet
        assert reaches(lab.router, entry[0])


def _capabilities(composed: Composed) -> int:
    """What the first process in the container may do, as the kernel sees it."""
    status = composed.compose("exec", "-T", "mapper", "cat", "/proc/1/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["NoNewPrivs"] == "1"
    return int(fields["CapEff"], 16)


def _allowed() -> re.Pattern[str]:
    """The allowlist of the page; its proxy matches paths alone, whole."""
    patterns = dict(re.findall(r"- -allow(GET|POST)=(.*)", (CHECKOUT / PAGE).read_text()))
    assert patterns.keys() == {"GET", "POST"}
    return re.compile("|".join(rf"{method} (?:{path})(?:\?.*)?" for method, path in patterns.items()))


def test_a_proxy_that_lets_through_what_the_page_lists_is_enough(lab: Lab, host: Host) -> None:
    """New and moved containers, ports, an engine that restarts: nothing else is asked for."""
    path = host.workdir / "proxy.sock"
    with (
        socket_proxy.running(path, host.engine.socket, _allowed()) as proxy,
        Mapper(host, "--docker-host", f"unix://{path}") as mapper,
    ):
        run_labelled(host, "mon_container", "--network", "he_ipv6", "--label", "ipv6.mapper.ports=80")
        assert reaches(lab.router, wait_until_mapped(host))
        host.engine.docker("network", "disconnect", "he_ipv6", "mon_container")
        wait_until_mapped(host)
        host.engine.restart()
        mapper.wait_for_log("keeping everything as it is")
        host.engine.docker("start", "mon_container")
        eventually(lambda: wait_until_mapped(host), within=15)
        assert proxy.refused == []
        with pytest.raises(CommandError, match="no"):
            host.engine.docker("--host", f"unix://{path}", "run", "--rm", IMAGE, "true")
        assert any(each.endswith("/containers/create") for each in proxy.refused)
