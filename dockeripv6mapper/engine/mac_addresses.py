"""MAC addresses: whether the user chose an endpoint's MAC address, as far as the API shows. Pure.

A move is a disconnect and a connect. Before API 1.54 a connect cannot set the MAC address, so that a chosen
one would be lost.
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
"""API of engine 25. Before, the MAC address belongs to the container, and the engine applies it itself."""
MAC_IS_RANDOM = (1, 48)
"""API of engine 28, which generates MAC addresses at random. Before, they are derived from IPv4 addresses."""
CONFIG_HIDES_MAC = (1, 52)
"""API that no longer shows `Config.MacAddress`, the one chosen for the container's first network."""
CONNECT_KEEPS_MAC = (1, 54)
"""API of engine 29.3, the first whose connect takes a MAC address (moby #52040)."""
IPV4_MAC_PREFIX = bytes((0x02, 0x42))
"""First bytes of a MAC address that is derived from an IPv4 address, whose four bytes follow."""


class MacOrigin(Enum):
    """Where an endpoint's MAC address comes from, as far as the API shows."""

    GENERATED = auto()
    """By the engine, or there is none."""
    CHOSEN = auto()
    """By the user."""
    UNKNOWN = auto()
    """A running container shows chosen and generated addresses in the same field (moby #48168)."""
    HIDDEN = auto()
    """A stopped container shows no MAC address."""


@dataclass(frozen=True, slots=True)
class Mac:
    """An endpoint's MAC address."""

    origin: MacOrigin
    address: str = ""


def mac_of(endpoint: Json, inspected: Json, api: tuple[int, int]) -> Mac:
    """An endpoint's MAC address, from an inspection by this version of the API.

    An endpoint that carries our mark has it in the mark. Else it depends on the container's state: a created
    container shows only a chosen address, a running one any address, a stopped one none.
    """
    if api < MAC_BELONGS_TO_ENDPOINT:
        return Mac(MacOrigin.GENERATED)
    if (mark := mark_of(endpoint)) is not None:
        return _chosen(_mac_in_mark(mark, endpoint))
    if api < CONFIG_HIDES_MAC and endpoint is _first_endpoint(inspected):
        return _chosen(inspected["Config"].get(MAC) or "")
    mac = endpoint.get(MAC) or ""
    if inspected["State"]["Status"] == "created":
        return _chosen(mac)
    if not mac:
        # An endpoint of the driver ipvlan never has a MAC address of its own.
        return Mac(MacOrigin.GENERATED if inspected["State"]["Running"] else MacOrigin.HIDDEN)
    return Mac(_origin(mac, endpoint.get("IPAddress") or "", api), mac)


def _mac_in_mark(mark: str, endpoint: Json) -> str:
    """The MAC address that a move carried over; "" for none."""
    if mark.startswith(MOVED):
        return mark.partition(",")[2]
    return str((settings_in_mark(endpoint) or {}).get(MAC) or "")


def _chosen(mac: str) -> Mac:
    """A MAC address that the user chose; "": the user chose none, so the engine generates one."""
    return Mac(MacOrigin.CHOSEN if mac else MacOrigin.GENERATED, mac)


def _origin(mac: str, ipv4: str, api: tuple[int, int]) -> MacOrigin:
    """Where the MAC address of a running container's endpoint, with this IPv4 address, comes from."""
    try:
        octets = bytes.fromhex(mac.replace(":", ""))
        is_derived = bool(ipv4) and octets == IPV4_MAC_PREFIX + IPv4Address(ipv4).packed
    except ValueError:
        return MacOrigin.UNKNOWN
    if is_derived:
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
