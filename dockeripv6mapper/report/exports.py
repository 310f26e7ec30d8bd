"""Names and addresses as lines of a hosts file or records of a zone file.

A name is the container's identity, from which its address is computed. A Swarm task's is `service.slot`: it
stays the same when the task is recreated. Names are untrusted: only valid host names are written, because
other text could add lines or fields to the file.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # report.status imports rich, and `--help` imports this module for `NameFormat`.
    from dockeripv6mapper.report.status import Row

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
"""One label of a host name in lower case (RFC 1123 §2.1, RFC 1034 §3.5)."""
LONGEST_NAME = 253
"""Characters of a host name, including the dots (RFC 1035 §2.3.4: 255 octets in a message)."""


class NameFormat(StrEnum):
    """The file format of the lines."""

    HOSTS = "hosts"
    """`ADDRESS NAME`, for /etc/hosts."""
    ZONE = "zone"
    """`NAME IN AAAA ADDRESS`, relative to the zone's origin and with its default TTL (RFC 1035 §5.1)."""


@dataclass(frozen=True, slots=True)
class Names:
    """The mapped containers with a valid host name, and a note on each other one."""

    addresses: Mapping[str, IPv6Address]
    left_out: tuple[str, ...]


def names(rows: Iterable["Row"]) -> Names:
    """The mapped containers' addresses by name, sorted; names that are equal in lower case are left out."""
    # Imported here for the same reason.
    from dockeripv6mapper.mapping.labels import shown  # noqa: PLC0415
    from dockeripv6mapper.mapping.state import State  # noqa: PLC0415

    addresses: dict[str, IPv6Address] = {}
    left_out: list[str] = []
    mapped = {(row.identity, row.wanted) for row in rows if row.state is State.MAPPED}
    by_folded_name: dict[str, list[tuple[str, IPv6Address]]] = {}
    for name, address in mapped:
        if name is not None and address is not None:
            by_folded_name.setdefault(name.lower(), []).append((name, address))
    for folded, namesakes in sorted(by_folded_name.items()):
        if not is_host_name(folded):
            left_out.append(
                f"{shown(namesakes[0][0])} is no host name: use letters, digits and, between them, hyphens"
            )
        elif len(namesakes) > 1:
            spellings = " and ".join(f"{name} ({address})" for name, address in sorted(namesakes))
            left_out.append(f"{spellings} are one host name")
        else:
            addresses |= namesakes
    return Names(addresses, tuple(left_out))


def lines(names: Names, name_format: NameFormat) -> list[str]:
    """A line for each name, without line ends."""
    if name_format is NameFormat.HOSTS:
        return [f"{address} {name}" for name, address in names.addresses.items()]
    return [f"{name} IN AAAA {address}" for name, address in names.addresses.items()]


def is_host_name(name: str) -> bool:
    """Whether `name`, in lower case, is a host name without a special meaning.

    Excluded: dotted numbers, which programs read as IPv4 addresses, and `localhost` (RFC 6761 §6.3).
    """
    parts = name.split(".")
    if len(name) > LONGEST_NAME or not all(LABEL.fullmatch(part) for part in parts):
        return False
    return parts[-1] != "localhost" and not all(part.isdigit() for part in parts)
