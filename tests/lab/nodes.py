"""A node outside the hosts: pings, TCP and HTTP from its network namespace."""

import sys
from dataclasses import dataclass
from ipaddress import IPv6Address

from tests.lab.namespaces import Namespace

HTTP_GET = """
import sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=float(sys.argv[2])) as response:
    sys.stdout.write(response.read().decode())
"""
"""A web client in Python, since the static busybox's wget crashes."""


@dataclass(frozen=True, slots=True)
class Node:
    """A namespace with a global address: the client, or the router."""

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
