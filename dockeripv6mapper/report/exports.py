"""Names → addresses, for what resolves names: lines of a hosts file, or records of a zone file.

A name is that of the container without what changes at a recreation, as its address is: a Swarm task's is
`service.slot`. Names are untrusted, and one that is no host name could say anything in such a file.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # It imports rich, which the command line's options need not wait for.
    from dockeripv6mapper.report.status import Row

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
"""One label of a host name in small letters (RFC 1123 §2.1, RFC 1034 §3.5)."""
LONGEST_NAME = 253
"""Characters of a host name, dots included."""


class NameFormat(Enum):
    """What the lines of names and addresses are for."""

    HOSTS = "hosts"
    """`ADDRESS NAME`, for /etc/hosts."""
    ZONE = "zone"
    """`NAME IN AAAA ADDRESS`, relative to the zone's origin and with its default TTL (RFC 1035 §5.1)."""


@dataclass(frozen=True, slots=True)
class Names:
    """The mapped containers that have a host name, and a sentence on each that has none."""

    addresses: Mapping[str, IPv6Address]
    left_out: tuple[str, ...]


def names(found: Iterable["Row"]) -> Names:
    """The addresses of what is mapped, by name, in the names' order."""
    # `--help` imports this module for `NameFormat`, and need not wait for these.
    from dockeripv6mapper.mapping.labels import shown  # noqa: PLC0415
    from dockeripv6mapper.mapping.progress import State  # noqa: PLC0415

    addresses: dict[str, IPv6Address] = {}
    left_out: list[str] = []
    mapped = {(row.identity, row.wanted) for row in found if row.state is State.MAPPED}
    alike: dict[str, list[tuple[str, IPv6Address]]] = {}
    for name, address in mapped:
        if name is not None and address is not None:
            alike.setdefault(name.lower(), []).append((name, address))
    for folded, same in sorted(alike.items()):
        if not is_host_name(folded):
            left_out.append(f"{shown(same[0][0])} is no host name: letters, digits and inner hyphens are")
        elif len(same) > 1:
            spelt = " and ".join(f"{name} ({address})" for name, address in sorted(same))
            left_out.append(f"{spelt} are one host name")
        else:
            addresses |= same
    return Names(addresses, tuple(left_out))


def lines(given: Names, name_format: NameFormat) -> list[str]:
    """A line for each name."""
    if name_format is NameFormat.HOSTS:
        return [f"{address} {name}" for name, address in given.addresses.items()]
    return [f"{name} IN AAAA {address}" for name, address in given.addresses.items()]


def is_host_name(name: str) -> bool:
    """Whether `name`, in small letters, is a host name that means nothing else already.

    A dotted number is an IPv4 address to whoever reads it, and `localhost` is this host (RFC 6761 §6.3).
    """
    parts = name.split(".")
    if len(name) > LONGEST_NAME or not all(LABEL.fullmatch(part) for part in parts):
        return False
    return parts[-1] != "localhost" and not all(part.isdigit() for part in parts)
