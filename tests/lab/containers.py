"""Scenes: what the tests and the demo put on a host's stage, and what they then see.

Each begins with a container that carries a label; who plays it, and what must come of it, is a test's.
"""

import hashlib
import json
from ipaddress import IPv6Address

from tests.lab.engines import IMAGE, Flavour
from tests.lab.hosts import UPLINK, Host
from tests.lab.mapper import run_command
from tests.lab.router import Router
from tests.lab.waiting import eventually

MAPPER_PROTOCOL = "109"
"""The protocol number of the mapper's proxy entries."""
SUFFIX = 0x3D_007A_0030
"""Of `mon_container`."""

WEB_SERVER = ("sh", "-c", "echo welcome > index.html && httpd -f -p 80")
"""What a container runs to serve a page; `welcome` is all that it says."""

LABEL = ("--label", "ipv6.mapper.network=he_ipv6")

EMPTY_PLAN = {
    "endpoints": [],
    "proxies": {"add": [], "remove": []},
    "ports": {"open": [], "close": []},
    "closed": {"add": [], "remove": []},
    "sysctls": [],
    "refusals": [],
}
"""What `plan --json` prints when all is well."""


def suffix_of(identity: str) -> int:
    """The suffix that the original program's rule gives."""
    first, second, third = hashlib.md5(identity.encode(), usedforsecurity=False).digest()[:3]
    return first << 32 | second << 16 | third


def run(host: Host, name: str, *options: str) -> str:
    """Run a container; returns its ID."""
    return host.engine.docker("run", "-d", "--name", name, *options, IMAGE)


def run_labelled(host: Host, name: str, *options: str) -> str:
    """Run a container that is to be mapped to `he_ipv6`; returns its ID."""
    return run(host, name, *LABEL, *options)


def addresses_inside(host: Host, name: str) -> set[IPv6Address]:
    """The container's global IPv6 addresses as its own processes see them."""
    shown = host.engine.docker("exec", name, "ip", "-6", "addr", "show", "scope", "global")
    words = shown.split()
    return {IPv6Address(words[at + 1].partition("/")[0]) for at, word in enumerate(words) if word == "inet6"}


def wait_until_mapped(host: Host, name: str = "mon_container", suffix: int = SUFFIX) -> IPv6Address:
    """Wait until the container has its address and the uplink answers for it; returns the address."""
    address = host.subnet[suffix]
    eventually(lambda: address in addresses_inside(host, name), within=5)
    eventually(lambda: (address, UPLINK) in host.proxy_entries(MAPPER_PROTOCOL), within=5)
    return address


def reaches(router: Router, address: IPv6Address) -> bool:
    """Whether the router's ping is answered.

    The first container on a bridge brings the bridge up, whose own addresses are tentative for up to two
    seconds then: until that the host itself cannot resolve anybody behind it.
    """
    return router.ping(address, timeout=5)


def plan_of(host: Host, *options: str) -> dict[str, object]:
    """What `plan --json` prints."""
    done = run_command(host, *options, "plan", "--json")
    assert done.returncode == 0, done.stderr
    plan: dict[str, object] = json.loads(done.stdout)
    return plan


def endpoints_of(host: Host, name: str) -> dict[str, dict[str, object]]:
    """The container's endpoints, as an inspection shows them."""
    shown = host.engine.docker("inspect", "-f", "{{json .NetworkSettings.Networks}}", name)
    endpoints: dict[str, dict[str, object]] = json.loads(shown)
    return endpoints


def open_port(host: Host, address: IPv6Address, port: int) -> None:
    """Let new connections in by hand, the last step of the older program's manual."""
    chain = "DOCKER-USER" if host.engine.flavour is Flavour.MODERN else "FORWARD"
    rule = ("-d", str(address), "-p", "tcp", "--dport", str(port), "-j", "ACCEPT")
    host.namespace.run("ip6tables", "-I", chain, *rule)
