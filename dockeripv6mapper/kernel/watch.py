"""The watcher: hears at once of changes that a full pass should look at, and says only that there are some.

The kernel notifies of links, addresses, routes, and of IPv6 settings such as forwarding and proxy_ndp; of
proxy entries it does not. Every container start changes some link, so what does not concern an uplink is
dropped here.
"""

import logging
import os
import selectors
import threading
from collections.abc import Callable

from dockeripv6mapper.kernel.netlink import (
    RTMGRP_IPV6_IFADDR,
    RTMGRP_IPV6_NETCONF,
    RTMGRP_IPV6_ROUTE,
    RTMGRP_LINK,
    messages,
    open_notifications,
)
from dockeripv6mapper.kernel.notifications import Renewals, concerns

log = logging.getLogger(__name__)

GROUPS = RTMGRP_LINK | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE | RTMGRP_IPV6_NETCONF

RECEIVE_BYTES = 1 << 16


class Watcher:
    """Calls `changed` from a thread of its own whenever something concerns the uplinks."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._uplinks: frozenset[int] | None = frozenset()
        self._renewals = Renewals()
        self._wake_reader, self._wake_writer = os.pipe()
        self._socket = open_notifications(GROUPS)
        self._thread = threading.Thread(target=self._run, name="netlink", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def watch(self, uplinks: frozenset[int] | None) -> None:
        """Whose changes matter from now on, by index; None: those of any link."""
        self._uplinks = uplinks

    def stop(self) -> None:
        """End the thread, and close what it used."""
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
                if self._hears_something():
                    self._changed()

    def _hears_something(self) -> bool:
        try:
            datagram = self._socket.recv(RECEIVE_BYTES)
        except OSError as error:
            # ENOBUFS: so much happened that some of it was lost, which is a reason to look.
            log.debug("netlink notifications: %s", error.strerror)
            self._renewals.forget()
            return True
        concerning = [each for each in messages(datagram) if concerns(each.kind, each.body, self._uplinks)]
        return self._renewals.have_news(concerning)
