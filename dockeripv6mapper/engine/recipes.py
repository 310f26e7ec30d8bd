"""The engine's JSON → `surroundings`: the engine itself, and how its networks were made. Pure."""

from collections.abc import Mapping
from typing import Any

from dockeripv6mapper.surroundings import Engine, Pool, Recipe

Json = Mapping[str, Any]


def engine_from_info(info: Json, api: tuple[int, int], pid: int | None) -> Engine:
    """An answer of `GET /info`."""
    backend = info.get("FirewallBackend") or {}
    return Engine(info.get("ServerVersion") or "unknown", api, backend.get("Driver"), pid)


def recipe_from_list(item: Json) -> Recipe:
    """An item of `GET /networks`."""
    pools = tuple(map(_pool, (item.get("IPAM") or {}).get("Config") or ()))
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
    )


def has_ipv4(item: Json) -> bool:
    """Whether a network of `GET /networks` has IPv4: engines before 28 do not say, and always give it one."""
    said: bool = item.get("EnableIPv4", True)
    return said


def _pool(config: Json) -> Pool:
    return Pool(
        subnet=config.get("Subnet") or "",
        gateway=(config.get("Gateway") or "").partition("/")[0],
        ip_range=config.get("IPRange") or "",
        auxiliary=config.get("AuxAddress") or config.get("AuxiliaryAddresses") or {},
    )
