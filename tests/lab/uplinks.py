"""Other kinds of uplink than the lab's plain link: a bridge, a link stacked on another, a changed MAC.

This kernel has neither VLAN nor bond links. A macvlan stands for the first: a link stacked on another, with
`parent.number` as its name. A change of the MAC address stands for a bond's failover.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Interface

from tests.lab.hosts import UPLINK, Host
from tests.lab.topology import Lab

STACKED = f"{UPLINK}.7"
BRIDGED = "br0"
SECOND = "up1"
LENGTH = 64


@contextmanager
def stacked_uplink(lab: Lab, host: Host) -> Iterator[str]:
    """Move the host's address and default route to a link that is stacked on the uplink; yield its name."""
    host.namespace.run(
        "ip", "link", "add", "link", UPLINK, "name", STACKED, "type", "macvlan", "mode", "bridge"
    )
    with _moved_to(lab, host, STACKED):
        yield STACKED


@contextmanager
def bridged_uplink(lab: Lab, host: Host) -> Iterator[str]:
    """Make the uplink a port of a bridge that has the host's address and default route; yield its name.

    As hypervisors have it. The bridge takes the lowest MAC of its ports.
    """
    host.namespace.run("ip", "link", "add", BRIDGED, "type", "bridge")
    host.namespace.run("ip", "link", "set", UPLINK, "master", BRIDGED)
    with _moved_to(lab, host, BRIDGED):
        yield BRIDGED


@contextmanager
def second_uplink(lab: Lab, host: Host) -> Iterator[str]:
    """Add a second link to the router's segment, with an address and no route; yield its name."""
    host.namespace.add_veth(SECOND, lab.router.namespace, f"second{host.address.packed[-1]}", "link0")
    host.namespace.add_address(SECOND, IPv6Interface((host.address + 0x100, LENGTH)))
    try:
        yield SECOND
    finally:
        host.namespace.run("ip", "link", "del", SECOND)


@contextmanager
def changed_mac(host: Host, link: str, mac: str) -> Iterator[None]:
    """Give a link another MAC address, as a failover of a bond does; restore it at the end."""
    (shown,) = json.loads(host.namespace.run("ip", "-j", "link", "show", "dev", link).stdout)
    host.namespace.run("ip", "link", "set", link, "address", mac)
    try:
        yield
    finally:
        host.namespace.run("ip", "link", "set", link, "address", shown["address"])


@contextmanager
def _moved_to(lab: Lab, host: Host, link: str) -> Iterator[None]:
    """Move address and default route from the uplink to `link`; at the end, move them back and remove it."""
    namespace, address = host.namespace, IPv6Interface((host.address, LENGTH))
    try:
        namespace.run("ip", "-6", "address", "del", str(address), "dev", UPLINK)
        namespace.run("ip", "link", "set", link, "up")
        namespace.add_address(link, address)
        namespace.run("ip", "-6", "route", "replace", "default", "via", str(lab.router.address), "dev", link)
        yield
    finally:
        namespace.run("ip", "link", "del", link)
        host.restore_uplink(lab.router.address)
