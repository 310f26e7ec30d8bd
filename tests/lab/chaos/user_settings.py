"""The ledger: what the user asked for on each container's networks, and what is somebody else's.

It is written when a user's command succeeds, and never from what the mapper or its code says.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Any

from tests.lab.chaos.steps import OPTION, EndpointOptions, MapperLabels

MARK = "ipv6.mapper.endpoint"
"""The driver option by which the mapper marks endpoints; its value says what kind of endpoint it is."""
TEMPORARY = "restore"

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """What a user asked for on one network."""

    network_id: str
    """The one that the network had then."""
    options: EndpointOptions = field(default_factory=EndpointOptions)
    ipv4: str | None = None
    ipv6: str | None = None
    mac: str | None = None


@dataclass(slots=True)
class ContainerSettings:
    """One container as its user made it."""

    labels: MapperLabels
    networks: dict[str, EndpointSettings]
    """Those that the user attached it to, by name."""
    ipv4_leaked: bool = False
    """Whether a start was refused for an IPv6 address: that burns the IPv4 address (see `Operations`)."""


@dataclass(slots=True)
class UserSettings:
    """All that is not the mapper's."""

    containers: dict[str, ContainerSettings] = field(default_factory=dict)
    """By ID."""
    entries: set[tuple[IPv6Address, str]] = field(default_factory=set)
    """Proxy entries that were made by hand."""

    def engine_restarted(self) -> None:
        """The engine has forgotten which addresses it held for endpoints that it refused."""
        for settings in self.containers.values():
            settings.ipv4_leaked = False

    def missing(self, container_id: str, attached: set[str], networks: Mapping[str, str]) -> set[str]:
        """The networks that the user gave a container, that are still there, and that it is not on."""
        return self._there(container_id, networks).keys() - attached

    def lost_settings(self, inspected: Json, networks: Mapping[str, str]) -> Iterator[str]:
        """What a container lacks of what its user asked for; `networks`: the IDs of those that are there."""
        name, endpoints = inspected["Name"], inspected["NetworkSettings"]["Networks"]
        for network, endpoint in endpoints.items():
            mark = (endpoint.get("DriverOpts") or {}).get(MARK, "")
            if mark.startswith(TEMPORARY):
                yield f"{name} on {network} has an endpoint for a moment: {mark}"
        for network, settings in self._there(inspected["Id"], networks).items():
            if network not in endpoints:
                yield f"{name} is not on {network} any more, which its user gave it"
                continue
            for what in _lost_endpoint_settings(
                settings, endpoints[network], running=inspected["State"]["Running"]
            ):
                yield f"{name} on {network}: {what}"
            if network != self.containers[inspected["Id"]].labels.network:
                yield from _unmapped_changes(settings, endpoints[network], f"{name} on {network}")

    def _there(self, container_id: str, networks: Mapping[str, str]) -> dict[str, EndpointSettings]:
        """What a user asked for on networks that are still there."""
        if (settings := self.containers.get(container_id)) is None:
            return {}
        return {
            name: settings
            for name, settings in settings.networks.items()
            if networks.get(name) == settings.network_id
        }


def _lost_endpoint_settings(settings: EndpointSettings, endpoint: Json, *, running: bool) -> Iterator[str]:
    """What an endpoint does not have of what its user asked for, the IPv6 address left aside."""
    requested = (endpoint.get("IPAMConfig") or {}).get("IPv4Address") or None
    if requested != settings.ipv4:
        yield f"IPv4 address {requested} is requested, and its user asked for {settings.ipv4}"
    if running and settings.ipv4 not in (None, endpoint["IPAddress"]):
        yield f"it has the IPv4 address {endpoint['IPAddress']!r}, and not {settings.ipv4}"
    if running and settings.mac not in (None, endpoint["MacAddress"]):
        yield f"it has the MAC address {endpoint['MacAddress']!r}, and not {settings.mac}"
    for what in ("aliases", "links"):
        lacks = set(getattr(settings.options, what)) - set(endpoint.get(what.capitalize()) or ())
        if lacks:
            yield f"{what} {sorted(lacks)} are gone"
    options = {key: value for key, value in (endpoint.get("DriverOpts") or {}).items() if key != MARK}
    if options != (OPTION if settings.options.option else {}):
        yield f"its driver options are {json.dumps(options)}"


def _unmapped_changes(settings: EndpointSettings, endpoint: Json, where: str) -> Iterator[str]:
    """What was changed where the mapper has nothing to change."""
    requested = (endpoint.get("IPAMConfig") or {}).get("IPv6Address") or None
    if requested != settings.ipv6:
        yield f"{where}: IPv6 address {requested} is requested, and its user asked for {settings.ipv6}"
    if MARK in (endpoint.get("DriverOpts") or {}):
        yield f"{where} carries the mapper's mark"
