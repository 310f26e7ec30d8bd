"""Engine configuration, for `doctor` only: reads it, and translates the JSON to `engine_config`."""

import json
import socket
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.engine.endpoint_settings import user_settings
from dockeripv6mapper.engine.listed import read_list
from dockeripv6mapper.engine.translate import has_ipv4
from dockeripv6mapper.engine_config import (
    DEFAULT_IPAM,
    ContainerConfig,
    EndpointConfig,
    EngineInfo,
    NetworkConfig,
    Pool,
)
from dockeripv6mapper.errors import GoneError

CREDENTIALS = struct.Struct("3i")
"""`struct ucred`: pid, uid, gid (unix(7))."""
SETTINGS_FILE = Path("/etc/docker/daemon.json")
FILTERS_IPV6_BY_DEFAULT = (1, 46)
"""API of engine 27, the first with `ip6tables` by default."""
CONNECT_TIMEOUT = 5.0
"""Seconds."""

Json = Mapping[str, Any]


def engine_info(client: Client) -> EngineInfo:
    """The engine's version, API, firewall backend and PID. Raises `MapperError`."""
    version = client.api_version()
    with client.session("asking the engine about itself") as api:
        pid = peer_process(client.socket_path)
        return replace(engine_from_info(api.info(), version, pid), ip6tables=_has_ip6tables(pid, version))


def network_configs(client: Client) -> Mapping[str, NetworkConfig]:
    """How each network was created, by its ID. Raises `MapperError`.

    Networks that `docker network create` alone cannot recreate are left out.
    """
    with client.session("listing networks") as api:
        listed = read_list(api.networks(), "network", _listed_config)
    return {network_id: config for network_id, config in listed.items if config is not None}


def _listed_config(item: Mapping[str, Any]) -> tuple[str, NetworkConfig | None]:
    return item["Id"], network_config_from_list(item) if can_be_recreated(item) else None


def container_configs(client: Client) -> Mapping[str, ContainerConfig]:
    """How each container is attached to its networks, by its ID. Raises `MapperError`."""
    with client.session("listing containers") as api:
        ids = [item["Id"] for item in api.containers(all=True)]
    configs = {}
    for container_id in ids:
        with suppress(GoneError), client.session(f"inspecting container {container_id}") as api:
            configs[container_id] = container_config_from_inspection(api.inspect_container(container_id))
    return configs


def _has_ip6tables(pid: int | None, api: tuple[int, int]) -> bool:
    """Whether the engine filters IPv6, by its command line and its settings file."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0") if pid else []
    except (OSError, UnicodeDecodeError):
        arguments = []
    if arguments and Path(arguments[0]).name != "dockerd":
        # The process that listens for the engine is systemd.
        arguments = []
    try:
        options = json.loads(SETTINGS_FILE.read_text())
    except (OSError, ValueError):
        options = {}
    return filters_ipv6(arguments, options if isinstance(options, dict) else {}, api)


def filters_ipv6(arguments: Sequence[str], options: Json, api: tuple[int, int]) -> bool:
    """Whether an engine with these arguments and options in its settings file filters IPv6.

    An option stands in one of them: the engine refuses to start if it is in both.
    """
    values = {"iptables": True, "ip6tables": api >= FILTERS_IPV6_BY_DEFAULT}
    for name in values:
        if isinstance(options.get(name), bool):
            values[name] = options[name]
        for argument in arguments:
            option, _, value = argument.partition("=")
            if option in (f"--{name}", f"-{name}"):
                values[name] = value.lower() not in ("false", "0", "f")
    return all(values.values())


def engine_from_info(info: Json, api: tuple[int, int], pid: int | None) -> EngineInfo:
    """An answer of `GET /info`."""
    backend = info.get("FirewallBackend") or {}
    return EngineInfo(info.get("ServerVersion") or "unknown", api, backend.get("Driver"), pid)


def network_config_from_list(item: Json) -> NetworkConfig:
    """An item of `GET /networks`."""
    ipam = item.get("IPAM") or {}
    pools = tuple(_pool(config) for config in ipam.get("Config") or () if config.get("Subnet"))
    return NetworkConfig(
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


def can_be_recreated(item: Json) -> bool:
    """Whether a `NetworkConfig` is enough to create the network again.

    Not for Swarm networks, which a manager creates, nor for `--config-only` networks and those made from one.
    """
    template = (item.get("ConfigFrom") or {}).get("Network")
    return item.get("Scope") != "swarm" and not template and not item.get("ConfigOnly")


def _pool(config: Json) -> Pool:
    return Pool(
        subnet=config["Subnet"],
        gateway=(config.get("Gateway") or "").partition("/")[0],
        ip_range=config.get("IPRange") or "",
        auxiliary=config.get("AuxAddress") or config.get("AuxiliaryAddresses") or {},
    )


def container_config_from_inspection(inspected: Json) -> ContainerConfig:
    """An answer of `GET /containers/{id}/json`."""
    endpoints = (inspected.get("NetworkSettings") or {}).get("Networks") or {}
    return ContainerConfig(
        auto_remove=bool((inspected.get("HostConfig") or {}).get("AutoRemove")),
        endpoints={
            network: _endpoint_config(user_settings(endpoint, inspected))
            for network, endpoint in endpoints.items()
            if endpoint
        },
    )


def _endpoint_config(settings: Json) -> EndpointConfig:
    addresses = settings.get("IPAMConfig") or {}
    return EndpointConfig(
        ipv4=addresses.get("IPv4Address") or "",
        ipv6=addresses.get("IPv6Address") or "",
        aliases=tuple(settings.get("Aliases") or ()),
        links=tuple(settings.get("Links") or ()),
        options=settings.get("DriverOpts") or {},
        priority=settings.get("GwPriority") or 0,
    )


def peer_process(path: str | None) -> int | None:
    """The PID of the process that listens on a Unix socket.

    None without a listener, or if a PID namespace hides it. With socket activation it is systemd's PID, and
    systemd is in the engine's network namespace as well.
    """
    if path is None:
        return None
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(CONNECT_TIMEOUT)
            link.connect(path)
            credentials = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    except OSError:
        return None
    pid: int = CREDENTIALS.unpack(credentials)[0]
    return pid or None
