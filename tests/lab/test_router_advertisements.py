"""Hosts with a default route from router advertisements keep it when forwarding is enabled."""

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Interface
from pathlib import Path
from typing import IO

import pytest

from tests.lab import socket_proxy
from tests.lab.containers import MAPPER_PROTOCOL, reaches, run_labelled, wait_until_mapped
from tests.lab.engine_choice import on_every_engine
from tests.lab.hosts import UPLINK, Host
from tests.lab.mapper import Mapper
from tests.lab.prerequisites import CHECKOUT
from tests.lab.router import BRIDGE
from tests.lab.topology import Lab
from tests.lab.waiting import eventually

SECOND = "up1"
FORWARDING = "net.ipv6.conf.all.forwarding"
ADVERTISEMENTS = 20


@contextmanager
def router_advertisements(lab: Lab, interval: float = 600.0) -> Iterator[IO[str]]:
    """Let the router send advertisements every `interval` seconds and on solicitation; yield its output."""
    program = ("env", "-C", str(CHECKOUT), sys.executable, "-u", "-m", "tests.lab.router_advertiser", BRIDGE)
    with lab.router.namespace.popen(*program, "--interval", str(interval)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process.stdout


@pytest.fixture
def unrouted(lab: Lab, host: Host) -> Iterator[Host]:
    """A host as after boot: no network `he_ipv6`, no default route, forwarding off."""
    host.engine.docker("network", "rm", "he_ipv6")
    host.namespace.run("ip", "-6", "route", "del", "default")
    host.namespace.set_sysctl(FORWARDING, "0")
    host.namespace.run("ip6tables", "-P", "FORWARD", "ACCEPT")
    try:
        yield host
    finally:
        host.namespace.run("ip", "link", "del", SECOND, check=False)
        host.restore_uplink(lab.router.address)


def default_routes(host: Host) -> set[str]:
    """Return the links with a default route from a router advertisement (proto ra)."""
    shown = host.namespace.run("ip", "-6", "-j", "route", "show", "default", "proto", "ra").stdout
    return {each["dev"] for each in json.loads(shown or "[]")}


def add_second_link(lab: Lab, host: Host) -> None:
    """Add a second link to the router, `up1`."""
    host.namespace.add_veth(SECOND, lab.router.namespace, f"second{host.address.packed[-1]}", BRIDGE)
    host.namespace.add_address(SECOND, IPv6Interface((host.address + 0x100, 64)))


def assert_container_reachable(lab: Lab, host: Host) -> None:
    """Run a labelled container; assert that it is mapped and that the router reaches it."""
    run_labelled(host, "mon_container")
    assert reaches(lab.client, wait_until_mapped(host))


@on_every_engine("each sets sysctls and the policy of FORWARD in its own way")
@pytest.mark.parametrize("first", ["engine", "daemon"])
def test_default_route_is_kept_when_engine_or_daemon_starts_first(
    lab: Lab, unrouted: Host, first: str
) -> None:
    """The engine enables forwarding before the daemon starts, as at each boot, or after.

    In both orders the policy of chain FORWARD is the one that the engine sets.
    """
    host = unrouted
    with router_advertisements(lab):
        eventually(lambda: default_routes(host) == {UPLINK})
        if first == "engine":
            host.create_network()
            # The kernel deletes the route when forwarding is enabled with accept_ra=1.
            eventually(lambda: default_routes(host) == set())
        with Mapper(host) as mapper:
            mapper.wait_for_log("sysctl net.ipv6.conf.up0.accept_ra: 1 → 2")
            if first == "daemon":
                mapper.wait_for_log("uplink up0")
                assert host.sysctl(FORWARDING) == "0"
                host.create_network()
            eventually(lambda: default_routes(host) == {UPLINK})
            assert host.sysctl(FORWARDING) == "1"
            assert_container_reachable(lab, host)
            assert "no link has an IPv6 default route" not in mapper.log()
        policy = host.namespace.run("ip6tables", "-S", "FORWARD").stdout.splitlines()[0]
        assert policy == f"-P FORWARD {'DROP' if host.engine.flavour.filters_ipv6 else 'ACCEPT'}"


@on_every_engine("each sets sysctls and the policy of FORWARD in its own way")
def test_forwarding_is_enabled_with_the_engines_forward_policy(lab: Lab, unrouted: Host) -> None:
    """Forwarding is off, as after a reset of sysctls. The host must not route for other hosts."""
    host = unrouted
    host.create_network()
    host.namespace.set_sysctl(FORWARDING, "0")
    host.namespace.run("ip6tables", "-P", "FORWARD", "ACCEPT")
    with router_advertisements(lab), Mapper(host) as mapper:
        eventually(lambda: default_routes(host) == {UPLINK})
        assert_container_reachable(lab, host)
        policy = host.namespace.run("ip6tables", "-S", "FORWARD").stdout.splitlines()[0]
        if host.engine.flavour.filters_ipv6:
            assert policy == "-P FORWARD DROP"
        else:
            # An older engine has no accept rules there: policy DROP would cut its containers off.
            assert policy == "-P FORWARD ACCEPT"
            mapper.wait_for_log("WARNING.*routes between all its links")


def test_crashing_nft_does_not_prevent_the_mapping(lab: Lab, unrouted: Host, tmp_path: Path) -> None:
    """As nft 1.0.6 on a ruleset of a newer version. The output of nft is needed only for a warning."""
    host, nft = unrouted, tmp_path / "nft"
    nft.write_text("#!/bin/sh\nkill -SEGV $$\n")
    nft.chmod(0o755)
    host.create_network()
    host.namespace.set_sysctl(FORWARDING, "0")
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with router_advertisements(lab), Mapper(host, environment=path):
        eventually(lambda: default_routes(host) == {UPLINK})
        assert_container_reachable(lab, host)
        assert host.sysctl(FORWARDING) == "1"


def test_link_other_than_the_uplink_keeps_its_default_route(lab: Lab, unrouted: Host) -> None:
    """With `--uplink up1`, the default route on up0 stays too."""
    host = unrouted
    add_second_link(lab, host)
    with router_advertisements(lab), Mapper(host, "--uplink", SECOND) as mapper:
        mapper.wait_for_log("uplink up1")
        eventually(lambda: default_routes(host) == {UPLINK, SECOND})
        host.create_network()
        run_labelled(host, "mon_container")
        eventually(lambda: {link for _, link in host.proxy_entries(MAPPER_PROTOCOL)} == {SECOND})
        assert host.sysctl(FORWARDING) == "1"
        assert default_routes(host) == {UPLINK, SECOND}


def test_link_with_a_later_router_advertisement_becomes_an_uplink(lab: Lab, unrouted: Host) -> None:
    """The link is added while forwarding is on, and accepts router advertisements."""
    host = unrouted
    with router_advertisements(lab, interval=1.0), Mapper(host):
        host.create_network()
        assert_container_reachable(lab, host)
        add_second_link(lab, host)
        eventually(lambda: {link for _, link in host.proxy_entries(MAPPER_PROTOCOL)} == {UPLINK, SECOND})


def test_router_advertisements_cause_no_engine_requests(lab: Lab, unrouted: Host) -> None:
    """On some links they arrive every few seconds."""
    host = unrouted
    path = host.workdir / "counting.sock"
    with (
        socket_proxy.running(path, host.engine.socket, re.compile(r".*")) as counting,
        router_advertisements(lab, interval=0.2) as router,
        Mapper(host, "--docker-host", f"unix://{path}", "--resync", "86400") as mapper,
    ):
        assert router
        host.create_network()
        assert_container_reachable(lab, host)
        eventually(lambda: _is_idle(mapper))
        requests, before = engine_requests(counting), received_advertisements(host)
        eventually(lambda: received_advertisements(host) - before >= ADVERTISEMENTS, within=30)
        assert engine_requests(counting) == requests


def engine_requests(counting: socket_proxy.SocketProxy) -> list[str]:
    """Return the requests to the engine, except `_ping`, which opens a connection."""
    return [each for each in counting.forwarded if "_ping" not in each]


def received_advertisements(host: Host) -> int:
    """Return the number of router advertisements that the host has received."""
    shown = host.namespace.run("cat", "/proc/net/snmp6").stdout
    return int(shown.split("Icmp6InRouterAdvertisements")[1].split()[0])


def _is_idle(mapper: Mapper) -> bool:
    """Whether the log has no new line for 1.5 s."""
    before = mapper.log()
    try:
        eventually(lambda: mapper.log() != before, within=1.5)
    except AssertionError:
        return True
    return False


def test_missing_default_route_removes_no_proxy_entry(lab: Lab, host: Host) -> None:
    """Also after a restart of the daemon, which has never seen the route."""
    try:
        with Mapper(host) as mapper:
            assert_container_reachable(lab, host)
            entries = host.proxy_entries(MAPPER_PROTOCOL)
            host.namespace.run("ip", "-6", "route", "del", "default")
            mapper.stop()
            mapper.start()
            eventually(lambda: mapper.log().count("connected to the engine") == 2)
            eventually(lambda: _is_idle(mapper))
            assert host.proxy_entries(MAPPER_PROTOCOL) == entries
            assert "no longer proxying" not in mapper.log()
    finally:
        host.restore_uplink(lab.router.address)
