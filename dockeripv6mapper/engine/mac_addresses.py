"""MAC addresses: whether an endpoint's was chosen by its user, as far as the API shows. Pure.

A move makes the endpoint anew, and before API 1.54 no connect can give it a MAC address.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import IPv4Address
from typing import Any

from dockeripv6mapper.engine.endpoint_settings import MAC, mark_of, settings_in_mark
from dockeripv6mapper.engine.translate import MOVED

Json = Mapping[str, Any]

MAC_BELONGS_TO_ENDPOINT = (1, 44)
"""API of engine 25. Earlier, the MAC address is the container's, and the engine applies it itself."""
MAC_IS_RANDOM = (1, 48)
"""API of engine 28, which generates MAC addresses at random. Earlier ones are made of the IPv4 address."""
CONFIG_HIDES_MAC = (1, 52)
"""API since which `Config.MacAddress`, the one chosen for the container's first network, is not shown."""
CONNECT_KEEPS_MAC = (1, 54)
"""API of engine 29.3, since which a connect takes a MAC address (moby #52040)."""
IPV4_MAC_PREFIX = bytes((0x02, 0x42))
"""First bytes of a MAC address that is made of an IPv4 address."""


class MacOrigin(Enum):
    """Where an endpoint's MAC address comes from, as far as the API shows."""

    GENERATED = auto()
    CHOSEN = auto()
    UNKNOWN = auto()
    """The same field shows a chosen and a generated address while the container runs (moby #48168)."""
    HIDDEN = auto()
    """A stopped container's endpoint does not show its MAC address."""


@dataclass(frozen=True, slots=True)
class Mac:
    """An endpoint's MAC address."""

    origin: MacOrigin
    address: str = ""


def mac_of(endpoint: Json, inspected: Json, api: tuple[int, int]) -> Mac:
    """An endpoint's MAC address, as an inspection by this version of the API shows it.

    Of an endpoint that carries our mark: what the mark says. A created container's endpoint shows a chosen
    address only, a running one's any, a stopped one's none.
    """
    if api < MAC_BELONGS_TO_ENDPOINT:
        return Mac(MacOrigin.GENERATED)
    if (mark := mark_of(endpoint)) is not None:
        noted = settings_in_mark(endpoint) or {}
        return _if_any(mark.partition(",")[2] if mark.startswith(MOVED) else str(noted.get(MAC) or ""))
    if api < CONFIG_HIDES_MAC and endpoint is _first_endpoint(inspected):
        return _if_any(inspected["Config"].get(MAC) or "")
    shown = endpoint.get(MAC) or ""
    if inspected["State"]["Status"] == "created":
        return _if_any(shown)
    if not shown:
        # An endpoint of the driver ipvlan never has one of its own.
        return Mac(MacOrigin.GENERATED if inspected["State"]["Running"] else MacOrigin.HIDDEN)
    return Mac(_origin(shown, endpoint.get("IPAddress") or "", api), shown)


def _if_any(chosen: str) -> Mac:
    return Mac(MacOrigin.CHOSEN if chosen else MacOrigin.GENERATED, chosen)


def _origin(mac: str, ipv4: str, api: tuple[int, int]) -> MacOrigin:
    """Where the MAC address of a running container comes from."""
    try:
        octets = bytes.fromhex(mac.replace(":", ""))
        made_of_ipv4 = bool(ipv4) and octets == IPV4_MAC_PREFIX + IPv4Address(ipv4).packed
    except ValueError:
        return MacOrigin.UNKNOWN
    if made_of_ipv4:
        return MacOrigin.GENERATED
    return MacOrigin.CHOSEN if api < MAC_IS_RANDOM else MacOrigin.UNKNOWN


def _first_endpoint(inspected: Json) -> Json | None:
    """The endpoint on the network that the container was created on."""
    mode = inspected["HostConfig"]["NetworkMode"]
    networks = inspected["NetworkSettings"]["Networks"] or {}
    name = "bridge" if mode == "default" else mode
    for key, endpoint in networks.items():
        if endpoint and name in (key, endpoint.get("NetworkID")):
            first: Json = endpoint
            return first
    return None
