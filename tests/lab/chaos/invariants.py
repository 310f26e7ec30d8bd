"""Invariants: what must hold at all times, checked several times a second."""

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

CHECK_SECONDS = 0.2
"""Between two checks."""
STALE_ENTRY_SECONDS = 2.0
"""How long a proxy entry of the mapper may outlive its container."""
DETACHED_SECONDS = 5.0
"""How long a move may keep a container off a network: two engine calls, on a busy machine."""
TWO_HOLDERS_SECONDS = 1.0
"""The engine's list is no snapshot of one instant: an old and a new holder may both be in it."""


class InvariantMonitor:
    """A thread that checks one host. Violations are collected in `violations`."""

    def __init__(
        self, host: Host, api: docker.APIClient, user_settings: UserSettings, ended: Callable[[], bool]
    ) -> None:
        """`ended`: whether the daemon has ended by itself."""
        self._host, self._api, self._user_settings, self._ended = host, api, user_settings, ended
        self.violations: dict[str, None] = {}
        """An ordered set."""
        self.suspended = threading.Event()
        """Set while the daemon cannot know the state of engine and kernel: nothing is checked."""
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
        while not self._stopping.wait(CHECK_SECONDS):
            try:
                current = dict(self._current_violations())
            except (requests.RequestException, DockerException, CommandError):
                # The engine or the link is down: this moment cannot be judged.
                current = {}
            if self.suspended.is_set():
                self._since.clear()
                continue
            now = time.monotonic()
            self._since = {violation: self._since.get(violation, now) for violation in current}
            for violation, since in self._since.items():
                if now - since >= current[violation]:
                    self.violations[f"{violation} (for {now - since:.1f} s)"] = None

    def _current_violations(self) -> Iterator[tuple[str, float]]:
        """The present violations, each with the seconds for which it is allowed."""
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
                yield f"{container['Names'][0]} is not on {network}, as its user set", DETACHED_SECONDS


def _addresses(container: dict[str, Any]) -> Iterator[IPv6Address]:
    for endpoint in container["NetworkSettings"]["Networks"].values():
        if address := endpoint.get("GlobalIPv6Address"):
            yield IPv6Address(address)
