"""A host's topology as the mapper's own observer sees it between changes: as JSON, one for each look.

python -m tests.lab.topology_observer [CHANGES …]

CHANGES are lines for `ip -6 -batch`, made before a look; the first look comes before any, when all is quiet.
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
"""How a line begins after which the kernel tells of an address, which it does from a work queue: a little
after `ip` has ended (`addrconf_dad_start` in `net/ipv6/addrconf.c`)."""


def heard(told: socket.socket) -> bool:
    """Whether the kernel has told of anything since this was last asked."""
    any_news = False
    while True:
        try:
            told.recv(1)
        except BlockingIOError:
            return any_news
        except OSError as error:
            if error.errno != ENOBUFS:  # which says that there was more than the socket holds
                raise
        any_news = True


def main(*changes: str) -> None:
    """Look, change, look again."""
    # Opened before the observer's own, it is the last to be told.
    told = open_notifications(RTMGRP_IPV6_IFADDR)
    told.setblocking(False)
    observer = TopologyObserver()
    eventually(lambda: observer.observe() is observer.observe())
    before = None
    looks = []
    for change in ("", *changes):
        heard(told)
        subprocess.run(("ip", "-6", "-batch", "-"), input=change, text=True, check=True)
        if change.startswith(ADDRESS_CHANGE):
            eventually(partial(heard, told))
        seen = observer.observe()
        looks.append(
            {
                "read": seen is not before,
                "links": sorted(seen.links),
                "uplinks": seen.default_route_links,
                "addresses": sorted(str(each) for each in seen.addresses if not each.is_link_local),
            }
        )
        before = seen
    observer.close()
    told.close()
    json.dump(looks, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
