"""The kernel's neighbour cache on an uplink: which neighbours it fails to resolve. Changes nothing.

When the host forwards a packet, the kernel solicits the next hop from a link-local address, since the
packet's source is not an address of the host (`ndisc_solicit` in `net/ipv6/ndisc.c`). Where the provider
drops that, a solicitation from a global address of the host confirms or completes the same entry.
"""

import struct
from collections.abc import Collection, Mapping
from enum import IntFlag
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from socket import AF_INET6

from dockeripv6mapper.kernel.if_inet6 import global_addresses
from dockeripv6mapper.kernel.netlink import ATTRIBUTE, Message, RequestSocket, attributes
from dockeripv6mapper.kernel.proxies import NDA_DST, NEIGHBOUR, NTF_PROXY, RTM_GETNEIGH, RTM_NEWNEIGH

NDA_IFINDEX = 8
"""Attribute of a dump request: only the entries of this interface (`linux/neighbour.h`)."""
INDEX = struct.Struct("=I")
MAX_ROUTERS = 8
"""Maximum number of routers on one link. Any node of the link can pose as many more."""
MAX_OTHERS = 16
"""Maximum number of neighbours besides the routers: a container may scan a whole subnet."""

ADDRESSES = Path("/proc/net/if_inet6")
"""All IPv6 addresses of this network namespace."""
IFA_F_OPTIMISTIC, IFA_F_DADFAILED, IFA_F_DEPRECATED, IFA_F_TENTATIVE = 0x04, 0x08, 0x20, 0x40
"""Flags of `linux/if_addr.h`."""
UNUSABLE = IFA_F_OPTIMISTIC | IFA_F_DADFAILED | IFA_F_TENTATIVE
UNIQUE_LOCAL = IPv6Network("fc00::/7")


class State(IntFlag):
    """The state of an entry (`NUD_…` of `linux/neighbour.h`)."""

    NO_ENTRY = 0
    INCOMPLETE = 0x01
    REACHABLE = 0x02
    STALE = 0x04
    DELAY = 0x08
    PROBE = 0x10
    FAILED = 0x20
    NOARP = 0x40
    PERMANENT = 0x80


RESOLVING = State.INCOMPLETE | State.PROBE
"""The kernel waits for an answer to its solicitations. It sends three, one a second, and then gives up."""
CONFIRMED = State.REACHABLE | State.NOARP | State.PERMANENT


def read_states(netlink: RequestSocket, index: int) -> dict[IPv6Address, State]:
    """The neighbours on the interface with this index, each with its state. Raises `OSError`."""
    request = NEIGHBOUR.pack(AF_INET6, 0, 0, 0, 0)
    request += ATTRIBUTE.pack(ATTRIBUTE.size + INDEX.size, NDA_IFINDEX) + INDEX.pack(index)
    parsed = (_parse(message, index) for message in netlink.dump(RTM_GETNEIGH, request))
    return dict(each for each in parsed if each is not None)


def _parse(message: Message, index: int) -> tuple[IPv6Address, State] | None:
    if message.kind != RTM_NEWNEIGH:
        return None
    family, link, state, flags, _kind = NEIGHBOUR.unpack_from(message.body)
    address = dict(attributes(message.body, NEIGHBOUR.size)).get(NDA_DST)
    if family != AF_INET6 or link != index or flags & NTF_PROXY or address is None:
        return None
    return IPv6Address(address), State(state)


def to_solicit(
    states: Mapping[IPv6Address, State], routers: Collection[IPv6Address], *, filtered: bool
) -> list[IPv6Address]:
    """The neighbours to solicit from a global address, where this is called once a second.

    filtered  Solicitations from link-local addresses are known to be dropped. The routers' entries are kept
              reachable, so that no packet has to wait. Other neighbours are solicited while the kernel tries
              to resolve them.

    Otherwise, a router is solicited that the kernel fails to resolve. If a container only sends, no
    solicitation for its address comes before that.
    """
    if not filtered:
        failing = RESOLVING | State.FAILED
        return [each for each in routers if states.get(each, State.NO_ENTRY) & failing][:MAX_ROUTERS]
    unconfirmed = [each for each in routers if not states.get(each, State.NO_ENTRY) & CONFIRMED]
    others = [each for each, state in states.items() if state & RESOLVING and each not in routers]
    return unconfirmed[:MAX_ROUTERS] + others[:MAX_OTHERS]


def global_address(index: int, listed: str) -> IPv6Address | None:
    """The interface's global address to solicit from; None: it has none that is usable.

    `listed`: the contents of `ADDRESSES`. Raises `ValueError`.
    """
    usable = (
        each for each in global_addresses(listed) if each.link_index == index and not each.flags & UNUSABLE
    )
    # A provider knows the global addresses, and no unique local ones.
    ranked = ((each.address in UNIQUE_LOCAL, each.flags & IFA_F_DEPRECATED, each.address) for each in usable)
    return min(ranked, default=(None,))[-1]
