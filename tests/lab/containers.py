"""Labelled containers on a host: run them, wait for their mapping, read their addresses and endpoints."""

import hashlib
import json
from ipaddress import IPv6Address

from tests.lab.engine_root import MAPPER_MARK
from tests.lab.engines import IMAGE
from tests.lab.hosts import UPLINK, Host
from tests.lab.mapper import run_command
from tests.lab.nodes import Node
from tests.lab.waiting import eventually

MAPPER_PROTOCOL = "109"
"""The protocol number of the mapper's proxy entries."""
SUFFIX = 0x3D_007A_0030
"""Suffix of the identity `mon_container`, as a number."""

WEB_SERVER = ("sh", "-c", "echo welcome > index.html && httpd -f -p 80")
"""Command of a container: a web server whose page is `welcome`."""

LABEL = ("--label", "ipv6.mapper.network=he_ipv6")

EMPTY_PLAN = {
    "endpoints": [],
    "proxies": {"add": [], "remove": []},
    "ports": {"open": [], "close": []},
    "closed": {"add": [], "remove": []},
    "sysctls": [],
    "refusals": [],
}
"""Output of `plan --json` if there is nothing to do."""


def suffix_of(identity: str) -> int:
    """Return the `md5-24` suffix of an identity, as a number."""
    first, second, third = hashlib.md5(identity.encode(), usedforsecurity=False).digest()[:3]
    return first << 32 | second << 16 | third


def run(host: Host, name: str, *options: str) -> str:
    """Run a container; return its ID."""
    return host.engine.docker("run", "-d", "--name", name, *options, IMAGE)


def run_labelled(host: Host, name: str, *options: str) -> str:
    """Run a container with the label that maps it to `he_ipv6`; return its ID."""
    return run(host, name, *LABEL, *options)


def addresses_inside(host: Host, name: str) -> set[IPv6Address]:
    """Return the global IPv6 addresses in the container's network namespace."""
    shown = host.engine.docker("exec", name, "ip", "-6", "addr", "show", "scope", "global")
    words = shown.split()
    return {IPv6Address(words[at + 1].partition("/")[0]) for at, word in enumerate(words) if word == "inet6"}


def wait_until_mapped(host: Host, name: str = "mon_container", suffix: int = SUFFIX) -> IPv6Address:
    """Wait until the container has its address and a proxy entry on the uplink; return the address."""
    address = host.subnet[suffix]
    eventually(lambda: address in addresses_inside(host, name), within=5)
    eventually(lambda: (address, UPLINK) in host.proxy_entries(MAPPER_PROTOCOL), within=5)
    return address


def reaches(node: Node, address: IPv6Address) -> bool:
    """Whether the address answers the node's ping within 5 s.

    The first container sets the bridge's carrier up. The bridge's own addresses are then tentative for up to
    2 s, and until then the host cannot resolve containers behind the bridge.
    """
    return node.ping(address, timeout=5)


def plan_of(host: Host, *options: str) -> dict[str, object]:
    """Return the output of `plan --json`."""
    done = run_command(host, *options, "plan", "--json")
    assert done.returncode == 0, done.stderr
    plan: dict[str, object] = json.loads(done.stdout)
    return plan


def endpoints_of(host: Host, name: str) -> dict[str, dict[str, object]]:
    """Return the container's endpoints by network name, as in `docker inspect`."""
    shown = host.engine.docker("inspect", "-f", "{{json .NetworkSettings.Networks}}", name)
    endpoints: dict[str, dict[str, object]] = json.loads(shown)
    return endpoints


def open_port(host: Host, address: IPv6Address, port: int) -> None:
    """Accept new connections to a port with an ip6tables rule, as in the manual of the original program.

    For an engine that filters with nftables, set the mark that it accepts.
    """
    if host.engine.flavour.filters_with_nftables:
        rules = f"ip6 daddr {address} tcp dport {port} meta mark set meta mark or {MAPPER_MARK}"
        chain = f"chain prerouting {{ type filter hook prerouting priority -150; {rules}; }}"
        host.namespace.run("nft", "-f", "-", stdin=f"table ip6 by-hand {{ {chain} }}")
        return
    chain = "DOCKER-USER" if host.engine.flavour.filters_ipv6 else "FORWARD"
    rule = ("-d", str(address), "-p", "tcp", "--dport", str(port), "-j", "ACCEPT")
    host.namespace.run("ip6tables", "-I", chain, *rule)
