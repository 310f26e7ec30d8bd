"""A host that lives by router advertisements keeps its default route, whoever switches forwarding on."""

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
from tests.lab.engines import Flavour
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
    """The router advertises itself, at this interval and when it is asked to; yields what it prints."""
    program = ("env", "-C", str(CHECKOUT), sys.executable, "-u", "-m", "tests.lab.router_advertiser", BRIDGE)
    with lab.router.namespace.popen(*program, "--interval", str(interval)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process.stdout


@pytest.fixture
def unrouted(lab: Lab, host: Host) -> Iterator[Host]:
    """A host that has just booted: no network of its own, no default route, and it does not forward."""
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
    """The links by which the host has a default route that a router advertised."""
    shown = host.namespace.run("ip", "-6", "-j", "route", "show", "default", "proto", "ra").stdout
    return {each["dev"] for each in json.loads(shown or "[]")}


def add_second_link(lab: Lab, host: Host) -> None:
    """Give the host another link to the router."""
    host.namespace.add_veth(SECOND, lab.router.namespace, f"second{host.address.packed[-1]}", BRIDGE)
    host.namespace.add_address(SECOND, IPv6Interface((host.address + 0x100, 64)))


def is_reachable(lab: Lab, host: Host) -> None:
    """A labelled container is mapped, and the router reaches it."""
    run_labelled(host, "mon_container")
    assert reaches(lab.router, wait_until_mapped(host))


@pytest.mark.parametrize("first", ["engine", "daemon"])
def test_a_host_comes_up_reachable_with_its_default_route(lab: Lab, unrouted: Host, first: str) -> None:
    """Whether the engine switches forwarding on before the daemon runs, as at every boot, or after.

    In either order the engine has closed FORWARD, where it does so at all.
    """
    host = unrouted
    with router_advertisements(lab):
        eventually(lambda: default_routes(host) == {UPLINK})
        if first == "engine":
            host.create_network()
            # The kernel deletes it when forwarding comes on: that is what has to be mended.
            eventually(lambda: default_routes(host) == set())
        with Mapper(host) as mapper:
            mapper.wait_for_log("sysctl net.ipv6.conf.up0.accept_ra: 1 → 2")
            if first == "daemon":
                mapper.wait_for_log("uplink up0")
                assert host.sysctl(FORWARDING) == "0"
                host.create_network()
            eventually(lambda: default_routes(host) == {UPLINK})
            assert host.sysctl(FORWARDING) == "1"
            is_reachable(lab, host)
            assert "no link has an IPv6 default route" not in mapper.log()
        policy = host.namespace.run("ip6tables", "-S", "FORWARD").stdout.splitlines()[0]
        assert policy == f"-P FORWARD {'DROP' if host.engine.flavour is Flavour.MODERN else 'ACCEPT'}"


def test_forwarding_that_the_engine_left_off_is_switched_on_with_the_policy_that_belongs_to_it(
    lab: Lab, unrouted: Host
) -> None:
    """As after something has reset the sysctls: the host must not become a router for others."""
    host = unrouted
    host.create_network()
    host.namespace.set_sysctl(FORWARDING, "0")
    host.namespace.run("ip6tables", "-P", "FORWARD", "ACCEPT")
    with router_advertisements(lab), Mapper(host) as mapper:
        eventually(lambda: default_routes(host) == {UPLINK})
        is_reachable(lab, host)
        policy = host.namespace.run("ip6tables", "-S", "FORWARD").stdout.splitlines()[0]
        if host.engine.flavour is Flavour.MODERN:
            assert policy == "-P FORWARD DROP"
        else:
            # This engine has no rules of its own there: a policy would cut its containers off.
            assert policy == "-P FORWARD ACCEPT"
            mapper.wait_for_log("WARNING.*routing between its links")


def test_an_nft_that_dies_keeps_no_container_from_being_reached(
    lab: Lab, unrouted: Host, tmp_path: Path
) -> None:
    """As nft 1.0.6 does of a ruleset that a newer one wrote. What it would have told is only warned of."""
    host, nft = unrouted, tmp_path / "nft"
    nft.write_text("#!/bin/sh\nkill -SEGV $$\n")
    nft.chmod(0o755)
    host.create_network()
    host.namespace.set_sysctl(FORWARDING, "0")
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with router_advertisements(lab), Mapper(host, environment=path):
        eventually(lambda: default_routes(host) == {UPLINK})
        is_reachable(lab, host)
        assert host.sysctl(FORWARDING) == "1"


def test_a_link_that_is_no_uplink_keeps_its_default_route(lab: Lab, unrouted: Host) -> None:
    """With `--uplink up1`, the host's own route by up0 is none of the mapper's business."""
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


def test_a_link_whose_router_advertises_later_becomes_an_uplink(lab: Lab, unrouted: Host) -> None:
    """It takes router advertisements though the host forwards when it appears."""
    host = unrouted
    with router_advertisements(lab, interval=1.0), Mapper(host):
        host.create_network()
        is_reachable(lab, host)
        add_second_link(lab, host)
        eventually(lambda: {link for _, link in host.proxy_entries(MAPPER_PROTOCOL)} == {UPLINK, SECOND})


def test_router_advertisements_cost_the_engine_nothing(lab: Lab, unrouted: Host) -> None:
    """They renew lifetimes every few seconds on some links."""
    host = unrouted
    path = host.workdir / "counting.sock"
    with (
        socket_proxy.running(path, host.engine.socket, re.compile(r".*")) as counting,
        router_advertisements(lab, interval=0.2) as router,
        Mapper(host, "--docker-host", f"unix://{path}", "--resync", "86400") as mapper,
    ):
        assert router
        host.create_network()
        is_reachable(lab, host)
        eventually(lambda: _rests(mapper))
        asked, before = questions(counting), advertisements(host)
        eventually(lambda: advertisements(host) - before >= ADVERTISEMENTS, within=30)
        assert questions(counting) == asked


def questions(counting: socket_proxy.SocketProxy) -> list[str]:
    """What the engine was asked for, but for the pings that open connections."""
    return [each for each in counting.forwarded if "_ping" not in each]


def advertisements(host: Host) -> int:
    """How many router advertisements the host has received."""
    shown = host.namespace.run("cat", "/proc/net/snmp6").stdout
    return int(shown.split("Icmp6InRouterAdvertisements")[1].split()[0])


def _rests(mapper: Mapper) -> bool:
    """Whether the log has had no line for a moment."""
    before = mapper.log()
    try:
        eventually(lambda: mapper.log() != before, within=1.5)
    except AssertionError:
        return True
    return False


def test_a_default_route_that_is_away_takes_no_entry_away(lab: Lab, host: Host) -> None:
    """Nor does a restart of the daemon meanwhile, which has not seen the route."""
    try:
        with Mapper(host) as mapper:
            is_reachable(lab, host)
            entries = host.proxy_entries(MAPPER_PROTOCOL)
            host.namespace.run("ip", "-6", "route", "del", "default")
            mapper.stop()
            mapper.start()
            eventually(lambda: mapper.log().count("connected to the engine") == 2)
            eventually(lambda: _rests(mapper))
            assert host.proxy_entries(MAPPER_PROTOCOL) == entries
            assert "no longer proxying" not in mapper.log()
    finally:
        host.restore_uplink(lab.router.address)
