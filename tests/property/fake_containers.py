"""Containers as the fake engine keeps them, and as it shows them: which release shows what."""

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
    """A release of the engine, as far as endpoints differ between releases. Seen on 20.10, 28.5 and 29.7."""

    name: str
    api: tuple[int, int]
    empty_ipv4: bool = False
    """Whether an endpoint for which only an IPv6 address was requested shows `"IPv4Address": ""`."""

    @property
    def mac_is_the_containers(self) -> bool:
        """Whether a MAC address is the container's; its first network's endpoint has it, however it came."""
        return self.api < (1, 44)

    @property
    def makes_mac_of_ipv4(self) -> bool:
        """Whether a MAC address that nobody chose is made of the IPv4 address; else it is random."""
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
    """An endpoint of a container: its configuration, and what it has while the container runs."""

    asked: dict[str, Any]
    """`EndpointSettings` as they were requested."""
    chosen_mac: str = ""
    """The MAC address that it will have at each start."""
    has_run: bool = False
    network_id: str = ""
    ipv4: str = ""
    ipv6: str = ""
    mac: str = ""

    @property
    def attached(self) -> bool:
        """Whether it is more than configuration."""
        return bool(self.ipv4)

    def requested(self, family: str) -> str:
        """The address that was requested; "" for none."""
        address: str = (self.asked.get("IPAMConfig") or {}).get(family) or ""
        return address

    def detach(self) -> None:
        """Leave only the configuration."""
        self.ipv4 = self.ipv6 = self.mac = ""


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """What a container's user asked for on one network."""

    network_id: str
    settings: Json


@dataclass(slots=True)
class FakeContainer:
    """A container as the engine keeps it."""

    id: str
    name: str
    created: int
    labels: Mapping[str, str]
    mode: str = "bridge"
    """The network that it was created on."""
    mac: str = ""
    """The MAC address that it was created with."""
    given: dict[str, EndpointSettings] = field(default_factory=dict)
    """What its user asked for, by the network's name."""
    running: bool = False
    has_run: bool = False
    networks: dict[str, FakeEndpoint] = field(default_factory=dict)


def inspected(box: FakeContainer, release: Release) -> dict[str, Any]:
    """`GET /containers/{id}/json`."""
    status = "running" if box.running else "exited" if box.has_run else "created"
    # API 1.52 no longer shows it, which the mapper does not speak.
    mac = {"MacAddress": box.mac} if box.mac else {}
    return {
        "Id": box.id,
        "Name": f"/{box.name}",
        "Created": datetime.fromtimestamp(box.created, UTC).isoformat(),
        "Image": IMAGE,
        "Config": {"Labels": dict(box.labels), **mac},
        "State": {"Status": status, "Running": box.running},
        "HostConfig": {"NetworkMode": box.mode},
        "NetworkSettings": {
            "Networks": {name: _shown(plug, box, release) for name, plug in box.networks.items()}
        },
    }


def listed(box: FakeContainer, release: Release) -> dict[str, Any]:
    """An item of `GET /containers/json`, which does not show driver options."""
    shown = inspected(box, release)
    for endpoint in shown["NetworkSettings"]["Networks"].values():
        endpoint["DriverOpts"] = None
    return {
        **shown,
        "Names": [shown["Name"]],
        "ImageID": IMAGE,
        "Labels": box.labels,
        "Created": box.created,
        "State": shown["State"]["Status"],
    }


def _shown(plug: FakeEndpoint, box: FakeContainer, release: Release) -> dict[str, Any]:
    """One endpoint. The chosen MAC address of one that was attached once, and is not now, is not shown."""
    configured_mac = plug.asked.get("MacAddress") or plug.chosen_mac
    addresses = plug.asked.get("IPAMConfig")
    if release.empty_ipv4 and addresses and "IPv4Address" not in addresses:
        addresses = {**addresses, "IPv4Address": ""}
    aliases = list(plug.asked.get("Aliases") or ())
    if release.short_id_is_an_alias:
        aliases.append(box.id[:SHORT_ID_DIGITS])
    return {
        "IPAMConfig": addresses,
        "Aliases": aliases or None,
        "Links": plug.asked.get("Links"),
        "DriverOpts": plug.asked.get("DriverOpts"),
        **({"GwPriority": plug.asked.get("GwPriority", 0)} if release.has_priority else {}),
        "MacAddress": plug.mac if box.running else "" if plug.has_run else configured_mac,
        "NetworkID": plug.network_id,
        "EndpointID": "endpoint" if plug.attached else "",
        "IPAddress": plug.ipv4,
        "GlobalIPv6Address": plug.ipv6,
    }


def attach_to(plug: FakeEndpoint, network: Network, ipv4: str, ipv6: str, mac: str) -> None:
    """Give an endpoint what it has while its container runs."""
    plug.ipv4, plug.ipv6, plug.mac = ipv4, ipv6, mac
    plug.network_id, plug.has_run = network.id, True
