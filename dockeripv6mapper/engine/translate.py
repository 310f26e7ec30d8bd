"""The engine's JSON → `model`. Pure; fields as in Docker Engine API 1.41 to 1.51.

A field that every engine sends has to be there. Where it is missing, its value is unknown: reading it as
empty would take a container off its network.
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
"""Beginning of the mark of an endpoint of its user's that was moved to our address."""
RESTORE = "restore:"
"""Beginning of the mark of an endpoint that is there for a moment, with less than its user set."""
RESTORE_RUNNING = "restore-running:"
"""The same where the engine refused the rest: only a running container may be given it."""

BRIDGE_OPTION = "com.docker.network.bridge.name"
"""Names a network's bridge. Where it is missing, the engine does: `br-` and the network's short ID."""
GATEWAY_MODE_OPTION = "com.docker.network.bridge.gateway_mode_ipv6"
FILTERS_BY_GATEWAY_MODE = (1, 48)
"""API of engine 28, since which a gateway mode decides what comes in; older engines ignore the option."""

RUNNING = ("running", "paused")
"""States of a container in which it has its addresses."""
IN_TRANSITION = ("restarting", "removing", "dead")
"""States of a container in which the engine does half of what it is asked, or undoes it."""
STATES = (*RUNNING, *IN_TRANSITION, "created", "exited")
"""All states of a container (moby `container.ContainerState`)."""

UNKNOWN_LABELS_KEPT = 10
LABEL_CHARACTERS_KEPT = 200
"""Of the mapper's labels that are not known, as many and as much as is worth a warning."""

LATEST = ":latest"
NO_NAME = "<none>"
"""Stands in an image's names where there is none."""

NANOSECONDS = 10**9
SECONDS = len("2006-01-02T15:04:05")
"""Of the engine's times, which go on with a fraction and `Z`."""


def container_from_list(item: Json) -> Container:
    """An item of `GET /containers/json`."""
    state = _state(item["State"])
    return Container(
        id=item["Id"],
        name=_own_name(item["Names"] or ()),
        labels=relevant(item["Labels"] or {}),
        image=item["ImageID"],
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
    """An answer of `GET /containers/{id}/json`, which also shows whose the endpoints' addresses are."""
    state, created = _state(inspected["State"]["Status"]), inspected["Created"][:SECONDS]
    return Container(
        id=inspected["Id"],
        name=inspected["Name"].removeprefix("/"),
        labels=relevant(inspected["Config"]["Labels"] or {}),
        image=inspected["Image"],
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
    """What a create event tells of a container that nobody has listed yet."""
    return Container(
        id=container_id,
        name=attributes.get("name", ""),
        labels=relevant(attributes),
        image=attributes.get("image", ""),
        created=time_nano // NANOSECONDS,
        running=False,
    )


def endpoint(network: str, settings: Json) -> Endpoint:
    """An `EndpointSettings` of a list or an inspection."""
    return Endpoint(
        network=network,
        network_id=settings["NetworkID"] or "",
        address=_own_address(settings["GlobalIPv6Address"]),
        requested=_own_address((settings["IPAMConfig"] or {}).get("IPv6Address")),
    )


def _with_mark(endpoint: Endpoint, mark: str | None) -> Endpoint:
    text = mark or ""
    return replace(
        endpoint,
        ours=mark is not None,
        moved=text.startswith(MOVED),
        for_a_moment=text.startswith((RESTORE, RESTORE_RUNNING)),
        refused=text.startswith(RESTORE_RUNNING),
    )


def network_from_list(item: Json, api_version: tuple[int, int]) -> Network:
    """An item of `GET /networks`, as an engine of this API version means it."""
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
        labels=relevant(item["Labels"] or {}),
    )


def has_ipv4(item: Json) -> bool:
    """Whether a network of `GET /networks` has IPv4: engines before 28 do not say, and always give it one."""
    return item.get("EnableIPv4") is not False


def image_from_list(item: Json) -> dict[str, dict[str, str]]:
    """An item of `GET /images/json`: the labels that matter, by the image's ID and by each of its names.

    A name without a tag means the tag `latest`, and is known as both. Other ways to write a name, as
    with `docker.io/` before it, are not. A missing `Labels` is an error: the image may have labels, and its
    containers could then open ports that no user asked for.
    """
    labels = relevant(item["Labels"] or {})
    names = (*(item.get("RepoTags") or ()), *(item.get("RepoDigests") or ()))
    images = {item["Id"]: labels}
    images |= {name: labels for name in names if NO_NAME not in name}
    return images | {name.removesuffix(LATEST): labels for name in names if name.endswith(LATEST)}


def image_labels_from_inspection(inspected: Json) -> dict[str, str]:
    """An answer of `GET /images/{name}/json`; engine 29 leaves labels out where there are none."""
    return relevant((inspected["Config"] or {}).get("Labels") or {})


def relevant(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels that matter to the mapper: the rest can be any amount of text."""
    known = {label: labels[label] for label in KNOWN if label in labels}
    unknown = (label for label in labels if label.startswith(PREFIX) and label not in known)
    return known | {label[:LABEL_CHARACTERS_KEPT]: "" for label in islice(unknown, UNKNOWN_LABELS_KEPT)}


def ipv6(text: str | None) -> IPv6Address | None:
    """An address of the engine's, which writes "" for none, and may add the prefix length."""
    if not text:
        return None
    try:
        return IPv6Address(text.partition("/")[0])
    except AddressValueError:
        return None


def _own_address(text: str | None) -> IPv6Address | None:
    """As `ipv6`, of a container: one that cannot be read is unknown, and not none. Raises `ValueError`."""
    return IPv6Address(text.partition("/")[0]) if text else None


def _state(text: str) -> str:
    """A container's state. Raises `ValueError` for one that is not known: it may be running."""
    if text not in STATES:
        raise ValueError(f"unknown state {text!r}")
    return text


def _own_name(names: Iterable[str]) -> str:
    """The container's name; the others, `/other/alias`, are legacy links to it."""
    return next((name[1:] for name in names if name.count("/") == 1), "")


def _gateway(config: Json, subnet: IPv6Network) -> IPv6Address:
    """The subnet's gateway; one that the engine chose is not listed."""
    return ipv6(config.get("Gateway")) or default_gateway(subnet)


def _bridge(network: Json, options: Mapping[str, str]) -> str | None:
    if network.get("Driver") != "bridge":
        return None
    return options.get(BRIDGE_OPTION) or f"{BRIDGE_PREFIX}{network['Id'][:SHORT_ID_DIGITS]}"


def _gateway_mode(network: Json, api_version: tuple[int, int]) -> str | None:
    if network.get("Driver") != "bridge" or api_version < FILTERS_BY_GATEWAY_MODE:
        return None
    return (network.get("Options") or {}).get(GATEWAY_MODE_OPTION) or "nat"


def _auxiliary(configs: Iterable[Json]) -> Iterable[IPv6Address]:
    for config in configs:
        # The API says AuxiliaryAddresses, the engine's answer AuxAddress.
        named = config.get("AuxAddress") or config.get("AuxiliaryAddresses") or {}
        yield from (address for text in named.values() if (address := ipv6(text)))
