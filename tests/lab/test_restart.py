"""Restarts of the daemon, and of an engine with live restore, lose no packet and change nothing."""

import re
from collections.abc import Callable, Sized
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
from tests.lab.engine_choice import on_engines, on_every_engine, on_one_engine
from tests.lab.engines import Flavour
from tests.lab.hosts import Host
from tests.lab.mapper import Mapper
from tests.lab.ports import from_client, scan_ports, serve
from tests.lab.reachability import (
    LOST_BY_FLUSHING,
    connect_continuously,
    flush_continuously,
    ping_continuously,
)
from tests.lab.topology import Lab
from tests.lab.waiting import eventually

CHANGE = re.compile(r" INFO +(sysctl|no longer proxying|proxying [0-9a-f:]+ on|opened|closed|accepting) ")
"""Log lines about a change."""
PORTS = ("--label", "ipv6.mapper.ports=80")


def stop_and_start(mapper: Mapper) -> None:
    """Restart the daemon as `systemctl restart` does."""
    assert mapper.stop() == 0
    mapper.start()


def kill_and_start(mapper: Mapper) -> None:
    """Restart the daemon after SIGKILL, as from the OOM killer."""
    mapper.kill()
    mapper.start()


def upgrade(mapper: Mapper) -> None:
    """Restart the daemon with another version of the program, which has another nft ruleset."""
    checkout = mapper.host.workdir / "upgraded"
    if not checkout.exists():
        ruleset = copy_checkout(checkout) / "dockeripv6mapper/kernel/nft_ruleset.py"
        text = ruleset.read_text()
        assert "BEFORE_FILTER_PRIORITY = -11" in text
        ruleset.write_text(text.replace("BEFORE_FILTER_PRIORITY = -11", "BEFORE_FILTER_PRIORITY = -12"))
    assert mapper.stop() == 0
    mapper.checkout = checkout
    mapper.start()


def mapped_and_open(lab: Lab, host: Host, mapper: Mapper) -> IPv6Address:
    """Map a container with an open port; wait until the router reaches both; return its address."""
    mapper.wait_for_log("proxying neighbour discovery")
    serve(host, "mon_container", *LABEL, *PORTS)
    address = wait_until_mapped(host)
    assert reaches(lab.client, address)
    eventually(lambda: scan_ports(from_client(lab), address, "tcp", [80]), within=5)
    return address


def changes(log: str) -> list[str]:
    """Return the log lines about a change."""
    return [line for line in log.splitlines() if CHANGE.search(line)]


def has_converged(mapper: Mapper, before: str, firewall: str) -> bool:
    """Whether the daemon has run a full pass since its log was `before`, and its plan is empty."""
    full_pass = "uplink up0: proxying" in mapper.log()[len(before) :]
    return full_pass and plan_of(mapper.host, "--firewall", firewall) == EMPTY_PLAN


@on_engines(Flavour.OLDEST, Flavour.MODERN, because="one without and one with rules of its own")
@pytest.mark.parametrize(
    ("restart", "firewall"), [(stop_and_start, "closed"), (kill_and_start, "engine"), (upgrade, "closed")]
)
def test_daemon_restart_loses_no_packet_and_changes_nothing(
    lab: Lab, host: Host, restart: Callable[[Mapper], None], firewall: str
) -> None:
    """No ping, no established and no new connection fails; closed ports stay closed; no change is logged."""
    with Mapper(host, "--firewall", firewall, "--resync", "1") as mapper, ExitStack() as stack:
        address = mapped_and_open(lab, host, mapper)
        pings = stack.enter_context(ping_continuously(lab.client.namespace, address, host.workdir))
        connections = stack.enter_context(
            connect_continuously(lab.client.namespace, address, 80, host.workdir)
        )
        closed = stack.enter_context(connect_continuously(lab.client.namespace, address, 8050, host.workdir))
        pings.wait_for_more()
        connections.wait_for_more()
        stack.enter_context(flush_continuously(lab.router))
        before, process = mapper.log(), mapper.pid
        assert changes(before)
        restart(mapper)
        eventually(lambda: has_converged(mapper, before, firewall), within=15)
        # At least two more full passes.
        pings.wait_for_more(200)
        connections.wait_for_more()
        assert mapper.pid != process
        assert changes(mapper.log()[len(before) :]) == []
        assert len(pings.lost) + len(connections.failed) <= LOST_BY_FLUSHING, (pings.lost, connections.failed)
        if firewall == "closed":
            assert closed.failed == closed.rounds
        if restart is upgrade:
            assert "priority -12;" in host.namespace.run("nft", "list", "ruleset").stdout


def reference_container(lab: Lab, host: Host) -> IPv6Address:
    """Run a container without labels; add its proxy entry and open port 80 by hand; return its address."""
    serve(host, "reference", "--network", "he_ipv6")
    (address,) = addresses_inside(host, "reference")
    host.add_proxy_entry(address)
    open_port(host, address, 80)
    eventually(lambda: scan_ports(from_client(lab), address, "tcp", [80]), within=5)
    return address


def assert_no_worse(mapped: Sized, reference: Sized) -> None:
    """Assert no more losses than of the reference; two counts of one gap may differ by one at each end."""
    assert len(mapped) <= (len(reference) + 2 if reference else LOST_BY_FLUSHING), (mapped, reference)


def restart_engine(host: Host, mapper: Mapper) -> None:
    """Restart the engine while the daemon runs."""
    before = mapper.log()
    host.engine.restart(live_restore=True)
    eventually(lambda: "connected to the engine" in mapper.log()[len(before) :], within=15)


def restart_engine_and_daemon(host: Host, mapper: Mapper) -> None:
    """Kill both, and start the daemon while the engine is down: it knows only the state of the kernel."""
    host.engine.kill()
    mapper.kill()
    mapper.start()
    mapper.wait_for_log("repeated: 2 times")
    host.engine.start()


@on_every_engine("each rebuilds its rules and bridges in its own way")
def test_mapper_adds_no_loss_to_a_restart_of_engine_and_daemon_with_live_restore(
    lab: Lab, host: Host
) -> None:
    """Losses are compared with those of a container that the mapper does not manage."""
    assert_mapper_adds_no_loss(lab, host, restart_engine_and_daemon)


@on_one_engine
def test_mapper_adds_no_loss_to_an_engine_restart_with_live_restore(lab: Lab, host: Host) -> None:
    """The daemon keeps running."""
    assert_mapper_adds_no_loss(lab, host, restart_engine)


def assert_mapper_adds_no_loss(lab: Lab, host: Host, restart: Callable[[Host, Mapper], None]) -> None:
    """Restart under traffic, and compare the losses of a mapped container with those of another one."""
    host.engine.restart(live_restore=True)
    with Mapper(host, "--firewall", "closed", "--resync", "1") as mapper, ExitStack() as stack:
        address = mapped_and_open(lab, host, mapper)
        client, workdir = lab.client.namespace, host.workdir
        mapped, reference = (
            (
                stack.enter_context(ping_continuously(client, each, workdir)),
                stack.enter_context(connect_continuously(client, each, 80, workdir)),
            )
            for each in (address, reference_container(lab, host))
        )
        closed = stack.enter_context(connect_continuously(client, address, 8050, workdir))
        for pings, connections in (mapped, reference):
            pings.wait_for_more()
            connections.wait_for_more()
        stack.enter_context(flush_continuously(lab.router))
        before, engine = mapper.log(), host.engine.log
        assert changes(before)
        restart(host, mapper)
        eventually(lambda: plan_of(host, "--firewall", "closed") == EMPTY_PLAN, within=15)
        for pings, connections in (mapped, reference):
            pings.wait_for_more(200)
            connections.wait_for_more()
        assert "API listen on" in host.engine.log[len(engine) :]
        # Engine 28.5 drops packets to all containers for some 200 ms while it rebuilds its rules.
        assert_no_worse(mapped[0].lost, reference[0].lost)
        assert_no_worse(mapped[1].failed, reference[1].slow)
        assert closed.failed == closed.rounds
        assert changes(mapper.log()[len(before) :]) == []
