"""The ledger: what the user asked for on each container's networks, and what is somebody else's.

It is written when a user's command succeeds, and never from what the mapper or its code says.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import Any

from tests.lab.chaos.steps import OPTION, Asks, Wishes

MARK = "ipv6.mapper.endpoint"
"""The driver option by which the mapper marks endpoints; its value says what kind of endpoint it is."""
FOR_A_MOMENT = "restore"

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Attachment:
    """What a user asked for on one network."""

    network_id: str
    """The one that the network had then."""
    wishes: Wishes = field(default_factory=Wishes)
    ipv4: str | None = None
    ipv6: str | None = None
    mac: str | None = None


@dataclass(slots=True)
class Given:
    """One container as its user made it."""

    asks: Asks
    networks: dict[str, Attachment]
    """Those that the user attached it to, by name."""
    unstartable_until_restart: bool = False
    """Whether a start was refused for an IPv6 address: that burns the IPv4 address (see `Operations`)."""


@dataclass(slots=True)
class Ledger:
    """All that is not the mapper's."""

    containers: dict[str, Given] = field(default_factory=dict)
    """By ID."""
    entries: set[tuple[IPv6Address, str]] = field(default_factory=set)
    """Proxy entries that were made by hand."""

    def engine_restarted(self) -> None:
        """The engine has forgotten which addresses it held for endpoints that it refused."""
        for given in self.containers.values():
            given.unstartable_until_restart = False

    def missing(self, container_id: str, attached: set[str], networks: Mapping[str, str]) -> set[str]:
        """The networks that the user gave a container, that are still there, and that it is not on."""
        return self._there(container_id, networks).keys() - attached

    def losses(self, inspected: Json, networks: Mapping[str, str]) -> Iterator[str]:
        """What a container lacks of what its user asked for; `networks`: the IDs of those that are there."""
        name, endpoints = inspected["Name"], inspected["NetworkSettings"]["Networks"]
        for network, endpoint in endpoints.items():
            mark = (endpoint.get("DriverOpts") or {}).get(MARK, "")
            if mark.startswith(FOR_A_MOMENT):
                yield f"{name} on {network} has an endpoint for a moment: {mark}"
        for network, attachment in self._there(inspected["Id"], networks).items():
            if network not in endpoints:
                yield f"{name} is not on {network} any more, which its user gave it"
                continue
            for what in _losses(attachment, endpoints[network], running=inspected["State"]["Running"]):
                yield f"{name} on {network}: {what}"
            if network != self.containers[inspected["Id"]].asks.network:
                yield from _changes(attachment, endpoints[network], f"{name} on {network}")

    def _there(self, container_id: str, networks: Mapping[str, str]) -> dict[str, Attachment]:
        """What a user asked for on networks that are still there."""
        if (given := self.containers.get(container_id)) is None:
            return {}
        return {
            name: attachment
            for name, attachment in given.networks.items()
            if networks.get(name) == attachment.network_id
        }


def _losses(attachment: Attachment, endpoint: Json, *, running: bool) -> Iterator[str]:
    """What an endpoint does not have of what its user asked for, the IPv6 address left aside."""
    requested = (endpoint.get("IPAMConfig") or {}).get("IPv4Address") or None
    if requested != attachment.ipv4:
        yield f"IPv4 address {requested} is requested, and its user asked for {attachment.ipv4}"
    if running and attachment.ipv4 not in (None, endpoint["IPAddress"]):
        yield f"it has the IPv4 address {endpoint['IPAddress']!r}, and not {attachment.ipv4}"
    if running and attachment.mac not in (None, endpoint["MacAddress"]):
        yield f"it has the MAC address {endpoint['MacAddress']!r}, and not {attachment.mac}"
    for what in ("aliases", "links"):
        lacks = set(getattr(attachment.wishes, what)) - set(endpoint.get(what.capitalize()) or ())
        if lacks:
            yield f"{what} {sorted(lacks)} are gone"
    options = {key: value for key, value in (endpoint.get("DriverOpts") or {}).items() if key != MARK}
    if options != (OPTION if attachment.wishes.option else {}):
        yield f"its driver options are {json.dumps(options)}"


def _changes(attachment: Attachment, endpoint: Json, where: str) -> Iterator[str]:
    """What was changed where the mapper has nothing to change."""
    requested = (endpoint.get("IPAMConfig") or {}).get("IPv6Address") or None
    if requested != attachment.ipv6:
        yield f"{where}: IPv6 address {requested} is requested, and its user asked for {attachment.ipv6}"
    if MARK in (endpoint.get("DriverOpts") or {}):
        yield f"{where} carries the mapper's mark"
