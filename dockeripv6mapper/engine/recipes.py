"""The engine's JSON → `surroundings`: the engine itself, and how its networks were made. Pure."""

from collections.abc import Mapping
from typing import Any

from dockeripv6mapper.surroundings import DEFAULT_IPAM, Engine, Pool, Recipe

Json = Mapping[str, Any]


def engine_from_info(info: Json, api: tuple[int, int], pid: int | None) -> Engine:
    """An answer of `GET /info`."""
    backend = info.get("FirewallBackend") or {}
    return Engine(info.get("ServerVersion") or "unknown", api, backend.get("Driver"), pid)


def recipe_from_list(item: Json) -> Recipe:
    """An item of `GET /networks`."""
    ipam = item.get("IPAM") or {}
    pools = tuple(_pool(config) for config in ipam.get("Config") or () if config.get("Subnet"))
    return Recipe(
        name=item["Name"],
        driver=item.get("Driver") or "",
        pools=pools,
        ipv4=has_ipv4(item),
        ipv6=bool(item.get("EnableIPv6")),
        internal=bool(item.get("Internal")),
        attachable=bool(item.get("Attachable")),
        options=item.get("Options") or {},
        labels=item.get("Labels") or {},
        ipam_driver=ipam.get("Driver") or DEFAULT_IPAM,
        ipam_options=ipam.get("Options") or {},
    )


def can_be_made_again(item: Json) -> bool:
    """Whether a recipe says all that it takes: not of a Swarm's networks, nor of those made from another."""
    made_from = item.get("ConfigFrom") or {}
    return item.get("Scope") != "swarm" and not made_from.get("Network") and not item.get("ConfigOnly")


def has_ipv4(item: Json) -> bool:
    """Whether a network of `GET /networks` has IPv4: engines before 28 do not say, and always give it one."""
    return item.get("EnableIPv4") is not False


def _pool(config: Json) -> Pool:
    return Pool(
        subnet=config["Subnet"],
        gateway=(config.get("Gateway") or "").partition("/")[0],
        ip_range=config.get("IPRange") or "",
        auxiliary=config.get("AuxAddress") or config.get("AuxiliaryAddresses") or {},
    )
