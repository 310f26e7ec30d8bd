"""The watchers: threads that report changes of the host at once.

`Watcher` reports changes of uplinks, default routes and IPv6 settings, `FirewallWatcher` those that other
programs make to our firewall rules. They report only that something changed; the pass that follows reads
everything. Every container start changes some link and some rules, so notifications that do not matter are
dropped. The kernel sends none for NDP proxy entries, and none for rules of iptables-legacy.
"""

import logging
import os
import selectors
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable

from dockeripv6mapper.kernel import commands
from dockeripv6mapper.kernel.netlink import (
    RECEIVE_BYTES,
    RTMGRP_IPV6_IFADDR,
    RTMGRP_IPV6_NETCONF,
    RTMGRP_IPV6_ROUTE,
    RTMGRP_IPV6_RULE,
    RTMGRP_LINK,
    RTMGRP_NEXTHOP,
    messages,
    open_notifications,
)
from dockeripv6mapper.kernel.nft_notifications import NETLINK_NETFILTER, NFNLGRP_NFTABLES, concerns_mapper
from dockeripv6mapper.kernel.notifications import RenewalFilter, concerns_uplink

log = logging.getLogger(__name__)

GROUPS = (
    RTMGRP_LINK
    | RTMGRP_IPV6_IFADDR
    | RTMGRP_IPV6_ROUTE
    | RTMGRP_IPV6_RULE
    | RTMGRP_IPV6_NETCONF
    | RTMGRP_NEXTHOP
)


class NotificationThread(ABC):
    """A thread that receives notifications, and calls `changed` after each change that matters."""

    def __init__(self, name: str, notifications: socket.socket, changed: Callable[[], None]) -> None:
        self._socket = notifications
        self._changed = changed
        self._wake_reader, self._wake_writer = os.pipe()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, and close its sockets."""
        os.write(self._wake_writer, b".")
        self._thread.join()
        self._socket.close()
        os.close(self._wake_reader)
        os.close(self._wake_writer)

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._wake_reader, selectors.EVENT_READ)
            while all(key.fileobj is not self._wake_reader for key, _ in selector.select()):
                if self._receive_change():
                    self._changed()

    def _receive_change(self) -> bool:
        """Receive one datagram; returns whether it reports a change that matters."""
        try:
            datagram = self._socket.recv(RECEIVE_BYTES)
        except OSError as error:
            # ENOBUFS: the receive buffer overflowed and notifications were lost, so assume a change.
            log.debug("netlink notifications: %s", error.strerror)
            self._lost()
            return True
        return self._is_change(datagram)

    def _lost(self) -> None:  # noqa: B027 - most threads have nothing to do then
        """Notifications were lost."""

    @abstractmethod
    def _is_change(self, datagram: bytes) -> bool:
        """Whether one of a datagram's messages reports a change that matters."""


class Watcher(NotificationThread):
    """Calls `changed` from its own thread after each change that concerns an uplink."""

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__("netlink", open_notifications(GROUPS), changed)
        self._uplinks: frozenset[int] | None = frozenset()
        self._renewals = RenewalFilter()

    def watch(self, uplinks: frozenset[int] | None) -> None:
        """Set the uplinks, by interface index; None: an uplink does not exist yet, so watch all links."""
        self._uplinks = uplinks

    def _lost(self) -> None:
        self._renewals.forget()

    def _is_change(self, datagram: bytes) -> bool:
        received = messages(datagram)
        concerning = [each for each in received if concerns_uplink(each.kind, each.body, self._uplinks)]
        return self._renewals.any_change(concerning)


class FirewallWatcher(NotificationThread):
    """Calls `changed` from its own thread after another program changed our rules in nftables.

    Raises `OSError` where nftables is not available or CAP_NET_ADMIN is missing.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__("nftables", open_notifications(NFNLGRP_NFTABLES, NETLINK_NETFILTER), changed)

    def _is_change(self, datagram: bytes) -> bool:
        return any(concerns_mapper(each, commands.is_own) for each in messages(datagram))
