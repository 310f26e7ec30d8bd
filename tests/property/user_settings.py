"""Compares what users set on their containers' endpoints with what these have."""

from collections.abc import Iterator

from dockeripv6mapper.engine.translate import MARK
from tests.property.fake_containers import EndpointSettings, FakeContainer, FakeEndpoint
from tests.property.fake_engine import FakeEngine

RESTORE = "restore"
"""Prefix of the mark of a temporary endpoint, which does not have all of its user's settings yet."""


def lost_settings(engine: FakeEngine, container: FakeContainer) -> list[str]:
    """The user's settings that a container has lost.

    The IPv6 address on the network that it is mapped to is not compared: it is the mapper's to change.
    """
    return [
        f"{container.name} on {name}: {lost}"
        for name, settings in container.user_settings.items()
        if name in engine.network_by_name and engine.network_by_name[name].id == settings.network_id
        for lost in _lost_endpoint_settings(engine, container, name, settings)
    ]


def _lost_endpoint_settings(
    engine: FakeEngine, container: FakeContainer, name: str, settings: EndpointSettings
) -> Iterator[str]:
    endpoint = container.networks.get(name)
    if endpoint is None or (container.running and not endpoint.attached):
        yield "it is not attached"
        return
    wanted = settings.settings
    addresses = wanted.get("IPAMConfig") or {}
    if (requested := endpoint.requested_address("IPv4Address")) != addresses.get("IPv4Address", ""):
        yield f"IPv4 address {requested!r} is requested, not {addresses.get('IPv4Address')}"
    elif container.running and addresses.get("IPv4Address", endpoint.ipv4) != endpoint.ipv4:
        yield f"it has IPv4 address {endpoint.ipv4}"
    if name not in container.labels.values() and endpoint.requested_address("IPv6Address") != addresses.get(
        "IPv6Address", ""
    ):
        yield f"IPv6 address {endpoint.requested_address('IPv6Address')!r} is requested"
    for field in ("Aliases", "Links"):
        if (endpoint.requested.get(field) or []) != wanted.get(field, []):
            yield f"{field} {endpoint.requested.get(field)}"
    options = {
        key: value for key, value in (endpoint.requested.get("DriverOpts") or {}).items() if key != MARK
    }
    if options != wanted.get("DriverOpts", {}):
        yield f"driver options {options}"
    if engine.release.has_priority and endpoint.requested.get("GwPriority", 0) != wanted.get("GwPriority", 0):
        yield f"priority {endpoint.requested.get('GwPriority')}"
    yield from _lost_mac_address(engine, container, endpoint, wanted.get("MacAddress"))


def _lost_mac_address(
    engine: FakeEngine, container: FakeContainer, endpoint: FakeEndpoint, wanted: str | None
) -> Iterator[str]:
    if wanted is None:
        return
    if container.running and endpoint.mac != wanted:
        yield f"MAC address {endpoint.mac}"
    if not engine.release.mac_is_the_containers and endpoint.chosen_mac != wanted:
        yield f"MAC address {endpoint.chosen_mac!r} from the next start on"


def unfinished_marks(container: FakeContainer) -> list[str]:
    """The marks of temporary endpoints."""
    marks = (
        str((endpoint.requested.get("DriverOpts") or {}).get(MARK, ""))
        for endpoint in container.networks.values()
    )
    return [f"{container.name} carries the mark {mark}" for mark in marks if mark.startswith(RESTORE)]
