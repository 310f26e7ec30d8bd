"""Prints what the mapper's `TopologyObserver` returns before and after changes, as a JSON array.

python -m tests.lab.topology_observer [CHANGES …]

Each of CHANGES is input for `ip -6 -batch`. The first result is from before any change.
"""

import json
import socket
import subprocess
import sys
from errno import ENOBUFS
from functools import partial

from dockeripv6mapper.kernel.netlink import RTMGRP_IPV6_IFADDR, open_notifications
from dockeripv6mapper.kernel.topology import TopologyObserver
from tests.lab.waiting import eventually

ADDRESS_CHANGE = "address "
"""Prefix of a change whose netlink notification may come after `ip` has exited: the kernel sends it from a
work queue (`addrconf_dad_start` in `net/ipv6/addrconf.c`)."""


def drain(notifications: socket.socket) -> bool:
    """Read all pending notifications; return whether there was any."""
    received = False
    while True:
        try:
            notifications.recv(1)
        except BlockingIOError:
            return received
        except OSError as error:
            if error.errno != ENOBUFS:  # overflow: notifications were lost
                raise
        received = True


def main(*changes: str) -> None:
    """Observe, then observe again after each change, and print the results."""
    # Opened before the observer's socket, so it receives each notification last.
    notifications = open_notifications(RTMGRP_IPV6_IFADDR)
    notifications.setblocking(False)
    observer = TopologyObserver()
    eventually(lambda: observer.observe() is observer.observe())
    previous = None
    results = []
    for change in ("", *changes):
        drain(notifications)
        subprocess.run(("ip", "-6", "-batch", "-"), input=change, text=True, check=True)
        if change.startswith(ADDRESS_CHANGE):
            eventually(partial(drain, notifications))
        topology = observer.observe()
        results.append(
            {
                "read": topology is not previous,
                "links": sorted(topology.links),
                "uplinks": topology.default_route_links,
                "routers": sorted(f"{gateway} {link}" for gateway, link in topology.default_routers),
                "altnames": {each.name: each.altnames for each in topology.links.values() if each.altnames},
                "kinds": {each.name: each.kind for each in topology.links.values()},
                "addresses": sorted(str(each) for each in topology.addresses if not each.is_link_local),
            }
        )
        previous = topology
    observer.close()
    notifications.close()
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
