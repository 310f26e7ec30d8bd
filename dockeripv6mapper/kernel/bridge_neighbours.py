"""The host's own neighbour entries on the engine's bridges: removed where a MAC may have changed.

An engine before 28 makes a container's MAC from its IPv4 address, and nothing announces the container on its
bridge. So the host would send to the MAC of the container that had the address before, for up to a minute.
"""

import logging
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from errno import EPERM
from ipaddress import IPv6Address

from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.kernel.ndp.neighbours import State
from dockeripv6mapper.kernel.netlink import ATTRIBUTE, NLM_F_ACK, PERMISSION_HINT, RequestSocket
from dockeripv6mapper.kernel.proxies import NDA_DST, NEIGHBOUR, RTM_DELNEIGH, RTM_GETNEIGH
from dockeripv6mapper.model import BridgeAddress

log = logging.getLogger(__name__)

LEARNT = State.REACHABLE | State.STALE | State.DELAY | State.PROBE
"""States of an entry with a MAC that the kernel has learnt. Packets are sent to it at once, so none waits
there. In the state INCOMPLETE packets wait, and there is no MAC yet."""


@dataclass(frozen=True, slots=True)
class _Neighbour:
    address: IPv6Address
    index: int

    def pack(self) -> bytes:
        """The body of a request about the entry."""
        header = NEIGHBOUR.pack(socket.AF_INET6, self.index, 0, 0, 0)
        return header + ATTRIBUTE.pack(ATTRIBUTE.size + 16, NDA_DST) + self.address.packed


class BridgeNeighbours:
    """The neighbour entries of this network namespace. Opens its socket at the first use. Close it."""

    def __init__(self) -> None:
        self._netlink: RequestSocket | None = None

    def forget(self, addresses: Iterable[BridgeAddress]) -> None:
        """Remove the learnt entries for some addresses; the next packet to each solicits it again.

        Entries that a user or another program made permanent stay. Raises `KernelRefusedError`.
        """
        neighbours = [
            _Neighbour(each.address, index)
            for each in addresses
            if (index := _index(each.bridge)) is not None
        ]
        if not neighbours:
            return
        try:
            self._forget(neighbours)
        except OSError as error:
            raise _refused(error) from error

    def _forget(self, neighbours: list[_Neighbour]) -> None:
        if self._netlink is None:
            self._netlink = RequestSocket()
        answers = self._netlink.request(RTM_GETNEIGH, 0, [each.pack() for each in neighbours])
        learnt = [
            each
            for each, answer in zip(neighbours, answers, strict=True)
            if isinstance(answer, bytes) and NEIGHBOUR.unpack_from(answer)[2] & LEARNT
        ]
        if not learnt:
            return
        removed = self._netlink.request(RTM_DELNEIGH, NLM_F_ACK, [each.pack() for each in learnt])
        for each, result in zip(learnt, removed, strict=True):
            if isinstance(result, OSError) and result.errno == EPERM:
                raise result
            log.debug("forgot the MAC of neighbour %s (interface %d)", each.address, each.index)

    def close(self) -> None:
        """Close the socket, if one was opened."""
        if self._netlink is not None:
            self._netlink.close()


def _index(bridge: str) -> int | None:
    """The interface index of a bridge; None: there is none of this name in this network namespace."""
    try:
        return socket.if_nametoindex(bridge)
    except OSError:
        return None


def _refused(error: OSError) -> KernelRefusedError:
    hint = PERMISSION_HINT if error.errno == EPERM else None
    return KernelRefusedError(f"removing neighbour entries: {error.strerror or error}", hint=hint)
