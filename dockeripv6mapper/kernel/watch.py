"""The watcher: a thread that reports changes of uplinks, default routes and IPv6 settings at once.

Reports only that something changed; the full pass that follows reads everything. Every container start
changes some link, so notifications that concern no uplink are dropped. The kernel sends none for NDP proxy
entries.
"""

import logging
import os
import selectors
import threading
from collections.abc import Callable

from dockeripv6mapper.kernel.netlink import (
    RECEIVE_BYTES,
    RTMGRP_IPV6_IFADDR,
    RTMGRP_IPV6_NETCONF,
    RTMGRP_IPV6_ROUTE,
    RTMGRP_LINK,
    messages,
    open_notifications,
)
from dockeripv6mapper.kernel.notifications import RenewalFilter, concerns_uplink

log = logging.getLogger(__name__)

GROUPS = RTMGRP_LINK | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE | RTMGRP_IPV6_NETCONF


class Watcher:
    """Calls `changed` from its own thread after each change that concerns an uplink."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._uplinks: frozenset[int] | None = frozenset()
        self._renewals = RenewalFilter()
        self._wake_reader, self._wake_writer = os.pipe()
        self._socket = open_notifications(GROUPS)
        self._thread = threading.Thread(target=self._run, name="netlink", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def watch(self, uplinks: frozenset[int] | None) -> None:
        """Set the uplinks, by interface index; None: an uplink does not exist yet, so watch all links."""
        self._uplinks = uplinks

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
        """Receive one datagram; returns whether it reports a change that concerns an uplink."""
        try:
            datagram = self._socket.recv(RECEIVE_BYTES)
        except OSError as error:
            # ENOBUFS: the receive buffer overflowed and notifications were lost, so assume a change.
            log.debug("netlink notifications: %s", error.strerror)
            self._renewals.forget()
            return True
        received = messages(datagram)
        concerning = [each for each in received if concerns_uplink(each.kind, each.body, self._uplinks)]
        return self._renewals.any_change(concerning)
