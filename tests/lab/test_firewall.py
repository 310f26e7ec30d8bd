"""`ipv6.mapper.ports`: exactly the labelled ports are open, in each firewall mode of the engine."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

import pytest

from tests.lab.containers import LABEL, SUFFIX, reaches, run, wait_until_mapped
from tests.lab.engine_choice import on_every_engine
from tests.lab.engines import Flavour
from tests.lab.firewall_modes import ENGINE_28_ROUTED, MODES, RECOMMENDED, FirewallMode, host_in_mode
from tests.lab.hosts import Host
from tests.lab.mapper import Mapper, run_command
from tests.lab.ports import (
    EnterNamespace,
    assert_status_agrees,
    from_client,
    from_container,
    from_outside,
    scan_ports,
    serve,
    udp_echo,
)
from tests.lab.topology import Lab
from tests.lab.waiting import eventually

SCANNED = [*range(1, 300), 443, *range(7990, 8110), 9000, 65535]
SCANNED_UDP = [52, 53, 54, 80]
ECHOED = (53, 54)
"""UDP ports with an echo server; the others refuse."""
SCANNED_BY_PEERS = {"tcp": (79, 80, 81, 443, 8050, 8101), "udp": (52, 53, 54, 80)}
"""Ports scanned from other containers of the host."""
PORTS = "80/tcp,443,53/udp,8000-8100/tcp"
OPEN_TCP = {80, 443, *range(8000, 8101)}
OPEN_UDP = {53}
OPEN_TO_PEERS = {("tcp", 80), ("tcp", 443), ("tcp", 8050), ("udp", 53)}


@pytest.fixture(params=MODES, ids=lambda mode: mode.name)
def mode(request: pytest.FixtureRequest) -> FirewallMode:
    """Each mode in turn."""
    mode: FirewallMode = request.param
    return mode


@pytest.fixture
def host(lab: Lab, mode: FirewallMode) -> Iterator[Host]:
    """A host in that mode."""
    with host_in_mode(lab, mode) as host:
        yield host


@pytest.fixture
def recommended(lab: Lab, flavour: Flavour) -> Iterator[Host]:
    """The host of the test's engine, in the recommended mode."""
    with host_in_mode(lab, RECOMMENDED[flavour]) as host:
        yield host


def assert_exactly_open(lab: Lab, mode: FirewallMode, host: Host, address: IPv6Address) -> None:
    """Assert that only the labelled ports are reachable, or all ports if the engine does not filter."""
    assert scan_ports(from_client(lab), address, "tcp", SCANNED) == (
        OPEN_TCP if mode.filters else set(SCANNED)
    )
    with udp_echo(host, "mon_container", *ECHOED):
        reachable = scan_ports(from_client(lab), address, "udp", SCANNED_UDP)
    assert reachable == (OPEN_UDP if mode.filters else set(SCANNED_UDP))


def test_only_labelled_ports_are_open_also_across_restarts(lab: Lab, mode: FirewallMode, host: Host) -> None:
    """Restarts of daemon and engine, which rebuilds its chains. Ports are closed with the container."""
    with Mapper(host, "--resync", "1") as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        serve(host, "mon_container", *LABEL, "--restart", "always", "--label", f"ipv6.mapper.ports={PORTS}")
        address = wait_until_mapped(host)
        mapper.wait_for_log(f"opened 8000-8100/tcp of {address}")
        eventually(lambda: scan_ports(from_client(lab), address, "tcp", [80]), within=5)
        assert_exactly_open(lab, mode, host, address)
        assert_status_agrees(lab, host, address, [79, 80, 7999, 8000, 8100, 8101])
        mapper.kill()
        assert_exactly_open(lab, mode, host, address)
        mapper.start()
        host.engine.restart()
        assert wait_until_mapped(host) == address
        eventually(lambda: scan_ports(from_client(lab), address, "tcp", [80]), within=10)
        assert_exactly_open(lab, mode, host, address)
        host.engine.docker("rm", "-f", "mon_container")
        eventually(lambda: str(address) not in table(host), within=2)


def test_containers_reach_labelled_ports_and_what_the_engine_allows(mode: FirewallMode, host: Host) -> None:
    """From the same and another network: the same ports as without the mapper, and the labelled ones."""
    other = create_other_network(host, mode)
    address = host.subnet[SUFFIX]
    attached = ("--network", "he_ipv6", "--ip6", str(address))
    serve(host, "mon_container", *LABEL, *attached, "--label", f"ipv6.mapper.ports={PORTS}")
    run(host, "same-network", "--network", "he_ipv6")
    run(host, "other-network", "--network", "other")
    peers = [from_container(host, "same-network"), from_container(host, "other-network")]
    eventually(lambda: scan_ports(peers[0], address, "tcp", [80]))
    eventually(
        lambda: host.engine.docker("exec", "other-network", "ping", "-c", "1", "-W", "1", str(other[1]))
    )
    with udp_echo(host, "mon_container", *ECHOED):
        before = [reached_by(peer, address) for peer in peers]
        assert before[0] == {
            (protocol, port) for protocol in SCANNED_BY_PEERS for port in SCANNED_BY_PEERS[protocol]
        }
        with Mapper(host) as mapper:
            mapper.wait_for_log(f"opened 8000-8100/tcp of {address}")
            assert [reached_by(peer, address) for peer in peers] == [each | OPEN_TO_PEERS for each in before]


def reached_by(peer: EnterNamespace, address: IPv6Address) -> set[tuple[str, int]]:
    """Return the ports of `SCANNED_BY_PEERS` that a container reaches."""
    return {
        (protocol, port)
        for protocol in SCANNED_BY_PEERS
        for port in scan_ports(peer, address, protocol, SCANNED_BY_PEERS[protocol])
    }


def create_other_network(host: Host, mode: FirewallMode) -> IPv6Network:
    """Create a second network in the same mode; return its subnet."""
    subnet = IPv6Network((int(host.subnet.network_address) | 0xA0 << 48, host.subnet.prefixlen))
    options = ("-o", f"com.docker.network.bridge.gateway_mode_ipv6={mode.gateway_mode}")
    mode_options = options if mode.gateway_mode else ()
    host.engine.docker("network", "create", "--ipv6", "--subnet", str(subnet), *mode_options, "other")
    return subnet


def table(host: Host) -> str:
    """Return the mapper's nft table as text; empty if there is none."""
    return host.namespace.run("nft", "list", "table", "ip6", "dockeripv6mapper", check=False).stdout


def mapper_rules(host: Host) -> int:
    """Return the number of ip6tables rules with the mapper's comment."""
    saved = (host.namespace.run(command).stdout for command in ("ip6tables-save", "ip6tables-legacy-save"))
    return sum(rules.count("DockerIPV6Mapper") for rules in saved)


def test_without_ports_label_nothing_is_opened_or_installed(lab: Lab, mode: FirewallMode, host: Host) -> None:
    """No nft table and no rule; a network in gateway mode nat causes one warning."""
    with Mapper(host) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        serve(host, "mon_container", *LABEL)
        address = wait_until_mapped(host)
        # Wait for the bridge of the first container. The engine may drop the ping.
        lab.client.ping(address, timeout=3)
        assert bool(scan_ports(from_client(lab), address, "tcp", [80, 8050])) != mode.filters
        assert from_outside(host).startswith(mode.lets_in)
        assert not table(host)
        assert not mapper_rules(host)
        warned = mapper.log().count("network he_ipv6 is unreachable from outside: its gateway mode is nat")
        assert warned == (1 if mode.gateway_mode == "nat" else 0)


def test_foreign_element_in_the_nft_table_is_removed(recommended: Host) -> None:
    """One warning; the table is rebuilt, and later ports are still opened."""
    with Mapper(recommended) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        serve(recommended, "mon_container", *LABEL, "--label", "ipv6.mapper.ports=80")
        address = wait_until_mapped(recommended)
        eventually(lambda: str(address) in table(recommended), within=5)
        element = f'{{ {address} . tcp . 8050 comment "by hand" }}'
        recommended.namespace.run("nft", "add", "element", "ip6", "dockeripv6mapper", "open", element)
        mapper.wait_for_log("WARNING.*table ip6 dockeripv6mapper was changed by another program")
        eventually(lambda: "by hand" not in table(recommended), within=1)
        serve(recommended, "nginx", *LABEL, "--label", "ipv6.mapper.ports=80")
        other = wait_until_mapped(recommended, "nginx", 0xEE_0043_0040)
        eventually(lambda: str(other) in table(recommended), within=5)
        assert mapper.log().count("was changed by another program") == 1


def test_established_connection_survives_restart_and_unrelated_changes(lab: Lab, recommended: Host) -> None:
    """One TCP connection is used before, during and after them."""
    with Mapper(recommended) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        serve(recommended, "mon_container", *LABEL, "--label", "ipv6.mapper.ports=80")
        address = wait_until_mapped(recommended)
        eventually(lambda: scan_ports(from_client(lab), address, "tcp", [80]), within=5)
        client = lab.client.namespace.nsenter(sys.executable, "-c", ECHO_CLIENT, str(address))
        with subprocess.Popen(client, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as connection:
            assert echoed(connection, "before") == "before"
            assert mapper.stop() == 0
            assert echoed(connection, "stopped") == "stopped"
            mapper.start()
            serve(recommended, "nginx", *LABEL, "--label", "ipv6.mapper.ports=all")
            wait_until_mapped(recommended, "nginx", 0xEE_0043_0040)
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
    """Send a line, and return the reply."""
    assert connection.stdin is not None
    assert connection.stdout is not None
    connection.stdin.write(f"{word}\n")
    connection.stdin.flush()
    return connection.stdout.readline().strip()


@on_every_engine("each has other chains")
def test_firewall_closed_drops_only_new_connections_to_unlabelled_ports(lab: Lab, recommended: Host) -> None:
    """Ping, labelled ports, and connections between containers and to the outside still work."""
    with Mapper(recommended, "--firewall", "closed") as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        serve(recommended, "mon_container", *LABEL, "--label", "ipv6.mapper.ports=80")
        serve(recommended, "nginx", *LABEL)
        address, other = (
            wait_until_mapped(recommended),
            wait_until_mapped(recommended, "nginx", 0xEE_0043_0040),
        )
        eventually(lambda: scan_ports(from_client(lab), address, "tcp", [80]), within=5)
        assert scan_ports(from_client(lab), address, "tcp", [79, 80, 81, 8050]) == {80}
        assert scan_ports(from_client(lab), address, "udp", [53]) == set()
        assert scan_ports(from_client(lab), other, "tcp", [80, 8050]) == set()
        assert reaches(lab.client, address)
        assert_status_agrees(lab, recommended, address, [80, 81])
        docker = recommended.engine.docker
        docker("exec", "nginx", "nc", "-w", "2", str(address), "8050", "-e", "true")
        docker("exec", "nginx", "ping", "-c", "1", "-W", "3", str(lab.router.address))
        docker("rm", "-f", "mon_container", "nginx")
        eventually(lambda: not table(recommended), within=3)


def test_firewall_off_installs_nothing(recommended: Host) -> None:
    """Neither table nor rule, despite a ports label."""
    with Mapper(recommended, "--firewall", "off") as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        serve(recommended, "mon_container", *LABEL, "--label", "ipv6.mapper.ports=80")
        wait_until_mapped(recommended)
        assert not table(recommended)
        assert not mapper_rules(recommended)


def test_cleanup_removes_table_and_rules(recommended: Host) -> None:
    """The mapper's only; a rule of the user is kept."""
    with Mapper(recommended) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        serve(recommended, "mon_container", *LABEL, "--label", "ipv6.mapper.ports=80")
        address = wait_until_mapped(recommended)
        mapper.wait_for_log(f"opened 80/tcp of {address}")
    recommended.namespace.run(
        "ip6tables", "-I", "FORWARD", "-d", str(recommended.subnet[SUFFIX]), "-j", "ACCEPT"
    )
    done = run_command(recommended, "cleanup")
    assert done.returncode == 0, done.stderr
    for part in ("table ip6 dockeripv6mapper", "raw PREROUTING", f"proxy entry {address}"):
        assert part in done.stdout
    assert not mapper_rules(recommended)
    assert str(address) in recommended.namespace.run("ip6tables-save").stdout
    assert not table(recommended)


def test_iptables_backend_not_used_by_the_engine_is_not_touched(lab: Lab) -> None:
    """Also if it is the machine's default: listing creates tables about which other programs warn."""
    with host_in_mode(lab, ENGINE_28_ROUTED) as host:
        path = {"PATH": f"{host.engine.workdir / 'legacy'}:{os.environ['PATH']}"}
        with Mapper(host, environment=path) as mapper:
            mapper.wait_for_log("proxying neighbour discovery")
            serve(host, "mon_container", *LABEL, "--label", "ipv6.mapper.ports=80")
            mapper.wait_for_log("accepting marked packets in ip6tables-nft -t filter DOCKER-USER")
        assert not host.namespace.run("cat", "/proc/net/ip6_tables_names").stdout


def test_failing_ip6tables_does_not_prevent_the_mapping(lab: Lab, tmp_path: Path) -> None:
    """As with iptables-legacy on a kernel without it: a warning, and a retry."""
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


def test_slow_firewall_commands_do_not_delay_the_mapping(lab: Lab, tmp_path: Path) -> None:
    """As with a large ruleset or a held xtables lock; only the ports are opened later."""
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
def test_invalid_ports_label_does_not_prevent_the_mapping(recommended: Host, ports: str, item: str) -> None:
    """A warning names the invalid item, and none of the label's ports is opened."""
    with Mapper(recommended) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        serve(recommended, "mon_container", *LABEL, "--label", f"ipv6.mapper.ports={ports}")
        wait_until_mapped(recommended)
        warning = mapper.wait_for_log("WARNING.*container mon_container: opening no port.*")[0]
        assert f"ipv6.mapper.ports={item}" in warning
        assert not table(recommended)
