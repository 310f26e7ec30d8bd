"""The responder: answers solicitations for proxied addresses where the kernel's answers do not get through.

A thread with a raw socket for each uplink. The kernel hands solicitations for a proxy entry's address to raw
sockets too, and goes on answering them. Where a solicitor repeats its solicitation all the same (see
`repeats`), the responder answers too, from the target itself as the source, as a host that has the address
does. It remembers such an uplink until it ends, and writes nothing down: after a restart, the next repeated
solicitation shows it again.

Where the kernel's answers are dropped, its solicitations for forwarded packets are dropped too. So the thread
also solicits routers from a global address of the host (see `neighbours`).
"""

import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from ipaddress import IPv6Address

from dockeripv6mapper.kernel.ndp import neighbours
from dockeripv6mapper.kernel.ndp.messages import (
    MAC_BYTES,
    NEIGHBOR_SOLICITATION,
    Advertisement,
    Solicitation,
    solicited_node,
)
from dockeripv6mapper.kernel.ndp.repeats import Repeats
from dockeripv6mapper.kernel.ndp.sockets import Received, open_socket, receive, send
from dockeripv6mapper.kernel.netlink import RequestSocket
from dockeripv6mapper.model import Host, Link, ProxyEntry
from dockeripv6mapper.settings import NdSource

log = logging.getLogger(__name__)

BATCH = 16
"""How many messages are received at a time."""
REST = 10
"""The thread rests ten times as long as it has worked: a flood costs a tenth of one CPU at most. The kernel
drops what does not fit into the receive queue, and goes on answering."""
WAKE_BYTES = 4096
LOOK_SECONDS = 1.0
"""Interval between two looks at the neighbour cache, where there are entries of ours."""


class ProxiedAddresses:
    """The addresses that we proxy, by uplink. The loop's thread changes it, and the responder's reads it.

    Each change replaces an object, or is one operation on a set or a dict.
    """

    def __init__(self) -> None:
        self.links: Mapping[int, Link] = {}
        """All links, by index."""
        self.routers: Mapping[int, list[IPv6Address]] = {}
        """The default routers, by the index of their link."""
        self.targets: dict[int, set[IPv6Address]] = {}
        """The addresses of our proxy entries, by the index of their uplink."""
        self.claimed: dict[int, set[IPv6Address]] = {}
        """Those of them that no other node has: they were probed. By the index of their uplink."""
        self.uplinks_changed: Callable[[], None] = lambda: None
        """Called by the loop's thread after an uplink was added or removed."""

    def replace(self, host: Host) -> None:
        """Take everything from an observation."""
        routers: dict[int, list[IPv6Address]] = {}
        for router, name in sorted(host.default_routers):
            if (link := host.links.get(name)) is not None:
                routers.setdefault(link.index, []).append(router)
        targets: dict[int, set[IPv6Address]] = {}
        for entry, ours in host.entries.items():
            if ours and (link := host.links.get(entry.uplink)) is not None:
                targets.setdefault(link.index, set()).add(entry.address)
        changed = targets.keys() != self.targets.keys()
        self.links = {link.index: link for link in host.links.values()}
        self.routers, self.targets = routers, targets
        self.claimed = {index: each & targets.get(index, set()) for index, each in self.claimed.items()}
        if changed:
            self.uplinks_changed()

    def add(self, entries: Iterable[ProxyEntry], links: Mapping[str, Link]) -> None:
        """Entries of ours were added."""
        before = len(self.targets)
        for entry in entries:
            if (link := links.get(entry.uplink)) is not None:
                self.targets.setdefault(link.index, set()).add(entry.address)
        if len(self.targets) != before:
            self.uplinks_changed()

    def claim(self, address: IPv6Address, link: Link) -> None:
        """An address was probed, and no other node of the link has it."""
        self.claimed.setdefault(link.index, set()).add(address)

    def remove(self, entries: Iterable[ProxyEntry], links: Mapping[str, Link]) -> None:
        """Entries of ours were removed."""
        for entry in entries:
            if (link := links.get(entry.uplink)) is not None:
                self.targets.get(link.index, set()).discard(entry.address)
                self.claimed.get(link.index, set()).discard(entry.address)


class Responder:
    """Answers for our proxy entries. `start` it once, and `stop` it at the end."""

    def __init__(
        self, proxied: ProxiedAddresses, source: NdSource, answered: Callable[[str], None] = lambda _: None
    ) -> None:
        """`answered`: called on the responder's thread at each answer, with the uplink. Raises `OSError`."""
        self._proxied = proxied
        self._source = source
        self._answered = answered
        self._repeats = Repeats()
        self._filtered: set[int] = set()
        """Indices of the uplinks on which the kernel's answers do not get through."""
        self._look_at = time.monotonic()
        """When to look at the neighbour cache next."""
        self._logged = ""
        """The last unexpected error that was logged."""
        self._stopping = threading.Event()
        self._sender = open_socket()
        self._listeners: dict[int, socket.socket] = {}
        """A socket for each uplink, by its index: containers' solicitations on a bridge cost nothing here."""
        self._netlink = RequestSocket()
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_writer, False)
        proxied.uplinks_changed = self._wake
        self._thread = threading.Thread(target=self._run, name="responder", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, and close its sockets."""
        self._stopping.set()
        self._wake()
        self._thread.join()
        self._proxied.uplinks_changed = lambda: None
        for each in (self._sender, *self._listeners.values()):
            each.close()
        self._netlink.close()
        os.close(self._wake_reader)
        os.close(self._wake_writer)

    def _wake(self) -> None:
        # A full pipe wakes the thread as well.
        with suppress(BlockingIOError):
            os.write(self._wake_writer, b".")

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_reader, selectors.EVENT_READ)
            while not self._stopping.is_set():
                ready = [key.fd for key, _ in selector.select(max(0.0, self._look_at - time.monotonic()))]
                began = time.thread_time()
                if self._wake_reader in ready:
                    os.read(self._wake_reader, WAKE_BYTES)
                try:
                    self._turn(selector)
                except Exception as error:  # noqa: BLE001 - logged; the next turn tries again
                    self._failed(error)
                self._stopping.wait((time.thread_time() - began) * REST)

    def _failed(self, error: Exception) -> None:
        """Log an unexpected error once, and wait a moment."""
        text = f"{type(error).__name__}: {error}"
        if text != self._logged:
            self._logged = text
            log.warning("answering neighbour solicitations failed, trying again: %s", text, exc_info=error)
        self._stopping.wait(LOOK_SECONDS)

    def _turn(self, selector: selectors.BaseSelector) -> None:
        self._listen(selector)
        self._receive()
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            for index in tuple(self._proxied.targets):
                self._solicit_neighbours(index)

    def _listen(self, selector: selectors.BaseSelector) -> None:
        """Have a listener for each uplink with entries of ours, and for no other."""
        uplinks = set(self._proxied.targets)
        for index in self._listeners.keys() - uplinks:
            selector.unregister(self._listeners[index])
            self._listeners.pop(index).close()
        for index in uplinks - self._listeners.keys():
            if (link := self._proxied.links.get(index)) is None:
                continue
            try:
                listener = open_socket([NEIGHBOR_SOLICITATION], link.name)
            except OSError as error:
                # Such as a link that was just renamed: the next turn tries again.
                log.debug("listening for solicitations on %s: %s", link.name, error)
                continue
            selector.register(listener, selectors.EVENT_READ)
            self._listeners[index] = listener

    def _receive(self) -> None:
        """Take some messages from each listener. One that cannot be answered does not stop the others."""
        for listener in self._listeners.values():
            try:
                for received in receive(listener, BATCH):
                    with suppress(OSError):  # no route to the solicitor: the kernel could not answer either
                        self._take(received, time.monotonic())
            except OSError as error:
                log.debug("receiving solicitations: %s", error)

    # --- solicitations from others ------------------------------------------------------------------------

    def _take(self, received: Received, now: float) -> None:
        """Answer a solicitation for an address of ours where the kernel's answer does not get through."""
        link = self._proxied.links.get(received.index)
        targets = self._proxied.targets.get(received.index, set())
        if link is None or (target := target_to_answer(received, link, targets)) is None:
            return
        if not self._is_filtered(link):
            if not self._repeats.is_repeat(link.index, received.source, target, now):
                return
            self._find_filtered(link, received.source)
        message = Advertisement(target, link.mac, solicited=True)
        send(self._sender, message, received.source, index=link.index, source=target)
        self._answered(link.name)

    def _is_filtered(self, link: Link) -> bool:
        return self._source is NdSource.TARGET or link.index in self._filtered

    def _find_filtered(self, link: Link, solicitor: IPv6Address) -> None:
        self._filtered.add(link.index)
        # The host may have no entry for its router, and the container's replies wait for one.
        self._look_at = time.monotonic()
        log.info(
            "uplink %s: the kernel's answers may not reach %s; the daemon answers too, from the solicited "
            "address (--nd-source)",
            link.name,
            solicitor,
        )

    # --- solicitations by the host ------------------------------------------------------------------------

    def _solicit_neighbours(self, index: int) -> None:
        """Solicit, from a global address, the neighbours on an uplink that the kernel may fail to resolve."""
        link, addresses = self._proxied.links.get(index), tuple(self._proxied.targets.get(index, ()))
        if link is None or len(link.mac) != MAC_BYTES or not addresses:
            return
        routers = self._proxied.routers.get(index, [])
        try:
            states = neighbours.read_states(self._netlink, index)
            wanted = neighbours.to_solicit(states, routers, filtered=self._is_filtered(link))
            if wanted:
                listed = neighbours.ADDRESSES.read_text(errors="replace")
                # If the host has none, from one that we proxy: the kernel takes the answer to that too. Not
                # from one that was not claimed: the router would replace another node's MAC address.
                claimed = self._proxied.claimed.get(index, set()).intersection(addresses)
                source = neighbours.global_address(index, listed) or min(claimed, default=None)
                if source is not None:
                    for neighbour in wanted:
                        self._solicit(neighbour, link, source)
        except OSError as error:
            log.debug("soliciting neighbours on %s: %s", link.name, error)

    def _solicit(self, neighbour: IPv6Address, link: Link, source: IPv6Address) -> None:
        """Solicit a neighbour from `source`, by two messages. Raises `OSError`.

        To resolve the first one's destination the kernel solicits it too, from this packet's source. The
        second needs no resolution; its answer completes an entry that the kernel is resolving already.
        """
        for destination in (neighbour, solicited_node(neighbour)):
            message = Solicitation(neighbour, link.mac)
            send(self._sender, message, destination, index=link.index, source=source)


def target_to_answer(received: Received, link: Link, targets: Collection[IPv6Address]) -> IPv6Address | None:
    """The target of a valid solicitation, where it is one of `targets`; None where it must not be answered.

    Left to the kernel: duplicate address detection (from `::`). Ignored: our own messages that a switch
    brings back, and impossible sources.
    """
    match received.message:
        case Solicitation(target, source_mac) if target in targets and source_mac != link.mac:
            source = received.source
            if not (source.is_unspecified or source.is_multicast or source.is_loopback or source in targets):
                return target
    return None
