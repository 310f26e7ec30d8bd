"""Addresses: from an identity or a suffix and a subnet to one IPv6 address, or to a refusal.

These rules are a contract: an address that was published in DNS must be the same for ever. Which networks
exist, and who holds which address, is decided in `desired`.
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
"""Most bits of a `wide` suffix: an interface identifier (RFC 4291 §2.5.1)."""


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
    """How many bits of a digest make an address there: two to their power is how many there are."""
    if _is_wide(subnet, scheme):
        return min(ADDRESS_BITS - subnet.prefixlen, WIDE_MOST_BITS)
    return MD5_24_HEXTETS * 8


def _is_wide(subnet: IPv6Network, scheme: Scheme) -> bool:
    return scheme is Scheme.WIDE or ADDRESS_BITS - subnet.prefixlen < MD5_24_HEXTETS * 16


def suffix_text(suffix: int) -> str:
    """`suffix` as its hextets, the way a label gives it: `3d:7a:30`."""
    hextets = [f"{suffix & 0xFFFF:x}"]
    while suffix := suffix >> 16:
        hextets.append(f"{suffix & 0xFFFF:x}")
    return ":".join(reversed(hextets))


def place(suffix: int, subnet: IPv6Network) -> IPv6Address:
    """Right-align `suffix` in `subnet`.

    Raises `RefusedError(SUFFIX_TOO_WIDE)` where the suffix has a bit set inside the prefix: it is never
    truncated, since two suffixes that differ only there would become one address.
    """
    host_bits = ADDRESS_BITS - subnet.prefixlen
    if suffix >> host_bits:
        raise RefusedError(
            Reason.SUFFIX_TOO_WIDE,
            f"suffix {suffix_text(suffix)} does not fit the {host_bits} host bits of {subnet}",
        )
    return subnet.network_address + suffix


def default_gateway(subnet: IPv6Network) -> IPv6Address:
    """The gateway of a subnet for which the user named none: the engine takes the first address."""
    return subnet[min(1, subnet.num_addresses - 1)]


def check_network(address: IPv6Address, subnet: IPv6Network, network: Network) -> None:
    """Refuse what the network keeps for itself.

    The subnet-router anycast address is every router's of the link (RFC 4291 §2.6.1), so one proxied
    entry for it would take the subnet's traffic. Raises `RefusedError`.
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
    """Refuse what would take an address from the host itself or from its routers. Raises `RefusedError`."""
    if address in host.addresses:
        raise _reserved(Reason.HOST_ADDRESS, address, "an address of the host itself")
    if address in host.next_hops:
        raise _reserved(Reason.NEXT_HOP, address, "a next hop of the host's routes")


def _reserved(reason: Reason, address: IPv6Address, what: str) -> RefusedError:
    return RefusedError(reason, f"{address} is {what}", address)
