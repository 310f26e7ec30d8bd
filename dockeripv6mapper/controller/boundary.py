"""The boundary: what the controller asks of the engine and of the kernel, and nothing more.

`engine` and `kernel` are the real ones. The controller's unit tests stand theirs here.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

from dockeripv6mapper.engine.client import Snapshot
from dockeripv6mapper.kernel.proxies import Outcome
from dockeripv6mapper.model import (
    Container,
    EndpointAction,
    FirewallRules,
    Host,
    Network,
    ProxyEntry,
    SysctlChange,
)


class EngineLists(Protocol):
    """Looking at the engine. All may raise `MapperError`, and may take long."""

    def snapshot(self) -> Snapshot: ...
    def networks(self) -> tuple[Network, ...]: ...
    def container(self, container_id: str) -> Container | None: ...
    def image_labels(self, image: str) -> Mapping[str, str]: ...


class EngineEndpoints(Protocol):
    """Changing what containers are attached to."""

    def apply(self, action: EndpointAction) -> bool:
        """Carry out one action; returns whether it did anything. May raise `MapperError`; may take long."""

    def unfinished(self, container_id: str) -> bool: ...
    def prune(self, container_ids: Iterable[str]) -> None: ...


class HostKernel(Protocol):
    """Looking at the host's kernel, and changing it. Quick."""

    def observe(self) -> Host: ...
    def read_sysctls(self, keys: Iterable[str]) -> Mapping[str, str | None]: ...
    def write_sysctl(self, change: SysctlChange) -> None: ...
    def add_proxies(self, entries: Iterable[ProxyEntry]) -> Outcome: ...
    def remove_proxies(self, entries: Iterable[ProxyEntry]) -> Outcome: ...
    def observe_firewall(self) -> FirewallRules: ...
    def apply_firewall(self, rules: FirewallRules) -> None: ...
    def check_hooks(self, mark: int) -> list[str]: ...
