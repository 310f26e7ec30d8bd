"""The engine's JSON → `surroundings`: how a container would be attached to its networks again. Pure."""

from collections.abc import Mapping
from typing import Any

from dockeripv6mapper.engine.endpoint_settings import kept
from dockeripv6mapper.surroundings import Attachment, Tenant

Json = Mapping[str, Any]


def tenant_from_inspection(inspected: Json) -> Tenant:
    """An answer of `GET /containers/{id}/json`."""
    endpoints = (inspected.get("NetworkSettings") or {}).get("Networks") or {}
    return Tenant(
        transient=bool((inspected.get("HostConfig") or {}).get("AutoRemove")),
        attachments={
            network: _attachment(kept(endpoint, inspected))
            for network, endpoint in endpoints.items()
            if endpoint
        },
    )


def _attachment(settings: Json) -> Attachment:
    addresses = settings.get("IPAMConfig") or {}
    return Attachment(
        ipv4=addresses.get("IPv4Address") or "",
        ipv6=addresses.get("IPv6Address") or "",
        aliases=tuple(settings.get("Aliases") or ()),
        links=tuple(settings.get("Links") or ()),
        options=settings.get("DriverOpts") or {},
        priority=settings.get("GwPriority") or 0,
    )
