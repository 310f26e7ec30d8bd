"""The router: pings, TCP and HTTP from outside the hosts, and its neighbour cache."""

import json
import sys
from dataclasses import dataclass
from ipaddress import IPv6Address

from tests.lab.namespaces import Namespace

BRIDGE = "link0"
"""The router's interface on the segment of all uplinks."""


HTTP_GET = """
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=float(sys.argv[2])) as response:
    sys.stdout.write(response.read().decode())
"""
"""A web client in Python, since the static busybox's wget crashes."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An entry of the router's neighbour cache."""

    mac: str | None
    state: str
    """`REACHABLE`, `STALE`, `INCOMPLETE`, `FAILED`, …"""


@dataclass(frozen=True, slots=True)
class Router:
    """The provider's router, for which every container's subnet is on-link."""

    namespace: Namespace
    address: IPv6Address

    def ping(self, address: IPv6Address, count: int = 1, timeout: float = 1.0) -> bool:
        """Whether any of `count` echo requests (0.2 s apart) is answered within `timeout` seconds."""
        argv = ("ping", "-6", "-n", "-q", "-i", "0.2", "-c", str(count), "-W", str(timeout), str(address))
        return self.namespace.run(*argv, check=False, timeout=count + timeout + 10).returncode == 0

    def reaches(self, address: IPv6Address, port: int) -> bool:
        """Whether a TCP port accepts or refuses a connection, that is, no firewall drops or rejects it."""
        scan = (sys.executable, "-m", "tests.lab.port_scan", str(address), "tcp", str(port))
        return bool(self.namespace.run(*scan).stdout.strip())

    def http_get(self, url: str, timeout: int = 2) -> str:
        """Return the body at `url`. Raises `CommandError` after `timeout` seconds, and on an HTTP error."""
        return self.namespace.run(sys.executable, "-c", HTTP_GET, url, str(timeout)).stdout

    def neighbours(self) -> dict[IPv6Address, Neighbour]:
        """Return the neighbour cache of `BRIDGE`, by address."""
        shown = json.loads(self.namespace.run("ip", "-6", "-j", "neigh", "show", "dev", BRIDGE).stdout)
        return {
            IPv6Address(each["dst"]): Neighbour(each.get("lladdr"), ",".join(each["state"])) for each in shown
        }

    def flush_neighbours(self) -> None:
        """Empty the neighbour cache, as after a reboot."""
        self.namespace.run("ip", "-6", "neigh", "flush", "dev", BRIDGE)
