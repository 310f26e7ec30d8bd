"""The observer: what must hold at all times, looked at all the time."""

import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv6Address
from types import TracebackType
from typing import Any, Self

import docker
import requests
from docker.errors import DockerException

from tests.lab.chaos.user_settings import UserSettings
from tests.lab.commands import CommandError
from tests.lab.containers import MAPPER_PROTOCOL
from tests.lab.hosts import Host

EVERY_SECONDS = 0.2
STALE_ENTRY_SECONDS = 2.0
"""How long an entry of ours may outlive its container."""
DETACHED_SECONDS = 5.0
"""How long a move may keep a container off a network: two calls, on a machine that has much else to do."""
TWO_HOLDERS_SECONDS = 1.0
"""A list is not taken at one instant: two that follow each other may both be in it."""


class InvariantMonitor:
    """A thread that watches one host. What did not hold stands in `broken`."""

    def __init__(
        self, host: Host, api: docker.APIClient, user_settings: UserSettings, ended: Callable[[], bool]
    ) -> None:
        """`ended`: whether the daemon has ended by itself."""
        self._host, self._api, self._user_settings, self._ended = host, api, user_settings, ended
        self.broken: dict[str, None] = {}
        self.suspended = threading.Event()
        """Set while the daemon cannot know what it would have to act upon."""
        self._since: dict[str, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="observer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopping.wait(EVERY_SECONDS):
            try:
                violations = dict(self._current_violations())
            except (requests.RequestException, DockerException, CommandError):
                # The engine is away, or the host's link: nothing can be said of this moment.
                violations = {}
            if self.suspended.is_set():
                self._since.clear()
                continue
            now = time.monotonic()
            self._since = {what: self._since.get(what, now) for what in violations}
            for what, since in self._since.items():
                if now - since >= violations[what]:
                    self.broken[f"{what} (for {now - since:.1f} s)"] = None

    def _current_violations(self) -> Iterator[tuple[str, float]]:
        """What is wrong at this moment, each with the seconds for which it may be."""
        if self._ended():
            yield "the daemon has ended by itself", 0.0
        entries = self._host.proxy_entries(MAPPER_PROTOCOL)
        running = self._api.containers()
        holders: dict[IPv6Address, list[str]] = {}
        for container in running:
            for address in _addresses(container):
                holders.setdefault(address, []).append(container["Names"][0])
        for address, link in entries:
            if address not in holders:
                yield f"{address} is proxied on {link}, and no running container has it", STALE_ENTRY_SECONDS
        for address, names in holders.items():
            if len(names) > 1:
                yield f"{address} is held by {' and '.join(sorted(names))}", TWO_HOLDERS_SECONDS
        networks = {network["Name"]: network["Id"] for network in self._api.networks()}
        for container in running:
            attached = set(container["NetworkSettings"]["Networks"])
            for network in self._user_settings.missing(container["Id"], attached, networks):
                yield f"{container['Names'][0]} is not on {network}, which its user gave it", DETACHED_SECONDS


def _addresses(container: dict[str, Any]) -> Iterator[IPv6Address]:
    for endpoint in container["NetworkSettings"]["Networks"].values():
        if address := endpoint.get("GlobalIPv6Address"):
            yield IPv6Address(address)
