"""Facts: all that was observed, as one record, handed to every decision."""

from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from dockeripv6mapper.mapping.networks import Networks
from dockeripv6mapper.model import Container, Host


@dataclass(frozen=True, slots=True)
class Facts:
    """All that was observed, as it is now."""

    containers: MappingOf[str, Container]
    networks: Networks = field(default_factory=Networks)
    images: MappingOf[str, MappingOf[str, str] | None] = field(default_factory=dict)
    """The labels of images by ID or name; None: the engine does not have the image any more."""
    host: Host = field(default_factory=Host)
    in_flight: MappingOf[str, IPv6Address] = field(default_factory=dict)
    """The address at which the engine is attaching a container now, by the container's ID."""
