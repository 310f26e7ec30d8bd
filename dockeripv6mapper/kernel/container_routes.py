"""Container routes: the source address of a container's packets to the outside, read from its /proc files.

A process's `/proc/PID/net` shows its network namespace, also to a reader in another one. The engine gives a
container's PID as its own PID namespace counts it. So it is looked up through the engine's own /proc first,
then in ours; a process that does not have the container's address is another process.
"""

import logging
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address
from pathlib import Path

from dockeripv6mapper.kernel.if_inet6 import InterfaceAddress, global_addresses

log = logging.getLogger(__name__)

PROC = Path("/proc")
RTF_UP, RTF_REJECT = 0x0001, 0x0200
PREFERENCE_SHIFT, PREFERENCE_MASK = 27, 0b11
"""Flags of `linux/route.h` and `linux/ipv6_route.h`."""
PREFERENCES = {0b01: 1, 0b11: -1}
"""High and low; the other two values are medium, 0 (RFC 4191 §2.1)."""
DEFAULT = ("0" * 32, "00")
"""Destination and prefix length of a default route."""


def outgoing_address(pid: int, address: IPv6Address, engine_pid: int | None = None) -> IPv6Address | None:
    """The source address of new packets of a container that has `address`; None: not known.

    `pid`: its first process, 0 if there is none. `engine_pid`: the engine's process, None if not known.
    """
    if not pid:
        return None
    for directory in _candidates(pid, engine_pid):
        try:
            addresses = global_addresses((directory / "if_inet6").read_text())
            routes = (directory / "ipv6_route").read_text()
        except (OSError, ValueError) as error:
            log.debug("reading %s: %s", directory, error)
            continue
        if address in {each.address for each in addresses}:
            return source(address, addresses, default_route_interface(routes))
    return None


def _candidates(pid: int, engine_pid: int | None) -> Iterator[Path]:
    if engine_pid is not None:
        yield PROC / str(engine_pid) / "root/proc" / str(pid) / "net"
    yield PROC / str(pid) / "net"


def source(
    address: IPv6Address, addresses: Iterable[InterfaceAddress], interface: str | None
) -> IPv6Address | None:
    """The source address of packets that leave over an interface; None: it has none, or is unknown.

    RFC 6724 §5, rule 5 prefers an address of the outgoing interface: `address`, if it is one of those.
    """
    on_interface = [each.address for each in addresses if each.interface == interface]
    return address if address in on_interface else next(iter(on_interface), None)


def default_route_interface(text: str) -> str | None:
    """The interface of the default route that the kernel uses, from `/proc/net/ipv6_route`; None: no route.

    The lowest metric wins, then the highest preference (`find_rr_leaf` in `net/ipv6/route.c`). Raises
    `ValueError`.
    """
    best: tuple[int, int] | None = None
    interface = None
    for line in text.splitlines():
        destination, length, _, _, _, metric, _, _, flags_text, name = line.split()
        flags = int(flags_text, 16)
        if (destination, length) != DEFAULT or flags & RTF_REJECT or not flags & RTF_UP:
            continue
        preference = PREFERENCES.get(flags >> PREFERENCE_SHIFT & PREFERENCE_MASK, 0)
        rank = int(metric, 16), -preference
        if best is None or rank < best:
            best, interface = rank, name
    return interface
