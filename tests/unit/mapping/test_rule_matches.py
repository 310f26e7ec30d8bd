"""Matches of addresses in rules."""

import time
from ipaddress import IPv6Address

import pytest

from dockeripv6mapper.mapping.rule_matches import Packet, parse

FIRST, SECOND = IPv6Address("2001:db8::1"), IPv6Address("2001:db8::2")
HOLES = "2001:db8::/ffff:0:ffff::"
"""A mask that cannot be read."""


def matches(words: str, source: IPv6Address | None) -> bool | None:
    """Whether a rule drops a packet from an address; None: one outside that no rule names."""
    return parse((*words.split(), "-j", "DROP")).matches(Packet("br-1", "eth0", source=source))


@pytest.mark.parametrize("subnet", ["::/0", "0::/0", "2000::/3", "2001:db8::1,2000::/3"])
def test_a_subnet_of_all_global_addresses_has_every_client(subnet: str) -> None:
    """As in `ip6 saddr 2000::/3 drop`."""
    assert matches(f"-s {subnet}", None) is True
    assert matches(f"! -s {subnet}", None) is False
    assert matches("-s 2000::/4", None) is False


@pytest.mark.parametrize(
    ("subnets", "address", "within"),
    [
        ("2001:db8::1", FIRST, True),
        ("2001:db8::1/128,2001:db8::9", SECOND, False),
        ("2001:db8::/127", FIRST, True),
        ("2001:db8::/127", SECOND, False),
        ("2001:db8::2-2001:db8::9,::1", SECOND, True),
        ("2001:db8::2-2001:db8::9,::1", FIRST, False),
        (f"{HOLES},2001:db8::1", FIRST, True),
        (f"{HOLES},2001:db8::1", SECOND, None),
        (HOLES, None, False),
    ],
)
def test_an_address_within_some_subnets(
    subnets: str, address: IPv6Address | None, *, within: bool | None
) -> None:
    """Addresses, subnets, ranges, and masks that cannot be read: then only a match of another is known."""
    assert matches(f"-s {subnets}", address) is within


def test_a_long_list_of_addresses_is_compared_fast() -> None:
    """A set may have an address for each container, and is compared with each of them."""
    addresses = [IPv6Address(f"2001:db8:1::{number:x}") for number in range(1, 3000)]
    many = ",".join(map(str, addresses))
    began = time.process_time()
    assert all(matches(f"-s {many}", each) for each in addresses)
    assert time.process_time() - began < 1.5
