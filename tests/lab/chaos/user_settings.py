"""A record of what users set on each container's networks, and of foreign proxy entries.

Written after each successful command of a user. It never uses what the mapper or its code reports.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Any

from tests.lab.chaos.steps import OPTION, EndpointOptions, MapperLabels

MARK = "ipv6.mapper.endpoint"
"""The driver option that marks the mapper's endpoints; its value names the kind of endpoint."""
TEMPORARY = "restore"
"""Prefix of the mark of an endpoint that does not have all of its user's settings yet."""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """What a user set on one network."""

    network_id: str
    """The network's ID at that time; a recreated network has another."""
    options: EndpointOptions = field(default_factory=EndpointOptions)
    ipv4: str | None = None
    ipv6: str | None = None
    mac: str | None = None


@dataclass(slots=True)
class ContainerSettings:
    """One container's settings, as its user made them."""

    labels: MapperLabels
    networks: dict[str, EndpointSettings]
    """The networks that the user attached it to, by name."""
    ipv4_leaked: bool = False
    """Whether the engine leaked its IPv4 address, so that it cannot start before the engine restarts.

    See `Operations._record_start`.
    """


@dataclass(slots=True)
class UserSettings:
    """Everything that the mapper must preserve."""

    containers: dict[str, ContainerSettings] = field(default_factory=dict)
    """By ID."""
    entries: set[tuple[IPv6Address, str]] = field(default_factory=set)
    """Foreign proxy entries: (address, link)."""

    def engine_restarted(self) -> None:
        """Record a restart: the engine frees the addresses that it leaked."""
        for settings in self.containers.values():
            settings.ipv4_leaked = False

    def missing(self, container_id: str, attached: set[str], networks: Mapping[str, str]) -> set[str]:
        """The existing networks that the user attached a container to, and that it is not on now."""
        return self._on_existing_networks(container_id, networks).keys() - attached

    def lost_settings(self, inspected: Json, networks: Mapping[str, str]) -> Iterator[str]:
        """The user's settings that a container has lost. `networks`: IDs of existing networks, by name."""
        name, endpoints = inspected["Name"], inspected["NetworkSettings"]["Networks"]
        for network, endpoint in endpoints.items():
            mark = (endpoint.get("DriverOpts") or {}).get(MARK, "")
            if mark.startswith(TEMPORARY):
                yield f"{name} on {network} still has a temporary endpoint: {mark}"
        for network, settings in self._on_existing_networks(inspected["Id"], networks).items():
            if network not in endpoints:
                yield f"{name} is no longer attached to {network}, as its user set"
                continue
            for lost in _lost_endpoint_settings(
                settings, endpoints[network], running=inspected["State"]["Running"]
            ):
                yield f"{name} on {network}: {lost}"
            if network != self.containers[inspected["Id"]].labels.network:
                yield from _unmapped_changes(settings, endpoints[network], f"{name} on {network}")

    def _on_existing_networks(
        self, container_id: str, networks: Mapping[str, str]
    ) -> dict[str, EndpointSettings]:
        """A container's settings on the networks that still exist."""
        if (settings := self.containers.get(container_id)) is None:
            return {}
        return {
            name: settings
            for name, settings in settings.networks.items()
            if networks.get(name) == settings.network_id
        }


def _lost_endpoint_settings(settings: EndpointSettings, endpoint: Json, *, running: bool) -> Iterator[str]:
    """The user's settings that an endpoint has lost. The IPv6 address is not checked: it is the mapper's."""
    requested = (endpoint.get("IPAMConfig") or {}).get("IPv4Address") or None
    if requested != settings.ipv4:
        yield f"IPv4 address {requested} is requested, its user set {settings.ipv4}"
    if running and settings.ipv4 not in (None, endpoint["IPAddress"]):
        yield f"IPv4 address is {endpoint['IPAddress']!r}, not {settings.ipv4}"
    if running and settings.mac not in (None, endpoint["MacAddress"]):
        yield f"MAC address is {endpoint['MacAddress']!r}, not {settings.mac}"
    for kind in ("aliases", "links"):
        lost = set(getattr(settings.options, kind)) - set(endpoint.get(kind.capitalize()) or ())
        if lost:
            yield f"{kind} {sorted(lost)} are lost"
    options = {key: value for key, value in (endpoint.get("DriverOpts") or {}).items() if key != MARK}
    if options != (OPTION if settings.options.option else {}):
        yield f"its driver options are {json.dumps(options)}"


def _unmapped_changes(settings: EndpointSettings, endpoint: Json, where: str) -> Iterator[str]:
    """Changes on a network that the mapper has nothing to do with."""
    requested = (endpoint.get("IPAMConfig") or {}).get("IPv6Address") or None
    if requested != settings.ipv6:
        yield f"{where}: IPv6 address {requested} is requested, its user set {settings.ipv6}"
    if MARK in (endpoint.get("DriverOpts") or {}):
        yield f"{where} carries the mapper's mark"
