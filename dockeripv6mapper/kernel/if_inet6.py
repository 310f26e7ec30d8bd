"""The IPv6 addresses of a network namespace, as `/proc/net/if_inet6` lists them."""

from ipaddress import IPv6Address
from typing import NamedTuple

SCOPE_GLOBAL = 0x00
"""Scope of global and unique local addresses (`IPV6_ADDR_ANY`, `net/ipv6/addrconf.c`)."""


class InterfaceAddress(NamedTuple):
    """An address of an interface."""

    address: IPv6Address
    link_index: int
    """Of the interface."""
    flags: int
    """`IFA_F_…` of `linux/if_addr.h`."""
    interface: str


def global_addresses(text: str) -> list[InterfaceAddress]:
    """The addresses of wider scope than a link, in the order of the file. Raises `ValueError`.

    A line has the address, then in hexadecimal the interface's index, the prefix length, the scope and the
    flags, and the interface's name (`if6_seq_show` in `net/ipv6/addrconf.c`).
    """
    lines = (line.split(maxsplit=5) for line in text.splitlines())
    return [
        InterfaceAddress(IPv6Address(int(address, 16)), int(index, 16), int(flags, 16), name.strip())
        for address, index, _length, scope, flags, name in lines
        if int(scope, 16) == SCOPE_GLOBAL
    ]
