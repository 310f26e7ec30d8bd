"""Uplinks as hosts have them: reset sysctls, renamed links, links to guests; containers with another MAC."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv6Address

from tests.lab.containers import (
    MAPPER_PROTOCOL,
    endpoints_of,
    reaches,
    run,
    run_labelled,
    wait_until_mapped,
)
from tests.lab.engine_choice import on_every_engine
from tests.lab.hosts import UPLINK, Host
from tests.lab.mapper import Mapper, run_command
from tests.lab.namespaces import Namespace
from tests.lab.prerequisites import CHECKOUT
from tests.lab.topology import Lab
from tests.lab.waiting import eventually

NGINX = ("nginx", 0xEE_0043_0040)
GUESTS = "virbr9"
"""A bridge of the host with no port but a guest's."""
FORWARDING = f"net.ipv6.conf.{UPLINK}.forwarding"
NO_RESYNC = ("--resync", "86400")
"""So that only a notification can have caused a repair."""


def macs(host: Host, name: str) -> set[str]:
    """Return the container's MAC addresses."""
    return {str(each["MacAddress"]) for each in endpoints_of(host, name).values()}


def at_once(lab: Lab, address: IPv6Address) -> bool:
    """Whether one of the first pings is answered, within a second."""
    with suppress(AssertionError):
        return eventually(lambda: lab.client.ping(address, timeout=0.1), within=1.0)
    return False


@on_every_engine("each chooses MAC addresses in its own way")
def test_restarted_containers_with_swapped_macs_are_reachable_at_once(lab: Lab, host: Host) -> None:
    """The host itself has the old MACs in its neighbour cache, as reachable.

    An engine before 28 makes the MAC from the IPv4 address, which goes to the container that starts first.
    Also where the address passes to a container of another name, and where it is attached again. Without a
    third container the bridge would lose its carrier, and with it the neighbour entries.
    """
    run(host, "holder", "--network", "he_ipv6")
    with Mapper(host, *NO_RESYNC) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        run_labelled(host, "mon_container")
        run_labelled(host, "nginx")
        addresses = {"mon_container": wait_until_mapped(host), "nginx": wait_until_mapped(host, *NGINX)}
        assert all(reaches(lab.client, each) for each in addresses.values())
        before = {name: macs(host, name) for name in addresses}
        host.engine.docker("stop", "-t", "0", *addresses)
        for name in reversed(addresses):
            host.engine.docker("start", name)
            assert at_once(lab, addresses[name])
        assert all(macs(host, name) != before[name] for name in addresses)

        address = addresses["mon_container"]
        host.engine.docker("rm", "-f", "mon_container")
        suffix = ("--label", "ipv6.mapper.suffix=3d:7a:30")
        run_labelled(host, "successor", "--mac-address", "02:00:00:00:77:01", *suffix)
        wait_until_mapped(host, "successor")
        assert at_once(lab, address)

        host.engine.docker("network", "disconnect", "he_ipv6", "successor")
        wait_until_mapped(host, "successor")
        assert at_once(lab, address)


def test_uplinks_own_forwarding_is_set_again_at_once(lab: Lab, host: Host) -> None:
    """As systemd-networkd resets it with IPv6Forwarding=no. Without it the kernel answers for no address.

    With `--no-sysctl` the log, `doctor` and `status` name it.
    """
    host.engine.docker("network", "rm", "he_ipv6")
    host.create_network("he_ipv6", "--label", f"ipv6.mapper.uplink={UPLINK}")
    with Mapper(host, "--no-sysctl") as mapper:
        run_labelled(host, "mon_container")
        address = wait_until_mapped(host)
        host.namespace.set_sysctl(FORWARDING, "0")
        mapper.wait_for_log(f"WARNING.*conf/{UPLINK}/forwarding is 0, and has to be 1", within=2)
        shown = run_command(host, "--no-sysctl", "doctor", "--json")
        found = [
            each for each in json.loads(shown.stdout)["findings"] if f"{FORWARDING} is 0" in each["found"]
        ]
        assert [(each["level"], each["fix"]) for each in found] == [("fail", f"sysctl -w {FORWARDING}=1")]
        status = json.loads(run_command(host, "status", "--json").stdout)
        assert [(each["name"], each["forwarding"]) for each in status["uplinks"]] == [(UPLINK, "0")]
        assert status["uplink_reasons"][UPLINK].startswith(f"default route via {lab.router.address}")
    with Mapper(host, *NO_RESYNC):
        eventually(lambda: host.sysctl(FORWARDING) == "1")
        host.namespace.set_sysctl(FORWARDING, "0")
        host.namespace.set_sysctl("net.ipv6.conf.all.forwarding", "1")
        eventually(lambda: host.sysctl(FORWARDING) == "1", within=1)
        host.namespace.set_sysctl(f"net.ipv6.conf.{UPLINK}.proxy_ndp", "0")
        eventually(lambda: host.sysctl(f"net.ipv6.conf.{UPLINK}.proxy_ndp") == "1", within=1)
        lab.router.flush_neighbours()
        assert at_once(lab, address)


def test_uplink_is_found_by_alternative_name_and_while_it_is_renamed(lab: Lab, host: Host) -> None:
    """The entries stay: they belong to the link, whatever its name is."""
    ip = host.namespace.run
    ip("ip", "link", "property", "add", "dev", UPLINK, "altname", "wan.with.dots")
    try:
        with Mapper(host, *NO_RESYNC, "--uplink", "wan.with.dots") as mapper:
            mapper.wait_for_log(rf"uplink {UPLINK}: proxying.*named by --uplink")
            run_labelled(host, "mon_container")
            address = wait_until_mapped(host)
            ip("ip", "link", "set", "dev", UPLINK, "name", "lan0.7")
            mapper.wait_for_log(r"uplink lan0\.7: proxying")
            assert host.proxy_entries(MAPPER_PROTOCOL) == {(address, "lan0.7")}
            lab.router.flush_neighbours()
            assert reaches(lab.client, address)
            ip("ip", "link", "property", "del", "dev", "lan0.7", "altname", "wan.with.dots")
            mapper.wait_for_log(r"WARNING.*there is no link wan\.with\.dots")
            assert host.proxy_entries(MAPPER_PROTOCOL) == {(address, "lan0.7")}
            assert "no longer proxying" not in mapper.log()
    finally:
        ip("ip", "link", "set", "dev", "lan0.7", "name", UPLINK, check=False)
        ip("ip", "link", "property", "del", "dev", UPLINK, "altname", "wan.with.dots", check=False)


@contextmanager
def guest_bridge(host: Host) -> Iterator[Namespace]:
    """Add a bridge with one port, to a guest: a namespace that poses as a router; yield it."""
    guest = Namespace(f"dim-{os.getpid()}-guest")
    guest.create()
    # Else its link-local address could not be used for 1 to 2 s.
    guest.set_sysctl("net.ipv6.conf.default.accept_dad", "0")
    try:
        host.namespace.run("ip", "link", "add", GUESTS, "up", "type", "bridge")
        guest.add_veth("eth0", host.namespace, "vnet0", GUESTS)
        yield guest
    finally:
        host.namespace.run("ip", "link", "del", GUESTS, check=False)
        guest.delete()


def test_guest_on_a_bridge_cannot_pose_as_a_router(host: Host) -> None:
    """Neither on a bridge that was there before the daemon, nor on one that is made later."""
    key = f"net.ipv6.conf.{GUESTS}.accept_ra"
    with Mapper(host, *NO_RESYNC) as mapper:
        eventually(lambda: host.sysctl("net.ipv6.conf.default.accept_ra") == "2")
        assert host.sysctl("net.ipv6.conf.all.forwarding") == "1"
        for kept in (False, True):
            with guest_bridge(host) as guest:
                if kept:
                    host.namespace.set_sysctl(key, "1")
                    mapper.stop()
                    mapper.start()
                eventually(lambda: host.sysctl(key) == "1", within=1)
                assert "default via fe80" not in routes_after_advertisement(host, guest)


def routes_after_advertisement(host: Host, guest: Namespace) -> str:
    """Return the host's routes after the guest has sent a router advertisement."""
    program = ("env", "-C", str(CHECKOUT), sys.executable, "-u", "-m", "tests.lab.router_advertiser", "eth0")
    counter = ("grep", "Icmp6InRouterAdvertisements", f"/proc/net/dev_snmp6/{GUESTS}")
    with guest.popen(*program, "--interval", "0.1"):
        eventually(lambda: int(host.namespace.run(*counter).stdout.split()[1]) > 1)
        return host.namespace.run("ip", "-6", "route", "show", "dev", GUESTS).stdout
