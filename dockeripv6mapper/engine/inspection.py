"""Inspection: what no pass needs to know of the engine, and who examines it does."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.engine.listed import read_list
from dockeripv6mapper.engine.peer import peer_process
from dockeripv6mapper.engine.recipes import can_be_made_again, engine_from_info, recipe_from_list
from dockeripv6mapper.engine.tenants import tenant_from_inspection
from dockeripv6mapper.errors import GoneError
from dockeripv6mapper.surroundings import Engine, Recipe, Tenant


def about(client: Client) -> Engine:
    """What the engine says of itself. Raises `MapperError`."""
    version = client.api_version()
    with client.speaking("asking the engine about itself") as api:
        return engine_from_info(api.info(), version, peer_process(client.socket_path))


def recipes(client: Client) -> Mapping[str, Recipe]:
    """How each network was made, by its ID; of those that can be made again. Raises `MapperError`."""
    with client.speaking("listing networks") as api:
        listed = read_list(api.networks(), "network", _repeatable)
    return {network_id: recipe for network_id, recipe in listed.items if recipe is not None}


def _repeatable(item: Mapping[str, Any]) -> tuple[str, Recipe | None]:
    return item["Id"], recipe_from_list(item) if can_be_made_again(item) else None


def tenants(client: Client) -> Mapping[str, Tenant]:
    """How each container is attached to its networks, by its ID. Raises `MapperError`."""
    with client.speaking("listing containers") as api:
        ids = [item["Id"] for item in api.containers(all=True)]
    found = {}
    for container_id in ids:
        with suppress(GoneError), client.speaking(f"inspecting container {container_id}") as api:
            found[container_id] = tenant_from_inspection(api.inspect_container(container_id))
    return found
