"""Endpoint settings: the API's `EndpointSettings`, as an inspection shows it and as a connect takes it. Pure.

A change of an endpoint's address is a disconnect and a connect, so all that the user set must be read from
the old endpoint and given to the new one. Every endpoint that the mapper makes carries a mark among its
driver options, which the engine keeps and the network drivers ignore:

    added                 the mapper attached the container; nothing on this endpoint is the user's
    moved:ADDRESS,MAC     the user attached the container, and the mapper moved the endpoint to our address;
                          ADDRESS: the IPv6 address that the user asked for, or nothing; `,MAC` only where a
                          MAC address was carried over
    restore:JSON          a temporary endpoint, which lacks some of the user's settings; JSON: all of them
    restore-running:JSON  the same, where the engine refused the rest: only a running container may be given
                          it, since a stopped one might not start with it

The marks are a format: endpoints that carry them outlive the daemon.
"""

import json
from collections.abc import Mapping
from typing import Any

from dockeripv6mapper.actions import Reconnect
from dockeripv6mapper.engine.translate import MARK, MOVED, RESTORE, RESTORE_RUNNING, ipv6
from dockeripv6mapper.mapping.networks import SHORT_ID_DIGITS

Json = Mapping[str, Any]

ADDED = "added"

IPV4, IPV6, MAC = "IPv4Address", "IPv6Address", "MacAddress"

PRIORITY = "GwPriority"
"""The network with the highest priority gives a container its default routes; 0 by default."""
KNOWS_PRIORITY = (1, 48)
"""API of engine 28, the first that has gateway priorities."""

USER_FIELDS = ("Links", "DriverOpts", PRIORITY)
"""Fields of an `EndpointSettings` that the user sets, besides addresses and aliases."""


# --- to connect with --------------------------------------------------------------------------------------


def mapper_endpoint(address: object, priority: int = 0) -> dict[str, Any]:
    """An endpoint that the mapper adds, at our address, with a gateway priority unless it is 0."""
    settings: dict[str, Any] = {"IPAMConfig": {IPV6: str(address)}, "DriverOpts": {MARK: ADDED}}
    return {**settings, PRIORITY: priority} if priority else settings


def for_api(settings: Json, api: tuple[int, int]) -> Json:
    """The settings without the fields that this version of the API does not have."""
    if api >= KNOWS_PRIORITY or PRIORITY not in settings:
        return settings
    return {key: value for key, value in settings.items() if key != PRIORITY}


ADDED_AT_ANY_ADDRESS = {"DriverOpts": {MARK: ADDED}}
"""An endpoint that the mapper adds only to remove it again, at an address of the engine's choice."""


def moved_endpoint(settings: Json, address: object) -> dict[str, Any]:
    """The user's `settings` at our address, with a mark that names the user's own IPv6 address, if any."""
    addresses = dict(settings.get("IPAMConfig") or {})
    options = dict(settings.get("DriverOpts") or {})
    mac = f",{settings[MAC]}" if MAC in settings else ""
    options.setdefault(MARK, f"{MOVED}{addresses.get(IPV6, '')}{mac}")
    return {
        **settings,
        "IPAMConfig": {**addresses, IPV6: str(address)},
        "DriverOpts": options,
    }


def original_endpoint(moved: Json) -> dict[str, Any]:
    """The user's settings, from which `moved_endpoint` made `moved`."""
    options = dict(moved.get("DriverOpts") or {})
    user_address, _, mac = options.pop(MARK, MOVED).removeprefix(MOVED).partition(",")
    settings = {**without_addresses(moved, IPV6), "DriverOpts": options}
    if user_address:
        settings["IPAMConfig"] = {**settings["IPAMConfig"], IPV6: user_address}
    if mac:
        settings[MAC] = mac
    return settings


def temporary_endpoint(settings: Json, user: Json, mark: str = RESTORE) -> dict[str, Any]:
    """`settings`, marked as a temporary endpoint, to be replaced by one with all of the `user` settings."""
    options = {key: value for key, value in (settings.get("DriverOpts") or {}).items() if key != MARK}
    return {**settings, "DriverOpts": {**options, MARK: mark + json.dumps(user)}}


def without_addresses(settings: Json, *families: str) -> dict[str, Any]:
    """`settings` that leave the addresses of these families (`IPV4`, `IPV6`) to the engine."""
    addresses = {key: each for key, each in (settings.get("IPAMConfig") or {}).items() if each}
    return {**settings, "IPAMConfig": {key: each for key, each in addresses.items() if key not in families}}


def without_mac(settings: Json) -> dict[str, Any]:
    """`settings` without their MAC address, as `user_settings` returns them."""
    return {key: value for key, value in settings.items() if key != MAC}


def only_ipv6(settings: Json) -> dict[str, Any]:
    """Settings that ask for the same IPv6 address and for nothing else."""
    return {"IPAMConfig": {IPV6: settings["IPAMConfig"][IPV6]}}


def requests_both_families(settings: Json) -> bool:
    """Whether settings ask for an IPv4 and an IPv6 address."""
    return {IPV4, IPV6} <= (settings.get("IPAMConfig") or {}).keys()


# --- inspected --------------------------------------------------------------------------------------------


def user_settings(endpoint: Json, inspected: Json) -> dict[str, Any]:
    """The settings of an endpoint that the user chose, without the MAC address; a connect takes them.

    Of a temporary endpoint they are in its mark. Of another endpoint of ours they include our address and
    mark: a connect with them makes the same endpoint again. The container's short ID is left out of the
    aliases: the engine adds it. Empty addresses are left out: some engines show one where none was requested.
    """
    if (in_mark := settings_in_mark(endpoint)) is not None:
        return in_mark
    settings = {field: endpoint[field] for field in USER_FIELDS if endpoint.get(field)}
    if is_temporary(endpoint):
        settings["DriverOpts"] = {key: each for key, each in settings["DriverOpts"].items() if key != MARK}
    if addresses := {key: each for key, each in (endpoint.get("IPAMConfig") or {}).items() if each}:
        settings["IPAMConfig"] = addresses
    short_id = inspected["Id"][:SHORT_ID_DIGITS]
    if aliases := [alias for alias in endpoint.get("Aliases") or () if alias != short_id]:
        settings["Aliases"] = aliases
    return settings


def mark_of(endpoint: Json) -> str | None:
    """The mapper's mark on an endpoint; None: the endpoint is the user's."""
    mark = (endpoint.get("DriverOpts") or {}).get(MARK)
    return None if mark is None else str(mark)


def settings_in_mark(endpoint: Json) -> dict[str, Any] | None:
    """The user's settings from a temporary endpoint's mark; None: not temporary, or the mark is broken."""
    if not is_temporary(endpoint):
        return None
    try:
        settings = json.loads((mark_of(endpoint) or "").partition(":")[2])
    except ValueError:
        return None
    return settings if isinstance(settings, dict) else None


def is_temporary(endpoint: Json) -> bool:
    """Whether an endpoint lacks some of the user's settings, which its mark holds."""
    return (mark_of(endpoint) or "").startswith((RESTORE, RESTORE_RUNNING))


def is_added_at_any_address(endpoint: Json) -> bool:
    """Whether an endpoint was made by `ADDED_AT_ANY_ADDRESS`."""
    return mark_of(endpoint) == ADDED and not (endpoint.get("IPAMConfig") or {}).get(IPV6)


def endpoint_on_network(inspected: Json, network_id: str, network: str) -> Json | None:
    """The container's endpoint on a network; of a stopped container also one on an earlier network so named.

    A stopped container may have two endpoints on a network that is gone: one listed under the network's
    name, and one that was made by its ID and is listed under that.
    """
    endpoints: Mapping[str, Json] = inspected["NetworkSettings"]["Networks"] or {}
    by_id_field = (each for each in endpoints.values() if each and each.get("NetworkID") == network_id)
    return endpoints.get(network_id) or next(by_id_field, None) or endpoints.get(network) or None


def has_address(endpoint: Json, inspected: Json, action: Reconnect) -> bool:
    """Whether the endpoint is at the wanted address already, so that a move would only be an outage."""
    if is_temporary(endpoint):
        return False
    requested = ipv6((endpoint.get("IPAMConfig") or {}).get(IPV6))
    running = inspected["State"]["Running"]
    actual = ipv6(endpoint.get("GlobalIPv6Address")) if running else requested
    return requested == actual == action.address and endpoint.get("NetworkID") in ("", action.network_id)


def is_attached(endpoint: Json, inspected: Json) -> bool:
    """Whether the endpoint exists: of a running container, the configuration alone does not count."""
    return bool(endpoint.get("EndpointID")) or not inspected["State"]["Running"]
