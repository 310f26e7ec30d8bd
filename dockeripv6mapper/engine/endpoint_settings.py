"""Endpoint settings: the API's `EndpointSettings`, inspected and to attach a container with. Pure.

What the user set on an endpoint is carried through a move and back; what was asked for by us is marked.
"""

from collections.abc import Mapping
from ipaddress import IPv6Address
from typing import Any

from dockeripv6mapper.actions import Reconnect
from dockeripv6mapper.engine.translate import MARK, ipv6

Json = Mapping[str, Any]

ADDED = "added"
"""Value of the mark on an endpoint that is ours altogether."""
MOVED = "moved:"
"""Its beginning on an endpoint of the user's; the address that the user asked for follows, if any."""

KEPT_FIELDS = ("Links", "DriverOpts", "GwPriority")
"""What an `EndpointSettings` says of the user's wishes, besides addresses and aliases."""

SHORT_ID_DIGITS = 12


def kept(endpoint: Json, inspected: Json) -> dict[str, Any]:
    """What the user set on an endpoint, as the API takes it.

    The engine adds the container's short ID to the aliases itself.
    """
    settings = {field: endpoint[field] for field in KEPT_FIELDS if endpoint.get(field)}
    if addresses := endpoint.get("IPAMConfig"):
        settings["IPAMConfig"] = dict(addresses)
    short_id = inspected["Id"][:SHORT_ID_DIGITS]
    if aliases := [alias for alias in endpoint.get("Aliases") or () if alias != short_id]:
        settings["Aliases"] = aliases
    return settings


def added(address: IPv6Address) -> dict[str, Any]:
    """An endpoint that is ours altogether."""
    return {"IPAMConfig": {"IPv6Address": str(address)}, "DriverOpts": {MARK: ADDED}}


def moved(old: Json, address: IPv6Address) -> dict[str, Any]:
    """`old` at our address, marked with the one that the user asked for, if any."""
    addresses = dict(old.get("IPAMConfig") or {})
    options = dict(old.get("DriverOpts") or {})
    options.setdefault(MARK, MOVED + addresses.get("IPv6Address", ""))
    return {
        **old,
        "IPAMConfig": {**addresses, "IPv6Address": str(address)},
        "DriverOpts": options,
    }


def unmoved(old: Json, users_address: str) -> dict[str, Any]:
    """`old` as it was before `moved`."""
    settings = anywhere(old)
    if users_address:
        settings["IPAMConfig"]["IPv6Address"] = users_address
    options = {key: value for key, value in (old.get("DriverOpts") or {}).items() if key != MARK}
    return {**settings, "DriverOpts": options}


def anywhere(old: Json) -> dict[str, Any]:
    """`old` at an IPv6 address of the engine's choice, marked as it is."""
    addresses = {key: value for key, value in (old.get("IPAMConfig") or {}).items() if key != "IPv6Address"}
    return {**old, "IPAMConfig": addresses}


def only_ipv6(addresses: Json) -> Json:
    """Settings that ask for the IPv6 address alone."""
    return {"IPAMConfig": {key: value for key, value in addresses.items() if key == "IPv6Address"}}


def on_network(inspected: Json, network_id: str, network: str) -> Json | None:
    """The endpoint on a network, or what a stopped container has of an earlier one of that name."""
    for key, endpoint in (inspected["NetworkSettings"]["Networks"] or {}).items():
        if endpoint and (endpoint.get("NetworkID") == network_id or key in (network_id, network)):
            found: Json = endpoint
            return found
    return None


def has_address(endpoint: Json, inspected: Json, action: Reconnect) -> bool:
    """Whether somebody was faster, so that a move would only be an outage."""
    requested = ipv6((endpoint.get("IPAMConfig") or {}).get("IPv6Address"))
    running = inspected["State"]["Running"]
    has = ipv6(endpoint.get("GlobalIPv6Address")) if running else requested
    return requested == has == action.address and endpoint.get("NetworkID") in ("", action.network_id)


def is_attached(endpoint: Json, inspected: Json) -> bool:
    """Whether an endpoint is more than configuration, where the container runs."""
    return bool(endpoint.get("EndpointID")) or not inspected["State"]["Running"]
