"""Addresses: from an identity or a suffix and a subnet to one IPv6 address, or to a refusal.

These rules are a contract: an address that was published in DNS must never change. Which networks exist is
decided in `desired`, which container holds an address in `claims`.
"""

import hashlib
from ipaddress import IPv6Address, IPv6Network

from dockeripv6mapper.model import Host, Network, Reason, RefusedError
from dockeripv6mapper.settings import Scheme

ADDRESS_BITS = 128
MD5_BITS = 128
MD5_24_HEXTETS = 3
"""Hextets of the `md5-24` suffix, one digest byte in each (the original program's layout)."""
WIDE_MOST_BITS = 64
"""Most bits of a `wide` suffix: the length of an interface identifier (RFC 4291 §2.5.1)."""


def hashed_suffix(identity: str, subnet: IPv6Network, scheme: Scheme) -> int:
    """The suffix of an identity, as a number.

    `md5-24` needs 48 host bits; a subnet that has fewer always uses `wide`.
    """
    digest = hashlib.md5(identity.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
    if _is_wide(subnet, scheme):
        return int.from_bytes(digest) >> (MD5_BITS - hash_bits(subnet, scheme))
    suffix = 0
    for byte in digest[:MD5_24_HEXTETS]:
        suffix = suffix << 16 | byte
    return suffix


def hash_bits(subnet: IPv6Network, scheme: Scheme) -> int:
    """Bits of the digest in an address of this subnet, so that names can hash to 2**bits addresses."""
    if _is_wide(subnet, scheme):
        return min(ADDRESS_BITS - subnet.prefixlen, WIDE_MOST_BITS)
    return MD5_24_HEXTETS * 8


def _is_wide(subnet: IPv6Network, scheme: Scheme) -> bool:
    """Whether addresses follow the scheme `wide`: by choice, or since there are fewer than 48 host bits."""
    return scheme is Scheme.WIDE or ADDRESS_BITS - subnet.prefixlen < MD5_24_HEXTETS * 16


def suffix_text(suffix: int) -> str:
    """`suffix` in hextets, as in a label: `3d:7a:30`."""
    hextets = [f"{suffix & 0xFFFF:x}"]
    while suffix := suffix >> 16:
        hextets.append(f"{suffix & 0xFFFF:x}")
    return ":".join(reversed(hextets))


def place(suffix: int, subnet: IPv6Network) -> IPv6Address:
    """Right-align `suffix` in `subnet`.

    Raises `RefusedError(SUFFIX_TOO_WIDE)` where the suffix has a bit set inside the prefix. It is never
    truncated: two suffixes that differ only in those bits would get the same address.
    """
    host_bits = ADDRESS_BITS - subnet.prefixlen
    if suffix >> host_bits:
        raise RefusedError(
            Reason.SUFFIX_TOO_WIDE,
            f"suffix {suffix_text(suffix)} does not fit the {host_bits} host bits of {subnet}",
        )
    return subnet.network_address + suffix


def default_gateway(subnet: IPv6Network) -> IPv6Address:
    """The gateway of a subnet for which the user set none: the engine takes the first address."""
    return subnet[min(1, subnet.num_addresses - 1)]


def check_network(address: IPv6Address, subnet: IPv6Network, network: Network) -> None:
    """Raise `RefusedError` for an address that the network reserves.

    Every router on the link has the subnet-router anycast address (RFC 4291 §2.6.1): a proxy entry for it
    would attract the traffic of others.
    """
    if address == subnet.network_address:
        raise _reserved(
            Reason.SUBNET_ROUTER_ANYCAST, address, f"the subnet-router anycast address of {subnet}"
        )
    if address in network.gateways:
        raise _reserved(Reason.GATEWAY, address, f"the gateway of network {network.name}")
    if address in network.auxiliary:
        raise _reserved(Reason.AUXILIARY, address, f"an auxiliary address of network {network.name}")


def check_host(address: IPv6Address, host: Host) -> None:
    """Raise `RefusedError` for an address of the host or of one of its routers."""
    if address in host.addresses:
        raise _reserved(Reason.HOST_ADDRESS, address, "an address of the host itself")
    if address in host.next_hops:
        raise _reserved(Reason.NEXT_HOP, address, "a next hop of the host's routes")


def _reserved(reason: Reason, address: IPv6Address, role: str) -> RefusedError:
    return RefusedError(reason, f"{address} is {role}", address)
