"""A restart is invisible: of the daemon, however it ends, and of an engine that lets containers run on."""

import re
from collections.abc import Callable, Iterator, Sized
from contextlib import ExitStack
from ipaddress import IPv6Address

import pytest

from tests.lab.containers import (
    EMPTY_PLAN,
    LABEL,
    addresses_inside,
    open_port,
    plan_of,
    reaches,
    wait_until_mapped,
)
from tests.lab.documented_commands import copy_checkout
from tests.lab.firewall_modes import ENGINE_20_10, ENGINE_28_ROUTED, host_in_mode
from tests.lab.hosts import Host
from tests.lab.mapper import Mapper
from tests.lab.ports import from_router, scan_ports, serve
from tests.lab.reachability import (
    LOST_BY_FLUSHING,
    connect_continuously,
    flush_continuously,
    ping_continuously,
)
from tests.lab.topology import Lab
from tests.lab.waiting import eventually

CHANGE = re.compile(r" INFO +(sysctl|no longer proxying|proxying [0-9a-f:]+ on|opened|closed|accepting) ")
"""How a line of the log begins that says that something was changed."""
PORTS = ("--label", "ipv6.mapper.ports=80")


@pytest.fixture(params=[ENGINE_20_10, ENGINE_28_ROUTED], ids=lambda mode: mode.name)
def host(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Host]:
    """A host of each engine, in the mode that the README recommends."""
    with host_in_mode(lab, request.param) as host:
        yield host


def stop_and_start(mapper: Mapper) -> None:
    """As `systemctl restart` does."""
    assert mapper.stop() == 0
    mapper.start()


def kill_and_start(mapper: Mapper) -> None:
    """As when memory is short."""
    mapper.kill()
    mapper.start()


def upgrade(mapper: Mapper) -> None:
    """Another version of the program, whose rules are others too."""
    checkout = mapper.host.workdir / "upgraded"
    if not checkout.exists():
        ruleset = copy_checkout(checkout) / "dockeripv6mapper/kernel/nft_ruleset.py"
        text = ruleset.read_text()
        assert "REPLY_PRIORITY = -150" in text
        ruleset.write_text(text.replace("REPLY_PRIORITY = -150", "REPLY_PRIORITY = -151"))
    assert mapper.stop() == 0
    mapper.checkout = checkout
    mapper.start()


def mapped_and_open(lab: Lab, host: Host, mapper: Mapper) -> IPv6Address:
    """A container with an open port, which the router reaches by now."""
    mapper.wait_for_log("proxying neighbour discovery")
    serve(host, "mon_container", *LABEL, *PORTS)
    address = wait_until_mapped(host)
    assert reaches(lab.router, address)
    eventually(lambda: scan_ports(from_router(lab), address, "tcp", [80]), within=5)
    return address


def changes(log: str) -> list[str]:
    """The lines that say that something was changed."""
    return [line for line in log.splitlines() if CHANGE.search(line)]


def has_settled(mapper: Mapper, before: str, firewall: str) -> bool:
    """Whether the daemon has been through a full pass since its log was `before`, and is through."""
    passed = "uplink up0: proxying" in mapper.log()[len(before) :]
    return passed and plan_of(mapper.host, "--firewall", firewall) == EMPTY_PLAN


@pytest.mark.parametrize(
    ("restart", "firewall"), [(stop_and_start, "closed"), (kill_and_start, "engine"), (upgrade, "closed")]
)
def test_a_restart_of_the_daemon_loses_nothing(
    lab: Lab, host: Host, restart: Callable[[Mapper], None], firewall: str
) -> None:
    """No ping, no byte of a connection, no new connection; closed ports stay closed; nothing is changed."""
    with Mapper(host, "--firewall", firewall, "--resync", "1") as mapper, ExitStack() as stack:
        address = mapped_and_open(lab, host, mapper)
        pings = stack.enter_context(ping_continuously(lab.router.namespace, address, host.workdir))
        connections = stack.enter_context(
            connect_continuously(lab.router.namespace, address, 80, host.workdir)
        )
        intruder = stack.enter_context(
            connect_continuously(lab.router.namespace, address, 8050, host.workdir)
        )
        pings.wait_for_more()
        connections.wait_for_more()
        stack.enter_context(flush_continuously(lab.router))
        before, process = mapper.log(), mapper.pid
        assert changes(before)
        restart(mapper)
        eventually(lambda: has_settled(mapper, before, firewall), within=15)
        # Two full passes more.
        pings.wait_for_more(200)
        connections.wait_for_more()
        assert mapper.pid != process
        assert changes(mapper.log()[len(before) :]) == []
        assert len(pings.lost) + len(connections.failed) <= LOST_BY_FLUSHING, (pings.lost, connections.failed)
        if firewall == "closed":
            assert intruder.failed == intruder.rounds
        if restart is upgrade:
            assert "priority mangle - 1;" in host.namespace.run("nft", "list", "ruleset").stdout


def untouched(lab: Lab, host: Host) -> IPv6Address:
    """A container that is none of the mapper's business, and whose port 80 is open all the same."""
    serve(host, "untouched", "--network", "he_ipv6")
    (address,) = addresses_inside(host, "untouched")
    host.add_proxy_entry(address)
    open_port(host, address, 80)
    eventually(lambda: scan_ports(from_router(lab), address, "tcp", [80]), within=5)
    return address


def assert_no_worse(ours: Sized, theirs: Sized) -> None:
    """Nothing is lost, or hardly more than others lose: two counts of one gap may differ at both its ends."""
    assert len(ours) <= (len(theirs) + 2 if theirs else LOST_BY_FLUSHING), (ours, theirs)


def restart_alone(host: Host, mapper: Mapper) -> None:
    """The daemon sees it go and come."""
    before = mapper.log()
    host.engine.restart(live_restore=True)
    eventually(lambda: "connected to the engine" in mapper.log()[len(before) :], within=15)


def restart_under_a_daemon_that_starts(host: Host, mapper: Mapper) -> None:
    """The daemon starts while there is no engine, and has nothing to go by but what is there."""
    host.engine.kill()
    mapper.kill()
    mapper.start()
    mapper.wait_for_log("again: 2 times now")
    host.engine.start()


@pytest.mark.parametrize("restart", [restart_alone, restart_under_a_daemon_that_starts])
def test_a_restart_of_an_engine_with_live_restore_loses_nothing_more_than_the_engine_does(
    lab: Lab, host: Host, restart: Callable[[Host, Mapper], None]
) -> None:
    """What a container loses that the mapper does not touch, or its open port, is the engine's own doing."""
    host.engine.restart(live_restore=True)
    with Mapper(host, "--firewall", "closed", "--resync", "1") as mapper, ExitStack() as stack:
        address = mapped_and_open(lab, host, mapper)
        router, workdir = lab.router.namespace, host.workdir
        ours, theirs = (
            (
                stack.enter_context(ping_continuously(router, each, workdir)),
                stack.enter_context(connect_continuously(router, each, 80, workdir)),
            )
            for each in (address, untouched(lab, host))
        )
        intruder = stack.enter_context(connect_continuously(router, address, 8050, workdir))
        for pings, connections in (ours, theirs):
            pings.wait_for_more()
            connections.wait_for_more()
        stack.enter_context(flush_continuously(lab.router))
        before, engine = mapper.log(), host.engine.log
        assert changes(before)
        restart(host, mapper)
        eventually(lambda: plan_of(host, "--firewall", "closed") == EMPTY_PLAN, within=15)
        for pings, connections in (ours, theirs):
            pings.wait_for_more(200)
            connections.wait_for_more()
        assert "API listen on" in host.engine.log[len(engine) :]
        # Engine 28.5 drops what is for any container for some 200 ms, while it makes its rules anew.
        assert_no_worse(ours[0].lost, theirs[0].lost)
        assert_no_worse(ours[1].failed, theirs[1].slow)
        assert intruder.failed == intruder.rounds
        assert changes(mapper.log()[len(before) :]) == []
