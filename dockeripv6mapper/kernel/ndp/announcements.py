"""The messages that announce an address on an uplink, and the answers to its probe.

The kernel announces nothing when a proxy entry is added. When which message is sent is decided in
`controller/announcements`.

| message | effect at a router that has no entry | an incomplete entry | another MAC |
|---|---|---|---|
| advertisement without override | none | completes it | none: it only becomes stale |
| advertisement with override | none | completes it | replaces it |
| solicitation from the address, with link-layer option | makes one | completes it | replaces it |

The advertisements follow RFC 4861 §7.2.5, the solicitation §7.2.3. It goes to the router's solicited-node
group: that needs no neighbour entry of our own for the router, which may be stale at that moment, and the
receiver treats it as one to its unicast address.
"""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv6Address

from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.kernel.ndp.messages import (
    ALL_NODES,
    ALL_ROUTERS,
    MAC_BYTES,
    NEIGHBOR_ADVERTISEMENT,
    NEIGHBOR_SOLICITATION,
    NONCE_BYTES,
    Advertisement,
    RouterSolicitation,
    Solicitation,
    solicited_node,
)
from dockeripv6mapper.kernel.ndp.sockets import (
    PERMISSION_HINT,
    Received,
    open_packet_socket,
    open_socket,
    receive,
    send,
    send_unspecified,
)
from dockeripv6mapper.model import Link

ANSWER_TYPES = (NEIGHBOR_SOLICITATION, NEIGHBOR_ADVERTISEMENT)
ANNOUNCING = "announcing addresses"
"""The beginning of an error's text. Which address it was does not matter: the cause is the link's."""
MAX_RECEIVED = 512
"""Messages of a link that are handled at a time. A receive queue of the default length holds fewer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Another node says that it has an address: an advertisement, or a probe of its own."""

    address: IPv6Address
    index: int
    """The index of the link that it arrived on."""
    mac: bytes | None
    """Six bytes; None for a probe, which does not say (RFC 4862 §5.4.2)."""


class Announcer:
    """Sends the messages, and receives answers. Opens its sockets at the first message. Close it.

    Every method that sends does nothing on a link without an Ethernet address, and raises
    `KernelRefusedError`.
    """

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        """Sends messages from any address but `::`."""
        self._packets: socket.socket | None = None
        """Sends the probes, which come from `::`."""
        self._listeners: dict[int, socket.socket] = {}
        """Receive the answers, one on each link, by its index: containers cannot fill an uplink's queue."""
        self._nonce = os.urandom(NONCE_BYTES)
        """By it a probe of ours is known that a switch or another uplink brings back (RFC 7527 §4.2)."""

    def advertise(self, address: IPv6Address, link: Link, *, override: bool) -> None:
        """Advertise to all nodes that the address is at the link's MAC address.

        From the address itself: some providers drop what comes from a link-local address.
        """
        message = Advertisement(address, link.mac, override=override)
        self._send(ANNOUNCING, link, partial(self._from, address, message, ALL_NODES))

    def probe(self, address: IPv6Address, link: Link) -> None:
        """Ask whether another node has the address; from now on, receive answers."""
        message = Solicitation(address, nonce=self._nonce)

        def send_probe(link: Link) -> None:
            if link.index not in self._listeners:
                self._listeners[link.index] = open_socket(ANSWER_TYPES, link.name)
            if self._packets is None:
                self._packets = open_packet_socket()
            send_unspecified(self._packets, message, solicited_node(address), index=link.index)

        self._send(ANNOUNCING, link, send_probe)

    def solicit(self, address: IPv6Address, link: Link, router: IPv6Address) -> None:
        """Solicit a router from the address, so that the router learns the address's MAC address."""
        message = Solicitation(router, link.mac)
        self._send(ANNOUNCING, link, partial(self._from, address, message, solicited_node(router)))

    def solicit_router(self, link: Link) -> None:
        """Send a Router Solicitation. The kernel uses the link's link-local address as the source."""
        message = RouterSolicitation(link.mac)
        self._send("soliciting routers", link, partial(self._from, None, message, ALL_ROUTERS))

    def answers(self) -> list[Answer]:
        """The answers received since the last call. Raises `KernelRefusedError`."""
        answers = []
        try:
            for listener in self._listeners.values():
                answers += [
                    answer
                    for received in receive(listener, MAX_RECEIVED)
                    if (answer := self._answer(received)) is not None
                ]
        except OSError as error:
            raise KernelRefusedError(f"receiving answers to probes: {error.strerror}") from error
        return answers

    def _answer(self, received: Received) -> Answer | None:
        """The answer in a message; None if it is none, as an advertisement that does not say a MAC address.

        Such an advertisement is to be discarded by a receiver that does not know the MAC (RFC 4861 §7.2.5).
        """
        match received.message:
            case Advertisement(target, bytes(mac)):
                return Answer(target, received.index, mac)
            case Solicitation(target, nonce=nonce):
                if received.source.is_unspecified and nonce != self._nonce:
                    return Answer(target, received.index, None)
        return None

    def ignore_answers(self) -> None:
        """Receive no answers until the next probe."""
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()

    def close(self) -> None:
        """Close the sockets that were opened."""
        self.ignore_answers()
        for each in (self._socket, self._packets):
            if each is not None:
                each.close()

    def _send(self, doing: str, link: Link, send_on: Callable[[Link], None]) -> None:
        if len(link.mac) != MAC_BYTES:
            return
        try:
            send_on(link)
        except OSError as error:
            hint = PERMISSION_HINT if isinstance(error, PermissionError) else None
            raise KernelRefusedError(f"{doing} on {link.name}: {error.strerror}", hint=hint) from error

    def _from(
        self,
        source: IPv6Address | None,
        message: Solicitation | Advertisement | RouterSolicitation,
        destination: IPv6Address,
        link: Link,
    ) -> None:
        send(self._open(), message, destination, index=link.index, source=source)

    def _open(self) -> socket.socket:
        if self._socket is None:
            self._socket = open_socket()
        return self._socket
