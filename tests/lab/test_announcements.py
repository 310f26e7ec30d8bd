"""Announcements on the wire: what a new address sends, what it takes over, and when it is sent again."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address

import pytest

from tests.lab.capture import Packet, captured, mac_of
from tests.lab.containers import SUFFIX, reaches, run_labelled, suffix_of, wait_until_mapped
from tests.lab.hosts import UPLINK, Host
from tests.lab.mapper import Mapper
from tests.lab.router import BRIDGE
from tests.lab.topology import Lab
from tests.lab.uplinks import SECOND, changed_mac, second_uplink
from tests.lab.waiting import eventually

FORMER_MAC, NEW_MAC = "02:00:00:00:00:99", "02:00:00:00:00:98"
ALL_NODES = IPv6Address("ff02::1")
OTHER_ROUTER = IPv6Address("fe80::99")

"""The engine has no part in what follows the registration."""


def group_of(address: IPv6Address) -> IPv6Address:
    """Return an address's solicited-node multicast group (RFC 4291 §2.7.1)."""
    return IPv6Address(int(IPv6Address("ff02::1:ff00:0")) | int(address) & 0xFFFFFF)


def milliseconds(packets: list[Packet], since: Packet) -> list[float]:
    """Return when packets were captured."""
    return [(each.at - since.at) * 1000 for each in packets]


@contextmanager
def pinging(lab: Lab, address: IPv6Address) -> Iterator[None]:
    """Ping an address from the client every 2 ms, whether or not it answers."""
    silent = subprocess.DEVNULL
    argv = ("ping", "-6", "-n", "-q", "-i", "0.002", str(address))
    with lab.client.namespace.popen(*argv, stdout=silent, stderr=silent):
        yield


def test_a_new_address_is_announced_and_replaces_a_former_hosts_mac(
    lab: Lab, host: Host, mapper: Mapper
) -> None:
    """Counted on the wire. The router has a former host's MAC, REACHABLE; it gets the new in 50 ms."""
    mapper.wait_for_log("proxying neighbour discovery")
    # The bridge's own addresses are tentative before the first container is there (see `reaches`).
    run_labelled(host, "holder")
    assert reaches(lab.client, wait_until_mapped(host, "holder", suffix_of("holder")))
    address, mac = host.subnet[SUFFIX], mac_of(host)
    stale = ("lladdr", FORMER_MAC, "nud", "reachable", "dev", BRIDGE)
    lab.router.namespace.run("ip", "-6", "neigh", "replace", str(address), *stale)
    with captured(lab.router, host.workdir) as capture, pinging(lab, address):
        run_labelled(host, "mon_container")
        eventually(lambda: len(capture.claims(address)) >= 6)
        packets = capture.packets
        sent = [
            each for each in capture.announcements(address) if each.source in (address, IPv6Address("::"))
        ]
    assert {each.hop_limit for each in sent} == {255}
    assert {each.mac for each in sent} == {mac}
    first = sent[0]
    assert (first.advertised, first.destination, first.flags, first.option) == (
        address,
        ALL_NODES,
        "none",
        mac,
    )

    probes = [each for each in sent if each.source.is_unspecified]
    assert {(each.solicited, each.destination, each.option) for each in probes} == {
        (address, group_of(address), None)
    }
    assert len(probes) == 2
    assert milliseconds(probes, probes[0])[1] >= 9

    gateway = lab.router.address
    solicitations = [each for each in sent if each.source == address and each.solicited is not None]
    assert {(each.solicited, each.destination, each.option) for each in solicitations} == {
        (gateway, group_of(gateway), mac)
    }
    overrides = [each for each in sent[1:] if each.advertised == address]
    assert {(each.destination, each.flags, each.option) for each in overrides} == {
        (ALL_NODES, "override", mac)
    }
    for claims in (solicitations, overrides):
        times = milliseconds(claims, probes[0])
        assert times == pytest.approx([30, 1030, 2030], abs=300)
        assert times[0] >= 29

    requests = [each for each in packets if each.is_echo_request and each.destination == address]
    assert requests[0].to_mac == FORMER_MAC
    assert milliseconds([next(each for each in requests if each.to_mac == mac)], first)[0] <= 50


def test_an_address_is_announced_again_when_the_router_may_have_another_mac(lab: Lab, host: Host) -> None:
    """After a restart, after a change of the uplink's MAC, with its carrier, to a new default router."""
    with Mapper(host) as mapper:
        run_labelled(host, "mon_container")
        address = wait_until_mapped(host)
        assert reaches(lab.client, address)
        mapper.stop()
        with captured(lab.router, host.workdir) as capture:
            mapper.start()
            mapper.wait_for_log(r"proxying neighbour discovery(.|\n)*proxying neighbour discovery")
            run_labelled(host, "nginx")
            wait_until_mapped(host, "nginx", suffix_of("nginx"))
            eventually(lambda: capture.claims(host.subnet[suffix_of("nginx")]))
            eventually(lambda: capture.claims(address))

            with changed_mac(host, UPLINK, NEW_MAC):
                eventually(lambda: lab.client.ping(address, timeout=0.2), within=1)
                eventually(lambda: capture.claims(address)[-1].option == NEW_MAC)
            eventually(lambda: lab.client.ping(address, timeout=0.2), within=1)
            eventually(lambda: capture.claims(address)[-1].option == mac_of(host))
            mapper.wait_for_log("uplink up0: its MAC address has changed: announcing its 2 addresses again")

            port = f"port{lab.hosts.index(host) + 1}"
            lab.router.namespace.run("ip", "link", "set", port, "down")
            before = len(capture.claims(address))
            lab.router.namespace.run("ip", "link", "set", port, "up")
            mapper.wait_for_log("uplink up0: its carrier is back: announcing")
            eventually(lambda: len(capture.claims(address)) > before)

            route = ("default", "via", str(OTHER_ROUTER), "dev", UPLINK, "metric", "2048")
            host.namespace.run("ip", "-6", "route", "add", *route)
            try:
                eventually(lambda: any(each.solicited == OTHER_ROUTER for each in capture.claims(address)))
            finally:
                host.namespace.run("ip", "-6", "route", "del", *route)


def test_an_address_of_another_node_is_not_taken_over(lab: Lab, host: Host, mapper: Mapper) -> None:
    """The log says whose it is. Once the other node is gone, the next reason to announce claims it."""
    mapper.wait_for_log("proxying neighbour discovery")
    other = next(each for each in lab.hosts if each is not host)
    address = host.subnet[SUFFIX]
    owned = (f"{address}/64", "dev", UPLINK)
    other.namespace.run("ip", "-6", "address", "add", *owned, "nodad")
    try:
        assert lab.client.ping(address)
        with captured(lab.router, host.workdir) as capture:
            run_labelled(host, "mon_container")
            mapper.wait_for_log(f"WARNING.*{address} on {UPLINK} is also the address of node {mac_of(other)}")
            run_labelled(host, "nginx")
            eventually(lambda: len(capture.claims(host.subnet[suffix_of("nginx")])) >= 4)
            assert not [each for each in capture.claims(address) if each.mac != mac_of(other)]
        assert lab.router.neighbours()[address].mac == mac_of(other)
    finally:
        other.namespace.run("ip", "-6", "address", "del", *owned)
    with changed_mac(host, UPLINK, NEW_MAC):
        mapper.wait_for_log(f"{address} on {UPLINK}: no other node has this address any more")
        eventually(lambda: lab.router.neighbours()[address].mac == NEW_MAC)
        assert reaches(lab.client, wait_until_mapped(host))


def test_the_hosts_own_answers_are_no_conflict(lab: Lab, host: Host) -> None:
    """The kernel answers by the second of two uplinks to one segment; a reflecting switch returns probes."""
    port = f"port{lab.hosts.index(host) + 1}"
    reflect = ("bridge", "link", "set", "dev", port, "hairpin")
    lab.router.namespace.run(*reflect, "on")
    try:
        with (
            second_uplink(lab, host),
            captured(lab.router, host.workdir) as capture,
            Mapper(host, "--uplink", UPLINK, "--uplink", SECOND) as mapper,
        ):
            run_labelled(host, "mon_container")
            address, macs = wait_until_mapped(host), {mac_of(host), mac_of(host, SECOND)}
            eventually(lambda: {each.mac for each in capture.claims(address)} == macs)
            answers = [
                each for each in capture.announcements(address) if each.advertised and not each.is_claim
            ]
            assert len(answers) > 2, "nothing answered the probes, so the test shows nothing"
            assert "is also the address" not in mapper.log()
    finally:
        lab.router.namespace.run(*reflect, "off")
