"""Endpoint settings: the API's `EndpointSettings`, inspected and to attach a container with. Pure.

What the user set on an endpoint is carried through a move and back. Every endpoint that we make carries a
mark among its driver options, which the engine keeps and the network drivers ignore:

    added             the endpoint is ours altogether
    moved:ADDRESS     the user's endpoint at our address; the user's own IPv6 address follows, if any, and
                      after a comma the MAC address that was kept
    restore:JSON      an endpoint for a moment, with less than the user set; the user's settings follow
    restore-running:JSON  the same where the engine refused the rest
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

KEPT_FIELDS = ("Links", "DriverOpts", "GwPriority")
"""What an `EndpointSettings` says of the user's wishes, besides addresses and aliases."""


def user_settings(endpoint: Json, inspected: Json) -> dict[str, Any]:
    """What the user set on an endpoint, as the API takes it, the MAC address left aside.

    Of an endpoint for a moment: what its mark says. The container's short ID is left out of the aliases: the
    engine adds it. An empty address is left out: some engines show one where none was asked for.
    """
    if (noted := settings_in_mark(endpoint)) is not None:
        return noted
    settings = {field: endpoint[field] for field in KEPT_FIELDS if endpoint.get(field)}
    if is_temporary(endpoint):
        settings["DriverOpts"] = {key: each for key, each in settings["DriverOpts"].items() if key != MARK}
    asked = {key: value for key, value in (endpoint.get("IPAMConfig") or {}).items() if value}
    if asked:
        settings["IPAMConfig"] = asked
    short_id = inspected["Id"][:SHORT_ID_DIGITS]
    if aliases := [alias for alias in endpoint.get("Aliases") or () if alias != short_id]:
        settings["Aliases"] = aliases
    return settings


def mapper_endpoint(address: object) -> dict[str, Any]:
    """An endpoint that is ours altogether."""
    return {"IPAMConfig": {IPV6: str(address)}, "DriverOpts": {MARK: ADDED}}


ADDED_AT_ANY_ADDRESS = {"DriverOpts": {MARK: ADDED}}
"""The same at an address of the engine's choice: only to be disconnected again."""


def is_added_at_any_address(endpoint: Json) -> bool:
    """Whether an endpoint was made by `ADDED_AT_ANY_ADDRESS`."""
    return mark_of(endpoint) == ADDED and not (endpoint.get("IPAMConfig") or {}).get(IPV6)


def moved_endpoint(old: Json, address: object) -> dict[str, Any]:
    """`old` at our address, marked with the address that the user asked for, if any."""
    addresses = dict(old.get("IPAMConfig") or {})
    options = dict(old.get("DriverOpts") or {})
    mac = f",{old[MAC]}" if MAC in old else ""
    options.setdefault(MARK, f"{MOVED}{addresses.get(IPV6, '')}{mac}")
    return {
        **old,
        "IPAMConfig": {**addresses, IPV6: str(address)},
        "DriverOpts": options,
    }


def original_endpoint(old: Json) -> dict[str, Any]:
    """`old`, an endpoint that `moved` made, as it was before."""
    options = dict(old.get("DriverOpts") or {})
    users_address, _, mac = options.pop(MARK, MOVED).removeprefix(MOVED).partition(",")
    settings = {**without_addresses(old, IPV6), "DriverOpts": options}
    if users_address:
        settings["IPAMConfig"] = {**settings["IPAMConfig"], IPV6: users_address}
    if mac:
        settings[MAC] = mac
    return settings


def without_addresses(old: Json, *families: str) -> dict[str, Any]:
    """`old` at addresses of the engine's choice in these `families`, `IPV4` or `IPV6`."""
    addresses = {key: value for key, value in (old.get("IPAMConfig") or {}).items() if key not in families}
    return {**old, "IPAMConfig": addresses}


def without_mac(old: Json) -> dict[str, Any]:
    """`old` without its MAC address, as `kept` has it."""
    return {key: value for key, value in old.items() if key != MAC}


def temporary_endpoint(settings: Json, users: Json, mark: str = RESTORE) -> dict[str, Any]:
    """`settings`, marked as an endpoint that lasts only until it can have all of the user's settings."""
    options = {key: value for key, value in (settings.get("DriverOpts") or {}).items() if key != MARK}
    return {**settings, "DriverOpts": {**options, MARK: mark + json.dumps(users)}}


def only_ipv6(settings: Json) -> dict[str, Any]:
    """Settings that ask for the same IPv6 address and for nothing else."""
    return {"IPAMConfig": {IPV6: settings["IPAMConfig"][IPV6]}}


def requests_both_families(settings: Json) -> bool:
    """Whether settings ask for an IPv4 and an IPv6 address."""
    return {IPV4, IPV6} <= (settings.get("IPAMConfig") or {}).keys()


def mark_of(endpoint: Json) -> str | None:
    """Our mark on an endpoint; None: the endpoint is its user's."""
    mark = (endpoint.get("DriverOpts") or {}).get(MARK)
    return None if mark is None else str(mark)


def is_temporary(endpoint: Json) -> bool:
    """Whether an endpoint has less than its user set."""
    return (mark_of(endpoint) or "").startswith((RESTORE, RESTORE_RUNNING))


def endpoint_on_network(inspected: Json, network_id: str, network: str) -> Json | None:
    """The endpoint on a network, or what a stopped container has of an earlier one of that name.

    Of a network that is gone it may have two: one of its name, and one that was made by its ID.
    """
    endpoints: Mapping[str, Json] = inspected["NetworkSettings"]["Networks"] or {}
    of_id = (each for each in endpoints.values() if each and each.get("NetworkID") == network_id)
    return endpoints.get(network_id) or next(of_id, None) or endpoints.get(network) or None


def has_address(endpoint: Json, inspected: Json, action: Reconnect) -> bool:
    """Whether the endpoint is at the address already, so that a move would only be an outage."""
    if is_temporary(endpoint):
        return False
    requested = ipv6((endpoint.get("IPAMConfig") or {}).get(IPV6))
    running = inspected["State"]["Running"]
    has = ipv6(endpoint.get("GlobalIPv6Address")) if running else requested
    return requested == has == action.address and endpoint.get("NetworkID") in ("", action.network_id)


def is_attached(endpoint: Json, inspected: Json) -> bool:
    """Whether an endpoint is more than configuration, where the container runs."""
    return bool(endpoint.get("EndpointID")) or not inspected["State"]["Running"]


def settings_in_mark(endpoint: Json) -> dict[str, Any] | None:
    """The user's settings in the mark of an endpoint for a moment; None: there is none that can be read."""
    if not is_temporary(endpoint):
        return None
    try:
        noted = json.loads((mark_of(endpoint) or "").partition(":")[2])
    except ValueError:
        return None
    return noted if isinstance(noted, dict) else None
