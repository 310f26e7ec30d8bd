"""Ports by label: exactly what was asked for is open, in every mode of the engine, and no longer."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import pytest

from tests.lab.containers import LABEL, SUFFIX, reaches, run, wait_until_mapped
from tests.lab.engines import Flavour
from tests.lab.firewall_modes import ENGINE_20_10, ENGINE_28_ROUTED, MODES, FirewallMode, host_in_mode
from tests.lab.hosts import Host
from tests.lab.mapper import Mapper, run_command
from tests.lab.ports import EnterNamespace, from_container, from_router, scan_ports, serve, udp_echo
from tests.lab.topology import Lab
from tests.lab.waiting import eventually

SCANNED = [*range(1, 300), 443, *range(7990, 8110), 9000, 65535]
SCANNED_UDP = [52, 53, 54, 80]
ECHOED = (53, 54)
"""UDP ports on which somebody echoes; the others refuse."""
NEARBY = {"tcp": (79, 80, 81, 443, 8050, 8101), "udp": (52, 53, 54, 80)}
"""What is scanned from other containers of the host."""
PORTS = "80/tcp,443,53/udp,8000-8100/tcp"
OPEN_TCP = {80, 443, *range(8000, 8101)}
OPEN_UDP = {53}
OPEN_NEARBY = {("tcp", 80), ("tcp", 443), ("tcp", 8050), ("udp", 53)}


@pytest.fixture(params=MODES, ids=lambda mode: mode.name)
def mode(request: pytest.FixtureRequest) -> FirewallMode:
    """Each mode in turn."""
    found: FirewallMode = request.param
    return found


@pytest.fixture
def host(lab: Lab, mode: FirewallMode) -> Iterator[Host]:
    """The host in that mode."""
    with host_in_mode(lab, mode) as host:
        yield host


@pytest.fixture(params=[ENGINE_20_10, ENGINE_28_ROUTED], ids=lambda mode: mode.name)
def plain(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Host]:
    """A host of each engine, in the mode that the README recommends."""
    with host_in_mode(lab, request.param) as host:
        yield host


def assert_exactly_open(lab: Lab, mode: FirewallMode, host: Host, address: IPv6Address) -> None:
    """What the label names and nothing else, or everything where the engine filters nothing."""
    assert scan_ports(from_router(lab), address, "tcp", SCANNED) == (
        OPEN_TCP if mode.filters else set(SCANNED)
    )
    with udp_echo(host, "mon_container", *ECHOED):
        found = scan_ports(from_router(lab), address, "udp", SCANNED_UDP)
    assert found == (OPEN_UDP if mode.filters else set(SCANNED_UDP))


def test_exactly_the_labelled_ports_are_open_before_during_and_after_restarts(
    lab: Lab, mode: FirewallMode, host: Host
) -> None:
    """Of the daemon, and of the engine, which builds its chains anew; and none when the container is gone."""
    with Mapper(host, "--resync", "1") as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        serve(host, "mon_container", *LABEL, "--restart", "always", "--label", f"ipv6.mapper.ports={PORTS}")
        address = wait_until_mapped(host)
        mapper.wait_for_log(f"opened 8000-8100/tcp of {address}")
        eventually(lambda: scan_ports(from_router(lab), address, "tcp", [80]), within=5)
        assert_exactly_open(lab, mode, host, address)
        mapper.kill()
        assert_exactly_open(lab, mode, host, address)
        mapper.start()
        host.engine.restart()
        assert wait_until_mapped(host) == address
        eventually(lambda: scan_ports(from_router(lab), address, "tcp", [80]), within=10)
        assert_exactly_open(lab, mode, host, address)
        host.engine.docker("rm", "-f", "mon_container")
        eventually(lambda: str(address) not in table(host), within=2)


def test_between_containers_the_engine_decides_and_labelled_ports_answer(
    mode: FirewallMode, host: Host
) -> None:
    """On the same network and on another, a peer reaches what it reached before, and what is opened."""
    other = create_other_network(host, mode)
    address = host.subnet[SUFFIX]
    attached = ("--network", "he_ipv6", "--ip6", str(address))
    serve(host, "mon_container", *LABEL, *attached, "--label", f"ipv6.mapper.ports={PORTS}")
    run(host, "neighbour", "--network", "he_ipv6")
    run(host, "stranger", "--network", "other")
    peers = [from_container(host, "neighbour"), from_container(host, "stranger")]
    eventually(lambda: scan_ports(peers[0], address, "tcp", [80]))
    eventually(lambda: host.engine.docker("exec", "stranger", "ping", "-c", "1", "-W", "1", str(other[1])))
    with udp_echo(host, "mon_container", *ECHOED):
        before = [reached_nearby(peer, address) for peer in peers]
        assert before[0] == {(protocol, port) for protocol in NEARBY for port in NEARBY[protocol]}
        with Mapper(host) as mapper:
            mapper.wait_for_log(f"opened 8000-8100/tcp of {address}")
            assert [reached_nearby(peer, address) for peer in peers] == [
                each | OPEN_NEARBY for each in before
            ]


def reached_nearby(peer: EnterNamespace, address: IPv6Address) -> set[tuple[str, int]]:
    """What a container reaches of `NEARBY`."""
    return {
        (protocol, port)
        for protocol in NEARBY
        for port in scan_ports(peer, address, protocol, NEARBY[protocol])
    }


def create_other_network(host: Host, mode: FirewallMode) -> IPv6Network:
    """A network beside the labelled one, of the same mode; returns its subnet."""
    subnet = IPv6Network((int(host.subnet.network_address) | 0xA0 << 48, host.subnet.prefixlen))
    options = ("-o", f"com.docker.network.bridge.gateway_mode_ipv6={mode.gateway_mode}")
    given = options if mode.gateway_mode else ()
    host.engine.docker("network", "create", "--ipv6", "--subnet", str(subnet), *given, "other")
    return subnet


def table(host: Host) -> str:
    """Our table in the host's firewall; empty where there is none."""
    return host.namespace.run("nft", "list", "table", "ip6", "dockeripv6mapper", check=False).stdout


def rules_of_ours(host: Host) -> int:
    """How many rules among the engine's carry our name."""
    saved = (host.namespace.run(command).stdout for command in ("ip6tables-save", "ip6tables-legacy-save"))
    return sum(rules.count("DockerIPV6Mapper") for rules in saved)


def test_a_container_without_the_label_gets_nothing_opened(lab: Lab, mode: FirewallMode, host: Host) -> None:
    """And nothing is installed where nobody asks."""
    with Mapper(host) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        serve(host, "mon_container", *LABEL)
        address = wait_until_mapped(host)
        # The first container's bridge takes its time: whether the ping passes is the engine's business.
        lab.router.ping(address, timeout=3)
        assert bool(scan_ports(from_router(lab), address, "tcp", [80, 8050])) != mode.filters
        assert not table(host)
        assert not rules_of_ours(host)
        warned = mapper.log().count("network he_ipv6: nothing from outside gets in: its gateway mode is nat")
        assert warned == (1 if mode.gateway_mode == "nat" else 0)


def test_a_flushed_firewall_is_put_right_by_the_next_pass(lab: Lab, plain: Host) -> None:
    """As after `iptables -F`, or a reload of somebody's firewall."""
    with Mapper(plain, "--resync", "1") as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        serve(plain, "mon_container", *LABEL, "--label", "ipv6.mapper.ports=80")
        address = wait_until_mapped(plain)
        eventually(lambda: scan_ports(from_router(lab), address, "tcp", [80]), within=5)
        chain = "DOCKER-USER" if plain.engine.flavour is Flavour.MODERN else "FORWARD"
        plain.namespace.run("ip6tables", "-t", "raw", "-F", "PREROUTING")
        plain.namespace.run("ip6tables", "-F", chain)
        plain.namespace.run("nft", "delete", "table", "ip6", "dockeripv6mapper")
        eventually(lambda: str(address) in table(plain), within=5)
        eventually(lambda: rules_of_ours(plain) == 2, within=5)
        eventually(lambda: scan_ports(from_router(lab), address, "tcp", [80, 81]) >= {80}, within=5)


def test_an_element_of_somebody_elses_in_our_table_stops_nothing(plain: Host) -> None:
    """One warning, and the table is built anew: what labels ask for is opened, and no more."""
    with Mapper(plain, "--resync", "1") as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        serve(plain, "mon_container", *LABEL, "--label", "ipv6.mapper.ports=80")
        address = wait_until_mapped(plain)
        eventually(lambda: str(address) in table(plain), within=5)
        element = f'{{ {address} . tcp . 8050 comment "by hand" }}'
        plain.namespace.run("nft", "add", "element", "ip6", "dockeripv6mapper", "open", element)
        mapper.wait_for_log("WARNING.*table ip6 dockeripv6mapper is not as it was made")
        eventually(lambda: "by hand" not in table(plain), within=5)
        serve(plain, "nginx", *LABEL, "--label", "ipv6.mapper.ports=80")
        other = wait_until_mapped(plain, "nginx", 0xEE_0043_0040)
        eventually(lambda: str(other) in table(plain), within=5)
        assert mapper.log().count("is not as it was made") == 1


def test_established_connections_survive_restarts_and_unrelated_changes(lab: Lab, plain: Host) -> None:
    """One connection, echoing throughout."""
    with Mapper(plain) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        serve(plain, "mon_container", *LABEL, "--label", "ipv6.mapper.ports=80")
        address = wait_until_mapped(plain)
        eventually(lambda: scan_ports(from_router(lab), address, "tcp", [80]), within=5)
        client = lab.router.namespace.nsenter(sys.executable, "-c", ECHO_CLIENT, str(address))
        with subprocess.Popen(client, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as connection:
            assert echoed(connection, "before") == "before"
            assert mapper.stop() == 0
            assert echoed(connection, "stopped") == "stopped"
            mapper.start()
            serve(plain, "nginx", *LABEL, "--label", "ipv6.mapper.ports=all")
            wait_until_mapped(plain, "nginx", 0xEE_0043_0040)
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
        serve(plain, "mon_container", *LABEL, "--label", "ipv6.mapper.ports=80")
        serve(plain, "nginx", *LABEL)
        address, other = wait_until_mapped(plain), wait_until_mapped(plain, "nginx", 0xEE_0043_0040)
        eventually(lambda: scan_ports(from_router(lab), address, "tcp", [80]), within=5)
        assert scan_ports(from_router(lab), address, "tcp", [79, 80, 81, 8050]) == {80}
        assert scan_ports(from_router(lab), address, "udp", [53]) == set()
        assert scan_ports(from_router(lab), other, "tcp", [80, 8050]) == set()
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
        serve(plain, "mon_container", *LABEL, "--label", "ipv6.mapper.ports=80")
        wait_until_mapped(plain)
        assert not table(plain)
        assert not rules_of_ours(plain)


def test_cleanup_removes_table_and_rules(plain: Host) -> None:
    """Ours, and only those."""
    with Mapper(plain) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        serve(plain, "mon_container", *LABEL, "--label", "ipv6.mapper.ports=80")
        address = wait_until_mapped(plain)
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
    with host_in_mode(lab, ENGINE_28_ROUTED) as host:
        path = {"PATH": f"{host.engine.workdir / 'legacy'}:{os.environ['PATH']}"}
        with Mapper(host, environment=path) as mapper:
            mapper.wait_for_log("proxying neighbour discovery")
            serve(host, "mon_container", *LABEL, "--label", "ipv6.mapper.ports=80")
            mapper.wait_for_log("accepting marked packets in ip6tables-nft -t filter DOCKER-USER")
        assert not host.namespace.run("cat", "/proc/net/ip6_tables_names").stdout


def test_ip6tables_that_fails_keeps_no_container_from_its_address(lab: Lab, tmp_path: Path) -> None:
    """As the legacy backend does on a kernel without it: said, and tried again."""
    for command in ("ip6tables", "ip6tables-nft", "ip6tables-legacy"):
        (tmp_path / command).symlink_to("/bin/false")
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with (
        host_in_mode(lab, ENGINE_28_ROUTED) as host,
        Mapper(host, "--resync", "1", environment=path) as mapper,
    ):
        mapper.wait_for_log("proxying neighbour discovery")
        serve(host, "mon_container", *LABEL, "--label", "ipv6.mapper.ports=80")
        wait_until_mapped(host)
        mapper.wait_for_log("WARNING .*ip6tables-nft -w -t raw -I PREROUTING 1 .*: exit code 1")


def test_commands_that_take_seconds_keep_no_container_from_its_address(lab: Lab, tmp_path: Path) -> None:
    """As with a large ruleset, or a held lock of xtables; the ports are open a little later."""
    for command in ("nft", "ip6tables", "ip6tables-nft", "ip6tables-save", "ip6tables-nft-save"):
        script = tmp_path / command
        script.write_text(f'#!/bin/sh\nsleep 3\nexec {shutil.which(command)} "$@"\n')
        script.chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with host_in_mode(lab, ENGINE_28_ROUTED) as host, Mapper(host, environment=path) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        serve(host, "first", "--label", "ipv6.mapper.network=he_ipv6", "--label", "ipv6.mapper.ports=80")
        mapper.wait_for_log("opened 80/tcp", within=30)
        serve(host, "mon_container", *LABEL, "--label", "ipv6.mapper.ports=80")
        eventually(lambda: (host.subnet[SUFFIX], "up0") in host.proxy_entries(), within=2)
        assert f"opened 80/tcp of {host.subnet[SUFFIX]}" not in mapper.log()
        mapper.wait_for_log(f"opened 80/tcp of {host.subnet[SUFFIX]}", within=30)


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
        serve(plain, "mon_container", *LABEL, "--label", f"ipv6.mapper.ports={ports}")
        wait_until_mapped(plain)
        warning = mapper.wait_for_log("WARNING.*container mon_container: no port is opened.*")[0]
        assert f"ipv6.mapper.ports={item}" in warning
        assert not table(plain)
