"""The provider's router: its neighbour cache, and what it lets through to and from the hosts.

It forwards between the segment of the hosts' uplinks and the client, as a router on the internet does. When
it forwards a packet it solicits the destination from its link-local address; when it pings by itself, from
its global address. So tests of reachability go from the client.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address

from tests.lab.nodes import Node

BRIDGE = "link0"
"""The router's interface on the segment of all uplinks."""
CLIENT_LINK = "client0"
"""The router's interface on the link to the client."""

MINIMUM_MTU, DEFAULT_MTU = 1280, 1500
"""The least MTU that IPv6 allows (RFC 8200 §5), and that of Ethernet."""

DROP_LINK_LOCAL_DISCOVERY = """
table netdev provider {{
  chain ingress {{
    type filter hook ingress device {port} priority 0;
    ip6 saddr fe80::/10 icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} counter drop
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An entry of the router's neighbour cache."""

    mac: str | None
    state: str
    """`REACHABLE`, `STALE`, `INCOMPLETE`, `FAILED`, …"""


@dataclass(frozen=True, slots=True)
class Router(Node):
    """The provider's router, for which every container's subnet is on-link."""

    def neighbours(self) -> dict[IPv6Address, Neighbour]:
        """Return the neighbour cache of `BRIDGE`, by address."""
        shown = json.loads(self.namespace.run("ip", "-6", "-j", "neigh", "show", "dev", BRIDGE).stdout)
        return {
            IPv6Address(each["dst"]): Neighbour(each.get("lladdr"), ",".join(each["state"])) for each in shown
        }

    def flush_neighbours(self) -> None:
        """Empty the neighbour cache, as after a reboot."""
        self.namespace.run("ip", "-6", "neigh", "flush", "dev", BRIDGE)

    @contextmanager
    def narrow_link_to_client(self) -> Iterator[None]:
        """Let the link to the client carry 1280 bytes: the router answers larger packets "Packet Too Big"."""
        self.namespace.run("ip", "link", "set", CLIENT_LINK, "mtu", str(MINIMUM_MTU))
        try:
            yield
        finally:
            self.namespace.run("ip", "link", "set", CLIENT_LINK, "mtu", str(DEFAULT_MTU))

    @contextmanager
    def without_link_local_discovery(self, port: str) -> Iterator[None]:
        """Drop solicitations and advertisements from link-local addresses that arrive by a port of `BRIDGE`.

        As some providers do on the port of a virtual machine, against address spoofing.
        """
        self.namespace.run("nft", "-f", "-", stdin=DROP_LINK_LOCAL_DISCOVERY.format(port=port))
        try:
            yield
        finally:
            self.namespace.run("nft", "delete", "table", "netdev", "provider")
