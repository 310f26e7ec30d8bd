"""The router's side: what the world outside sees of the hosts and their containers."""

import json
import sys
from dataclasses import dataclass
from ipaddress import IPv6Address

from tests.lab.namespaces import Namespace

BRIDGE = "link0"
"""The router's interface on the segment that all hosts' uplinks share."""


HTTP_GET = """
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=float(sys.argv[2])) as response:
    sys.stdout.write(response.read().decode())
"""
"""A web client that is there on every machine that runs the tests: busybox's static one crashes."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """What the router's neighbour cache holds for one address."""

    mac: str | None
    state: str
    """`REACHABLE`, `STALE`, `INCOMPLETE`, `FAILED`, …"""


@dataclass(frozen=True, slots=True)
class Router:
    """The provider's router, to which every container's subnet looks on-link."""

    namespace: Namespace
    address: IPv6Address

    def ping(self, address: IPv6Address, count: int = 1, timeout: float = 1.0) -> bool:
        """Whether any of `count` echo requests, 0.2 s apart, is answered within `timeout` seconds."""
        argv = ("ping", "-6", "-n", "-q", "-i", "0.2", "-c", str(count), "-W", str(timeout), str(address))
        return self.namespace.run(*argv, check=False, timeout=count + timeout + 10).returncode == 0

    def reaches(self, address: IPv6Address, port: int) -> bool:
        """Whether a TCP connection is answered, be it by a refusal, and not left alone by a firewall."""
        scan = (sys.executable, "-m", "tests.lab.port_scan", str(address), "tcp", str(port))
        return bool(self.namespace.run(*scan).stdout.strip())

    def http_get(self, url: str, timeout: int = 2) -> str:
        """Return the body at `url`; raises `CommandError` after `timeout` seconds, or at any HTTP error."""
        return self.namespace.run(sys.executable, "-c", HTTP_GET, url, str(timeout)).stdout

    def neighbours(self) -> dict[IPv6Address, Neighbour]:
        """Return the neighbour cache of the segment."""
        shown = json.loads(self.namespace.run("ip", "-6", "-j", "neigh", "show", "dev", BRIDGE).stdout)
        return {
            IPv6Address(each["dst"]): Neighbour(each.get("lladdr"), ",".join(each["state"])) for each in shown
        }

    def flush_neighbours(self) -> None:
        """Forget every neighbour, as after a reboot."""
        self.namespace.run("ip", "-6", "neigh", "flush", "dev", BRIDGE)
