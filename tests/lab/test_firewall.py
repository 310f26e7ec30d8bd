"""Ports by label: exactly what was asked for is open, in every mode of the engine, and no longer."""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from tests.lab.engines import IMAGE, Flavour
from tests.lab.hosts import Host
from tests.lab.mapper import CHECKOUT, Mapper, run_command
from tests.lab.scenes import LABEL, SUFFIX, mapped, reaches
from tests.lab.topology import Lab
from tests.lab.waiting import eventually

SCANNED = [*range(1, 300), 443, *range(7990, 8110), 9000, 65535]
PORTS = "80/tcp,443,53/udp,8000-8100/tcp"
OPEN_TCP = {80, 443, *range(8000, 8101)}
OPEN_UDP = {53}


@dataclass(frozen=True)
class Mode:
    """One way in which an engine may filter."""

    name: str
    flavour: Flavour
    gateway_mode: str | None = None
    ip6tables: bool = False
    legacy: bool = False
    """Whether the engine's iptables is the legacy backend's, while the machine's is nft's."""
    filters: bool = True
    """Whether the engine keeps new connections out where nothing is asked for."""


MODES = [
    Mode("20.10", Flavour.DISTRO, filters=False),
    Mode("20.10-ip6tables", Flavour.DISTRO, ip6tables=True),
    Mode("20.10-ip6tables-legacy", Flavour.DISTRO, ip6tables=True, legacy=True),
    Mode("28-nat", Flavour.MODERN, gateway_mode="nat"),
    Mode("28-nat-unprotected", Flavour.MODERN, gateway_mode="nat-unprotected", filters=False),
    Mode("28-routed", Flavour.MODERN, gateway_mode="routed"),
]


@contextmanager
def staged(lab: Lab, mode: Mode) -> Iterator[Host]:
    """A host whose engine and network are in that mode."""
    host = lab.host(mode.flavour)
    host.reset()
    lab.router.flush_neighbours()
    if mode.ip6tables:
        host.engine.ip6tables = True
        host.engine.legacy = mode.legacy
        host.engine.restart()
    host.create_network("he_ipv6", gateway_mode=mode.gateway_mode)
    assert (":DOCKER " in host.namespace.run("iptables-legacy-save").stdout) == mode.legacy
    try:
        yield host
    finally:
        host.reset()


@pytest.fixture(params=MODES, ids=lambda mode: mode.name)
def mode(request: pytest.FixtureRequest) -> Mode:
    """Each mode in turn."""
    found: Mode = request.param
    return found


@pytest.fixture
def host(lab: Lab, mode: Mode) -> Iterator[Host]:
    """The host in that mode."""
    with staged(lab, mode) as host:
        yield host


@pytest.fixture(
    params=[each for each in MODES if each.name in ("20.10", "28-routed")], ids=lambda each: each.name
)
def plain(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Host]:
    """A host of each engine, in the mode that the README recommends."""
    with staged(lab, request.param) as host:
        yield host


def serve(host: Host, name: str, *options: str) -> None:
    """Run a container that echoes on TCP ports 80 and 8050, and refuses what else reaches it."""
    servers = "nc -ll -p 8050 -e cat & exec nc -ll -p 80 -e cat"
    host.engine.docker("run", "-d", "--name", name, *LABEL, *options, IMAGE, "sh", "-c", servers)


def scan(lab: Lab, address: IPv6Address, protocol: str, ports: Iterable[int]) -> set[int]:
    """The ports that the router reaches."""
    argv = (sys.executable, "-m", "tests.lab.scan", str(address), protocol, ",".join(map(str, ports)))
    entered = lab.router.namespace.entered(*argv)
    done = subprocess.run(entered, cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=60)
    return {int(port) for port in done.stdout.split()}


def assert_exactly_open(lab: Lab, mode: Mode, address: IPv6Address) -> None:
    """What the label names and nothing else, or everything where the engine filters nothing."""
    if mode.filters:
        assert scan(lab, address, "tcp", SCANNED) == OPEN_TCP
        assert scan(lab, address, "udp", [52, 53, 54, 80]) == OPEN_UDP
    else:
        assert scan(lab, address, "tcp", SCANNED) == set(SCANNED)


def test_exactly_the_labelled_ports_are_open_before_during_and_after_restarts(
    lab: Lab, mode: Mode, host: Host
) -> None:
    """Of the daemon, and of the engine, which builds its chains anew; and none when the container is gone."""
    with Mapper(host, "--resync", "1") as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        serve(host, "mon_container", "--restart", "always", "--label", f"ipv6.mapper.ports={PORTS}")
        address = mapped(host)
        mapper.wait_for_log(f"opened 8000-8100/tcp of {address}")
        eventually(lambda: scan(lab, address, "tcp", [80]), within=5)
        assert_exactly_open(lab, mode, address)
        mapper.kill()
        assert_exactly_open(lab, mode, address)
        mapper.start()
        host.engine.restart()
        assert mapped(host) == address
        eventually(lambda: scan(lab, address, "tcp", [80]), within=10)
        assert_exactly_open(lab, mode, address)
        host.engine.docker("rm", "-f", "mon_container")
        eventually(lambda: str(address) not in table(host), within=2)


def table(host: Host) -> str:
    """Our table in the host's firewall; empty where there is none."""
    return host.namespace.run("nft", "list", "table", "ip6", "dockeripv6mapper", check=False).stdout


def rules_of_ours(host: Host) -> int:
    """How many rules among the engine's carry our name."""
    saved = (host.namespace.run(command).stdout for command in ("ip6tables-save", "ip6tables-legacy-save"))
    return sum(rules.count("DockerIPV6Mapper") for rules in saved)


def test_a_container_without_the_label_gets_nothing_opened(lab: Lab, mode: Mode, host: Host) -> None:
    """And nothing is installed where nobody asks."""
    with Mapper(host) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        serve(host, "mon_container")
        address = mapped(host)
        # The first container's bridge takes its time: whether the ping passes is the engine's business.
        lab.router.ping(address, timeout=3)
        assert bool(scan(lab, address, "tcp", [80, 8050])) != mode.filters
        assert not table(host)
        assert not rules_of_ours(host)
        warned = mapper.log().count("network he_ipv6: the network is in the engine's gateway mode nat")
        assert warned == (1 if mode.gateway_mode == "nat" else 0)


def test_a_flushed_firewall_is_put_right_by_the_next_pass(lab: Lab, plain: Host) -> None:
    """As after `iptables -F`, or a reload of somebody's firewall."""
    with Mapper(plain, "--resync", "1") as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        serve(plain, "mon_container", "--label", "ipv6.mapper.ports=80")
        address = mapped(plain)
        eventually(lambda: scan(lab, address, "tcp", [80]), within=5)
        chain = "DOCKER-USER" if plain.engine.flavour is Flavour.MODERN else "FORWARD"
        plain.namespace.run("ip6tables", "-t", "raw", "-F", "PREROUTING")
        plain.namespace.run("ip6tables", "-F", chain)
        plain.namespace.run("nft", "delete", "table", "ip6", "dockeripv6mapper")
        eventually(lambda: str(address) in table(plain), within=5)
        eventually(lambda: rules_of_ours(plain) == 2, within=5)
        eventually(lambda: scan(lab, address, "tcp", [80, 81]) >= {80}, within=5)


def test_established_connections_survive_restarts_and_unrelated_changes(lab: Lab, plain: Host) -> None:
    """One connection, echoing throughout."""
    with Mapper(plain) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        serve(plain, "mon_container", "--label", "ipv6.mapper.ports=80")
        address = mapped(plain)
        eventually(lambda: scan(lab, address, "tcp", [80]), within=5)
        client = lab.router.namespace.entered(sys.executable, "-c", ECHO_CLIENT, str(address))
        with subprocess.Popen(client, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as connection:
            assert echoed(connection, "before") == "before"
            assert mapper.stop() == 0
            assert echoed(connection, "stopped") == "stopped"
            mapper.start()
            serve(plain, "nginx", "--label", "ipv6.mapper.ports=all")
            mapped(plain, "nginx", 0xEE_0043_0040)
            mapper.wait_for_log("opened 1-65535/udp")
            assert echoed(connection, "after") == "after"
            connection.kill()


ECHO_CLIENT = """
import socket, sys
with socket.create_connection((sys.argv[1], 80), timeout=5) as link, link.makefile("rw") as stream:
    for line in sys.stdin:
        stream.write(line)
        stream.flush()
        sys.stdout.write(stream.readline())
        sys.stdout.flush()
"""


def echoed(connection: "subprocess.Popen[str]", word: str) -> str:
    """What comes back of a word that is sent."""
    assert connection.stdin is not None
    assert connection.stdout is not None
    connection.stdin.write(f"{word}\n")
    connection.stdin.flush()
    return connection.stdout.readline().strip()


def test_closed_drops_what_no_label_opened_and_nothing_else(lab: Lab, plain: Host) -> None:
    """Ping, what is opened, and everything between containers and on the way out goes on."""
    with Mapper(plain, "--firewall", "closed") as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        serve(plain, "mon_container", "--label", "ipv6.mapper.ports=80")
        serve(plain, "nginx")
        address, other = mapped(plain), mapped(plain, "nginx", 0xEE_0043_0040)
        eventually(lambda: scan(lab, address, "tcp", [80]), within=5)
        assert scan(lab, address, "tcp", [79, 80, 81, 8050]) == {80}
        assert scan(lab, address, "udp", [53]) == set()
        assert scan(lab, other, "tcp", [80, 8050]) == set()
        assert reaches(lab.router, address)
        docker = plain.engine.docker
        docker("exec", "nginx", "nc", "-w", "2", str(address), "8050", "-e", "true")
        docker("exec", "nginx", "ping", "-c", "1", "-W", "3", str(lab.router.address))
        docker("rm", "-f", "mon_container", "nginx")
        eventually(lambda: not table(plain), within=3)


def test_off_touches_nothing(plain: Host) -> None:
    """Whatever labels ask for."""
    with Mapper(plain, "--firewall", "off") as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        serve(plain, "mon_container", "--label", "ipv6.mapper.ports=80")
        mapped(plain)
        assert not table(plain)
        assert not rules_of_ours(plain)


def test_cleanup_removes_table_and_rules(plain: Host) -> None:
    """Ours, and only those."""
    with Mapper(plain) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        serve(plain, "mon_container", "--label", "ipv6.mapper.ports=80")
        address = mapped(plain)
        mapper.wait_for_log(f"opened 80/tcp of {address}")
    plain.namespace.run("ip6tables", "-I", "FORWARD", "-d", str(plain.subnet[SUFFIX]), "-j", "ACCEPT")
    done = run_command(plain, "cleanup")
    assert done.returncode == 0, done.stderr
    for part in ("table ip6 dockeripv6mapper", "raw PREROUTING", f"proxy entry {address}"):
        assert part in done.stdout
    assert not rules_of_ours(plain)
    assert str(address) in plain.namespace.run("ip6tables-save").stdout
    assert not table(plain)


def test_the_backend_that_the_engine_does_not_use_is_left_alone(lab: Lab) -> None:
    """Though it be the machine's choice: its mere listing would make tables that other programs warn of."""
    with staged(lab, MODES[-1]) as host:
        path = {"PATH": f"{host.engine.workdir / 'legacy'}:{os.environ['PATH']}"}
        with Mapper(host, environment=path) as mapper:
            mapper.wait_for_log("proxying neighbour discovery")
            serve(host, "mon_container", "--label", "ipv6.mapper.ports=80")
            mapper.wait_for_log("accepting marked packets in ip6tables-nft -t filter DOCKER-USER")
        assert not host.namespace.run("cat", "/proc/net/ip6_tables_names").stdout


def test_ip6tables_that_fails_keeps_no_container_from_its_address(lab: Lab, tmp_path: Path) -> None:
    """As the legacy backend does on a kernel without it: said, and tried again."""
    for command in ("ip6tables", "ip6tables-nft", "ip6tables-legacy"):
        (tmp_path / command).symlink_to("/bin/false")
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with staged(lab, MODES[-1]) as host, Mapper(host, "--resync", "1", environment=path) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        serve(host, "mon_container", "--label", "ipv6.mapper.ports=80")
        mapped(host)
        mapper.wait_for_log("WARNING .*ip6tables -w -t raw -I PREROUTING 1 .*: exit code 1")


@pytest.mark.parametrize(
    ("ports", "item"),
    [
        ("80,0", "'0'"),
        ("80,65536", "'65536'"),
        ("80-79", "'80-79'"),
        ("80/sctp2", "'80/sctp2'"),
        ("80,,81", "''"),
    ],
)
def test_ports_that_cannot_be_understood_leave_the_mapping_alone(plain: Host, ports: str, item: str) -> None:
    """The item is named, and none of the label's ports is opened."""
    with Mapper(plain) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        serve(plain, "mon_container", "--label", f"ipv6.mapper.ports={ports}")
        mapped(plain)
        warning = mapper.wait_for_log("WARNING.*container mon_container: no port is opened.*")[0]
        assert f"ipv6.mapper.ports={item}" in warning
        assert not table(plain)
