"""Containers of the fake engine, and what each release of the engine shows of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dockeripv6mapper.model import Network
from tests.unit.builders import IMAGE

Json = Mapping[str, Any]

SHORT_ID_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Release:
    """How endpoints differ between releases of the engine. Seen on 20.10, 28.5 and 29.7."""

    name: str
    api: tuple[int, int]
    empty_ipv4: bool = False
    """Whether an endpoint for which only an IPv6 address was requested shows `"IPv4Address": ""`."""

    @property
    def mac_is_the_containers(self) -> bool:
        """Whether a MAC address belongs to the container, and so to the endpoint on its first network."""
        return self.api < (1, 44)

    @property
    def makes_mac_of_ipv4(self) -> bool:
        """Whether a generated MAC address is derived from the IPv4 address; else it is random."""
        return self.api < (1, 48)

    @property
    def connect_sets_mac(self) -> bool:
        """Whether a connect honours `EndpointSettings.MacAddress`."""
        return self.api >= (1, 54)

    @property
    def short_id_is_an_alias(self) -> bool:
        """Whether the container's short ID is among an endpoint's aliases."""
        return self.api < (1, 45)

    @property
    def has_priority(self) -> bool:
        """Whether endpoints have a priority for the default gateway."""
        return self.api >= (1, 48)


RELEASES = {
    each.name: each
    for each in (
        Release("20.10", (1, 41)),
        Release("26.1", (1, 45)),
        Release("28.5", (1, 51)),
        Release("29.1", (1, 52), empty_ipv4=True),
        Release("29.7", (1, 56)),
    )
}


@dataclass(slots=True)
class FakeEndpoint:
    """An endpoint of a container: its configuration, and its addresses while the container runs."""

    requested: dict[str, Any]
    """`EndpointSettings` of the request."""
    chosen_mac: str = ""
    """The MAC address that the endpoint gets at each start; "" for a generated one."""
    has_run: bool = False
    network_id: str = ""
    ipv4: str = ""
    ipv6: str = ""
    mac: str = ""

    @property
    def attached(self) -> bool:
        """Whether it has addresses, and is not configuration alone."""
        return bool(self.ipv4)

    def requested_address(self, family: str) -> str:
        """The address that was requested; "" for none."""
        address: str = (self.requested.get("IPAMConfig") or {}).get(family) or ""
        return address

    def detach(self) -> None:
        """Remove its addresses, and keep the configuration."""
        self.ipv4 = self.ipv6 = self.mac = ""


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """What a container's user set on one network."""

    network_id: str
    settings: Json


@dataclass(slots=True)
class FakeContainer:
    """A container in the engine."""

    id: str
    name: str
    created: int
    labels: Mapping[str, str]
    mode: str = "bridge"
    """The network that it was created on."""
    mac: str = ""
    """The MAC address that it was created with."""
    user_settings: dict[str, EndpointSettings] = field(default_factory=dict)
    """What its user set, by the network's name."""
    running: bool = False
    has_run: bool = False
    networks: dict[str, FakeEndpoint] = field(default_factory=dict)


def inspected(container: FakeContainer, release: Release) -> dict[str, Any]:
    """`GET /containers/{id}/json`."""
    status = "running" if container.running else "exited" if container.has_run else "created"
    # Shown up to API 1.51; the mapper does not use a later one.
    mac = {"MacAddress": container.mac} if container.mac else {}
    return {
        "Id": container.id,
        "Name": f"/{container.name}",
        "Created": datetime.fromtimestamp(container.created, UTC).isoformat(),
        "Image": IMAGE,
        "Config": {"Labels": dict(container.labels), **mac},
        "State": {"Status": status, "Running": container.running},
        "HostConfig": {"NetworkMode": container.mode},
        "NetworkSettings": {
            "Networks": {
                name: _shown(endpoint, container, release) for name, endpoint in container.networks.items()
            }
        },
    }


def listed(container: FakeContainer, release: Release) -> dict[str, Any]:
    """An item of `GET /containers/json`, which does not show driver options."""
    shown = inspected(container, release)
    for each in shown["NetworkSettings"]["Networks"].values():
        each["DriverOpts"] = None
    return {
        **shown,
        "Names": [shown["Name"]],
        "ImageID": IMAGE,
        "Labels": container.labels,
        "Created": container.created,
        "State": shown["State"]["Status"],
    }


def _shown(endpoint: FakeEndpoint, container: FakeContainer, release: Release) -> dict[str, Any]:
    """One endpoint. Of a stopped container that has run, the chosen MAC address is not shown."""
    configured_mac = endpoint.requested.get("MacAddress") or endpoint.chosen_mac
    addresses = endpoint.requested.get("IPAMConfig")
    if release.empty_ipv4 and addresses and "IPv4Address" not in addresses:
        addresses = {**addresses, "IPv4Address": ""}
    aliases = list(endpoint.requested.get("Aliases") or ())
    if release.short_id_is_an_alias:
        aliases.append(container.id[:SHORT_ID_DIGITS])
    return {
        "IPAMConfig": addresses,
        "Aliases": aliases or None,
        "Links": endpoint.requested.get("Links"),
        "DriverOpts": endpoint.requested.get("DriverOpts"),
        **({"GwPriority": endpoint.requested.get("GwPriority", 0)} if release.has_priority else {}),
        "MacAddress": endpoint.mac if container.running else "" if endpoint.has_run else configured_mac,
        "NetworkID": endpoint.network_id,
        "EndpointID": "endpoint" if endpoint.attached else "",
        "IPAddress": endpoint.ipv4,
        "GlobalIPv6Address": endpoint.ipv6,
    }


def attach_to(endpoint: FakeEndpoint, network: Network, ipv4: str, ipv6: str, mac: str) -> None:
    """Give an endpoint its addresses, as at the start of its container."""
    endpoint.ipv4, endpoint.ipv6, endpoint.mac = ipv4, ipv6, mac
    endpoint.network_id, endpoint.has_run = network.id, True
