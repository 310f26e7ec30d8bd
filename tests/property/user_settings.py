"""Gifts: what users asked for on their containers' endpoints, against what these have."""

from collections.abc import Iterator

from dockeripv6mapper.engine.translate import MARK
from tests.property.fake_containers import EndpointSettings, FakeContainer, FakeEndpoint
from tests.property.fake_engine import FakeEngine

RESTORE = "restore"
"""How the mark begins of an endpoint that is there only for a moment, or in place of a better one."""


def lost_settings(engine: FakeEngine, box: FakeContainer) -> list[str]:
    """What of its user's wishes a container does not have.

    Of the IPv6 address on the network that it is mapped to nothing is said: that is the mapper's to change.
    """
    return [
        f"{box.name} on {name}: {what}"
        for name, all_settings in box.given.items()
        if name in engine.there and engine.there[name].id == all_settings.network_id
        for what in _lost_endpoint_settings(engine, box, name, all_settings)
    ]


def _lost_endpoint_settings(
    engine: FakeEngine, box: FakeContainer, name: str, all_settings: EndpointSettings
) -> Iterator[str]:
    plug = box.networks.get(name)
    if plug is None or (box.running and not plug.attached):
        yield "it is not attached"
        return
    wanted = all_settings.settings
    addresses = wanted.get("IPAMConfig") or {}
    if (requested := plug.requested("IPv4Address")) != addresses.get("IPv4Address", ""):
        yield f"IPv4 address {requested!r} is requested, not {addresses.get('IPv4Address')}"
    elif box.running and addresses.get("IPv4Address", plug.ipv4) != plug.ipv4:
        yield f"it has IPv4 address {plug.ipv4}"
    if name not in box.labels.values() and plug.requested("IPv6Address") != addresses.get("IPv6Address", ""):
        yield f"IPv6 address {plug.requested('IPv6Address')!r} is requested"
    for field in ("Aliases", "Links"):
        if (plug.asked.get(field) or []) != wanted.get(field, []):
            yield f"{field} {plug.asked.get(field)}"
    options = {key: value for key, value in (plug.asked.get("DriverOpts") or {}).items() if key != MARK}
    if options != wanted.get("DriverOpts", {}):
        yield f"driver options {options}"
    if engine.release.has_priority and plug.asked.get("GwPriority", 0) != wanted.get("GwPriority", 0):
        yield f"priority {plug.asked.get('GwPriority')}"
    yield from _lost_mac_address(engine, box, plug, wanted.get("MacAddress"))


def _lost_mac_address(
    engine: FakeEngine, box: FakeContainer, plug: FakeEndpoint, wanted: str | None
) -> Iterator[str]:
    if wanted is None:
        return
    if box.running and plug.mac != wanted:
        yield f"MAC address {plug.mac}"
    if not engine.release.mac_is_the_containers and plug.chosen_mac != wanted:
        yield f"MAC address {plug.chosen_mac!r} from the next start on"


def unfinished_marks(box: FakeContainer) -> list[str]:
    """Marks of endpoints that are not what they are to be."""
    marks = (str((plug.asked.get("DriverOpts") or {}).get(MARK, "")) for plug in box.networks.values())
    return [f"{box.name} carries the mark {mark}" for mark in marks if mark.startswith(RESTORE)]
