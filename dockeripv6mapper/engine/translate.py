"""The engine's JSON → `model`. Pure. Fields as in Docker Engine API 1.41 to 1.51.

A field that every engine sends is required. Where it is missing, the value is unknown and the function raises
one of `PARSE_ERRORS`: read as empty, it would take a container off its network.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import AddressValueError, IPv6Address, IPv6Network
from itertools import islice
from typing import Any

from dockeripv6mapper.mapping.addressing import default_gateway
from dockeripv6mapper.mapping.labels import KNOWN, PREFIX
from dockeripv6mapper.mapping.networks import BRIDGE_PREFIX, SHORT_ID_DIGITS
from dockeripv6mapper.model import Container, Endpoint, Network

Json = Mapping[str, Any]

MARK = "ipv6.mapper.endpoint"
"""Driver option of an endpoint whose address the mapper requested (see `endpoint_settings`)."""
MOVED = "moved:"
"""Beginning of the mark of a user's endpoint that was moved to our address."""
RESTORE = "restore:"
"""Beginning of the mark of a temporary endpoint, which lacks some of the user's settings."""
RESTORE_RUNNING = "restore-running:"
"""The same, where the engine refused the other settings: only a running container may be given them."""

BRIDGE_OPTION = "com.docker.network.bridge.name"
"""A network option: the name of its bridge. By default it is `br-` and the network's short ID."""
GATEWAY_MODE_OPTION = "com.docker.network.bridge.gateway_mode_ipv6"
FILTERS_BY_GATEWAY_MODE = (1, 48)
"""API of engine 28, the first that filters inbound packets by gateway mode; older ones ignore the option."""

RUNNING = ("running", "paused")
"""States of a container in which its endpoints have their addresses."""
IN_TRANSITION = ("restarting", "removing", "dead")
"""States of a container in which the engine may carry a call out only in part, or undo it."""
STATES = (*RUNNING, *IN_TRANSITION, "created", "exited")
"""All states of a container (moby `container.ContainerState`)."""

MAX_UNKNOWN_LABELS = 10
MAX_LABEL_CHARACTERS = 200
"""Of unknown `ipv6.mapper.*` labels, which are kept only for a warning."""

UNKNOWN_PLATFORM = "unknown"

NANOSECONDS = 10**9
"""In a second."""
TIMESTAMP_LENGTH = len("2006-01-02T15:04:05")
"""Characters of the engine's times up to the seconds; a fraction and `Z` follow."""


def container_from_list(item: Json) -> Container:
    """An item of `GET /containers/json`."""
    state = _state(item["State"])
    return Container(
        id=item["Id"],
        name=_own_name(item["Names"] or ()),
        labels=relevant_labels(item["Labels"] or {}),
        image=image_key(item["ImageID"], item.get("ImageManifestDescriptor")),
        created=item["Created"],
        running=state in RUNNING,
        in_transition=state in IN_TRANSITION,
        network_mode=item["HostConfig"].get("NetworkMode"),
        endpoints=tuple(
            endpoint(network, each)
            for network, each in (item["NetworkSettings"]["Networks"] or {}).items()
            if each
        ),
    )


def container_from_inspection(inspected: Json) -> Container:
    """An answer of `GET /containers/{id}/json`. Unlike a list, it shows the marks of the endpoints."""
    state, created = _state(inspected["State"]["Status"]), inspected["Created"][:TIMESTAMP_LENGTH]
    return Container(
        id=inspected["Id"],
        name=inspected["Name"].removeprefix("/"),
        labels=relevant_labels(inspected["Config"]["Labels"] or {}),
        image=image_key(inspected["Image"], inspected.get("ImageManifestDescriptor")),
        created=int(datetime.fromisoformat(created).replace(tzinfo=UTC).timestamp()),
        running=state in RUNNING,
        in_transition=state in IN_TRANSITION,
        network_mode=inspected["HostConfig"].get("NetworkMode"),
        endpoints=tuple(
            _with_mark(endpoint(network, each), (each["DriverOpts"] or {}).get(MARK))
            for network, each in (inspected["NetworkSettings"]["Networks"] or {}).items()
            if each
        ),
    )


def container_from_event(container_id: str, attributes: Mapping[str, str], time_nano: int) -> Container:
    """A new container, from its create event, which shows neither endpoints nor network mode."""
    return Container(
        id=container_id,
        name=attributes.get("name", ""),
        labels=relevant_labels(attributes),
        image=attributes.get("image", ""),
        created=time_nano // NANOSECONDS,
        running=False,
    )


def endpoint(network: str, settings: Json) -> Endpoint:
    """An `EndpointSettings` from a list or an inspection, without its mark."""
    return Endpoint(
        network=network,
        network_id=settings["NetworkID"] or "",
        address=_container_address(settings["GlobalIPv6Address"]),
        requested=_container_address((settings["IPAMConfig"] or {}).get("IPv6Address")),
        priority=settings.get("GwPriority") or 0,
    )


def _with_mark(endpoint: Endpoint, mark: str | None) -> Endpoint:
    """The endpoint with the facts that our mark shows (its format: see `endpoint_settings`)."""
    text = mark or ""
    return replace(
        endpoint,
        ours=mark is not None,
        moved=text.startswith(MOVED),
        temporary=text.startswith((RESTORE, RESTORE_RUNNING)),
        refused=text.startswith(RESTORE_RUNNING),
    )


def network_from_list(item: Json, api_version: tuple[int, int]) -> Network:
    """An item of `GET /networks`, from an engine that speaks this version of the API."""
    configs = [each for each in item["IPAM"]["Config"] or () if each and ":" in each["Subnet"]]
    options = item["Options"] or {}
    subnets = tuple(IPv6Network(each["Subnet"], strict=False) for each in configs)
    return Network(
        id=item["Id"],
        name=item["Name"],
        driver=item["Driver"],
        ipv6=bool(item["EnableIPv6"]),
        subnets=subnets,
        gateways=frozenset(map(_gateway, configs, subnets)),
        auxiliary=frozenset(_auxiliary(configs)),
        internal=bool(item["Internal"]),
        default_bridge=options.get("com.docker.network.bridge.default_bridge") == "true",
        ipvlan_mode=options.get("ipvlan_mode"),
        bridge=_bridge(item, options),
        ipv4=has_ipv4(item),
        gateway_mode=_gateway_mode(item, api_version),
        labels=relevant_labels(item["Labels"] or {}),
        takes_services_only=item.get("Scope") == "swarm" and not item.get("Attachable"),
        config_only=bool(item.get("ConfigOnly")),
    )


def has_ipv4(item: Json) -> bool:
    """Whether a network of `GET /networks` has IPv4: engines before 28 do not say, and always give it one."""
    return item.get("EnableIPv4") is not False


def image_key(image_id: str, manifest: Json | None) -> str:
    """By what the labels of a container's image are looked up: the image's ID, and its platform if need be.

    `manifest`: the container's `ImageManifestDescriptor`, where the engine has the containerd store. There an
    ID may stand for several platforms, each with labels of its own: `sha256:… linux/arm64/v8`.
    """
    if not manifest or manifest["digest"] == image_id:
        return image_id
    return f"{image_id} {platform_text(manifest.get('platform') or {})}"


def platform_text(platform: Json) -> str:
    """A platform (OCI image specification) as one word: `linux/arm64/v8`."""
    parts = (platform.get("os"), platform.get("architecture"), platform.get("variant"))
    return "/".join(each for each in parts if each) or UNKNOWN_PLATFORM


def relevant_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels that the mapper reads. Others are dropped, since they may be any amount of text."""
    known = {label: labels[label] for label in KNOWN if label in labels}
    unknown = (label for label in labels if label.startswith(PREFIX) and label not in known)
    return known | {label[:MAX_LABEL_CHARACTERS]: "" for label in islice(unknown, MAX_UNKNOWN_LABELS)}


def ipv6(text: str | None) -> IPv6Address | None:
    """An address as the engine writes it: "" for none, with or without a prefix length.

    None also for text that is not an IPv6 address.
    """
    if not text:
        return None
    try:
        return IPv6Address(text.partition("/")[0])
    except AddressValueError:
        return None


def _container_address(text: str | None) -> IPv6Address | None:
    """As `ipv6`, but raises `ValueError` for other text: the container has an address, which is unknown."""
    return IPv6Address(text.partition("/")[0]) if text else None


def _state(text: str) -> str:
    """A container's state. Raises `ValueError` for an unknown one: the container may be running."""
    if text not in STATES:
        raise ValueError(f"unknown state {text!r}")
    return text


def _own_name(names: Iterable[str]) -> str:
    """The container's own name, without the slash. Names like `/other/alias` are legacy links to it."""
    return next((name[1:] for name in names if name.count("/") == 1), "")


def _gateway(config: Json, subnet: IPv6Network) -> IPv6Address:
    """The subnet's gateway. The engine does not list one that it chose itself."""
    return ipv6(config.get("Gateway")) or default_gateway(subnet)


def _bridge(network: Json, options: Mapping[str, str]) -> str | None:
    """The name of the network's bridge on the host; None for other drivers."""
    if network.get("Driver") != "bridge":
        return None
    return options.get(BRIDGE_OPTION) or f"{BRIDGE_PREFIX}{network['Id'][:SHORT_ID_DIGITS]}"


def _gateway_mode(network: Json, api_version: tuple[int, int]) -> str | None:
    """The network's gateway mode for IPv6; None where the driver or the engine has none."""
    if network.get("Driver") != "bridge" or api_version < FILTERS_BY_GATEWAY_MODE:
        return None
    return (network.get("Options") or {}).get(GATEWAY_MODE_OPTION) or "nat"


def _auxiliary(configs: Iterable[Json]) -> Iterable[IPv6Address]:
    for config in configs:
        # The API's documentation calls it AuxiliaryAddresses, the engine's answers AuxAddress.
        addresses = config.get("AuxAddress") or config.get("AuxiliaryAddresses") or {}
        yield from (address for text in addresses.values() if (address := ipv6(text)))
