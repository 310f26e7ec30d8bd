"""Open ports beside other programs: their marks, their flushes, large answers, a router's probes."""

import json
from collections.abc import Iterator
from ipaddress import IPv6Address

import pytest

from tests.lab.containers import LABEL, run, wait_until_mapped
from tests.lab.engine_choice import on_every_engine
from tests.lab.engines import IMAGE, Flavour
from tests.lab.firewall_modes import MODES, RECOMMENDED, host_in_mode
from tests.lab.hosts import Host
from tests.lab.mapper import Mapper, run_command
from tests.lab.ports import from_client, scan_ports, serve, udp_echo
from tests.lab.router import BRIDGE
from tests.lab.topology import Lab
from tests.lab.waiting import eventually

FILTERING = [mode for mode in MODES if mode.name in ("26.1-ip6tables", "28-nat")]
"""The modes in which an engine drops what our mark does not let through, before and since 27."""
LOOK = "another program changed our firewall rules"
"""In the log, before the daemon reads its rules outside of full passes."""
LARGE = 300_000
"""Bytes; many packets, which cannot pass a narrower link as they are."""

OTHERS = """
ip6tables -t mangle -A PREROUTING -j CONNMARK --restore-mark
ip6tables -t mangle -A PREROUTING -j MARK --set-mark 0x1
ip6tables -t mangle -A FORWARD ! -i br+ -m mark ! --mark 0x1 -j DROP
ip6tables -t mangle -A POSTROUTING -m mark --mark 0x1000000/0x1000000 -j DROP
ip -6 rule add fwmark 0x1000000/0x1000000 prohibit
nft add table inet mwan
nft add chain inet mwan prerouting '{ type filter hook prerouting priority mangle; }'
nft add rule inet mwan prerouting ct state established,related meta mark set ct mark and 0x00ff0000
"""
"""Marks as multi-WAN setups, wg-quick and Tailscale set them, and rules that compare the mark strictly."""
WITHOUT_OTHERS = """
ip6tables -t mangle -F
ip -6 rule del fwmark 0x1000000/0x1000000
nft delete table inet mwan
"""


@pytest.fixture(params=FILTERING, ids=lambda mode: mode.name)
def host(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Host]:
    """A host of each engine that filters."""
    with host_in_mode(lab, request.param) as host:
        yield host


def paste(host: Host, commands: str) -> None:
    """Run shell commands in the host's network namespace."""
    host.namespace.run("sh", "-ec", commands)


def test_an_open_port_is_usable_in_full(lab: Lab, host: Host) -> None:
    """Over a narrow link, for a router that probes its neighbour, and beside programs that use the mark."""
    closes = not host.engine.flavour.filters_ipv6
    with Mapper(host, "--debug", *(("--firewall", "closed") if closes else ())) as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        serving = f"head -c {LARGE} /dev/zero | tr '\\0' x > big && exec httpd -f -p 80"
        labels = (*LABEL, "--label", "ipv6.mapper.ports=80,53/udp")
        host.engine.docker("run", "-d", "--name", "mon_container", *labels, IMAGE, "sh", "-c", serving)
        address = wait_until_mapped(host)
        eventually(lambda: lab.client.reaches(address, 80), within=5)
        with lab.router.narrow_link_to_client():
            assert len(lab.client.http_get(f"http://[{address}]/big", timeout=5)) == LARGE
        assert_probe_is_answered(lab, address)
        for number in range(3):
            run(host, f"other-{number}", "--network", "he_ipv6", "-p", f"808{number}:80")
        host.engine.docker("rm", "-f", *(f"other-{number}" for number in range(3)))
        assert LOOK not in mapper.log(), "the engine changed its own rules alone"
        paste(host, OTHERS)
        try:
            assert scan_ports(from_client(lab), address, "tcp", [79, 80, 81]) == {80}
            with udp_echo(host, "mon_container", 53, 54):
                assert scan_ports(from_client(lab), address, "udp", [53, 54]) == {53}
            with lab.router.narrow_link_to_client():
                lab.client.namespace.run("ip", "-6", "route", "flush", "cache")
                assert len(lab.client.http_get(f"http://[{address}]/big", timeout=5)) == LARGE
        finally:
            paste(host, WITHOUT_OTHERS)


def assert_probe_is_answered(lab: Lab, address: IPv6Address) -> None:
    """Have the router verify its neighbour entry by unicast solicitations (RFC 4861 §7.3.2)."""
    mac = lab.router.neighbours()[address].mac
    assert mac is not None
    entry = (str(address), "lladdr", mac, "dev", BRIDGE)
    lab.router.namespace.run("ip", "-6", "neigh", "replace", *entry, "nud", "probe")
    eventually(lambda: lab.router.neighbours()[address].state != "PROBE", within=5)
    assert lab.router.neighbours()[address].state == "REACHABLE"


FLUSHES = {
    "accept rules": "ip6tables -t raw -F PREROUTING; ip6tables -F DOCKER-USER || ip6tables -F FORWARD",
    "table": "nft delete table ip6 dockeripv6mapper",
    "rules of a chain": "nft flush chain ip6 dockeripv6mapper closed",
    "elements": "nft flush set ip6 dockeripv6mapper open; nft flush set ip6 dockeripv6mapper mapped",
    "iptables": "ip6tables -F; ip6tables -P FORWARD DROP",
    "everything": "nft flush ruleset",
}
"""What other programs do, by what is lost."""


@on_every_engine("each has other chains")
def test_flushed_rules_are_back_within_a_second(lab: Lab, flavour: Flavour) -> None:
    """Table and accept rules, where packets pass them; `--firewall closed` closes again."""
    with (
        host_in_mode(lab, RECOMMENDED[flavour]) as host,
        Mapper(host, "--firewall", "closed", "--debug") as mapper,
    ):
        mapper.wait_for_log("proxying neighbour discovery")
        serve(host, "mon_container", *LABEL, "--restart", "always", "--label", "ipv6.mapper.ports=80")
        address = wait_until_mapped(host)
        eventually(lambda: lab.client.reaches(address, 80), within=5)
        filters = host.engine.flavour.filters_ipv6
        places = {"PREROUTING", "DOCKER-USER" if filters else "FORWARD"}
        eventually(lambda: chains_with_our_rule(host) == places, within=5)
        complete = table(host)
        for lost, commands in FLUSHES.items():
            host.namespace.run("sh", "-c", commands)
            here = {"PREROUTING", "FORWARD"} if lost in ("iptables", "everything") else places
            eventually(lambda: (table(host), chains_with_our_rule(host)) == (complete, here), within=1)  # noqa: B023
            assert LOOK in mapper.log()
        assert scan_ports(from_client(lab), address, "tcp", [80, 8050]) == {80}
        gone = [each["check"] for each in doctor(host) if each["level"] == "fail"]
        assert gone == (["engine-rules"] if filters else [])
        host.engine.restart()
        eventually(lambda: chains_with_our_rule(host) == places, within=10)
        eventually(lambda: table(host) == complete, within=5)


def table(host: Host) -> str:
    """Return the mapper's nft table as text; empty if there is none."""
    return host.namespace.run("nft", "list", "table", "ip6", "dockeripv6mapper", check=False).stdout


def chains_with_our_rule(host: Host) -> set[str]:
    """Return the names of the ip6tables chains with an accept rule of the mapper."""
    saved = host.namespace.run("ip6tables-save").stdout.splitlines()
    return {line.split()[1] for line in saved if line.startswith("-A ") and "DockerIPV6Mapper" in line}


def doctor(host: Host) -> list[dict[str, str]]:
    """Return the findings of `doctor --json`."""
    findings: list[dict[str, str]] = json.loads(run_command(host, "doctor", "--json").stdout)["findings"]
    return findings
