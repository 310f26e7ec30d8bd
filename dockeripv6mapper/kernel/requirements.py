"""Requirements: whether the kernel and this process's namespaces allow changes of proxy entries at all."""

import os
from contextlib import closing
from errno import EOPNOTSUPP, EPERM
from ipaddress import IPv6Address

from dockeripv6mapper.errors import HostUnsupportedError
from dockeripv6mapper.kernel.netlink import translated_errors
from dockeripv6mapper.kernel.proxies import ProxyNeighbour, ProxyNeighbours, Result

LOOPBACK_INDEX = 1
"""The interface index of `lo` in every network namespace."""


def require_proxying() -> None:
    """Raise `HostUnsupportedError` where this process cannot change proxy entries, whatever it may try."""
    absent = [ProxyNeighbour(IPv6Address(0), LOOPBACK_INDEX)]
    with translated_errors("opening a netlink socket"), closing(ProxyNeighbours()) as neighbours:
        (removed,), (found,) = neighbours.remove(absent), neighbours.find(absent)
    check_results(removed, found)


def check_results(removed: Result, found: Result) -> None:
    """Raise `HostUnsupportedError` by the results of removing and of looking up an entry that is absent.

    In a user namespace, root has no rights over a network namespace from outside it. Before 5.0, the kernel
    cannot look up a single entry (`neigh_get` in `net/core/neighbour.c`), and ignores the protocol number.
    """
    if isinstance(removed, OSError) and removed.errno == EPERM:
        raise HostUnsupportedError(
            "changing the neighbour table: this user namespace has no rights over the network namespace",
            hint="run it outside of the user namespace; in a container, with `--userns host`",
        )
    if isinstance(found, OSError) and found.errno == EOPNOTSUPP:
        raise HostUnsupportedError(
            f"looking up an NDP proxy entry: kernel {os.uname().release} cannot, kernel 5.0 and later can",
            hint="upgrade the kernel, and reboot",
        )
