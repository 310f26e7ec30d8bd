"""The address contract, in literal values, none of which may ever change."""

from ipaddress import IPv6Address, IPv6Network

import pytest

from dockeripv6mapper.mapping import addressing
from dockeripv6mapper.model import Reason, RefusedError
from dockeripv6mapper.settings import Scheme
from tests.unit import builders


@pytest.mark.parametrize(
    ("identity", "subnet", "scheme", "address"),
    [
        # The older program's manual.
        ("mon_container", "2001:470:b080:103:1::/80", Scheme.MD5_24, "2001:470:b080:103:1:3d:7a:30"),
        ("nginx", "2001:470:b080:103:1::/80", Scheme.MD5_24, "2001:470:b080:103:1:ee:43:40"),
        # One digest byte in each hextet, wherever the prefix ends.
        ("mon_container", "2001:db8::/64", Scheme.MD5_24, "2001:db8::3d:7a:30"),
        ("mon_container", "2001:db8::/48", Scheme.MD5_24, "2001:db8::3d:7a:30"),
        # The digest of mon_container begins 3d7a3059c25c4c3a.
        ("mon_container", "2001:db8::/64", Scheme.WIDE, "2001:db8::3d7a:3059:c25c:4c3a"),
        ("mon_container", "2001:db8::/48", Scheme.WIDE, "2001:db8::3d7a:3059:c25c:4c3a"),
        ("mon_container", "2001:db8::/80", Scheme.WIDE, "2001:db8::3d7a:3059:c25c"),
        # Fewer than 48 host bits: always wide.
        ("mon_container", "2001:db8::/96", Scheme.MD5_24, "2001:db8::3d7a:3059"),
        ("mon_container", "2001:db8::/112", Scheme.MD5_24, "2001:db8::3d7a"),
        ("mon_container", "2001:db8::/120", Scheme.MD5_24, "2001:db8::3d"),
        ("mon_container", "2001:db8::/124", Scheme.MD5_24, "2001:db8::3"),
        ("mon_container", "2001:db8::10/124", Scheme.WIDE, "2001:db8::13"),
    ],
)
def test_the_address_of_an_identity(identity: str, subnet: str, scheme: Scheme, address: str) -> None:
    """Hash and placement never change."""
    network = IPv6Network(subnet)
    suffix = addressing.hashed_suffix(identity, network, scheme)
    assert addressing.place(suffix, network) == IPv6Address(address)


def test_names_that_differ_after_a_dot_have_different_addresses() -> None:
    """The older program cut dotted names, so that both had one address."""
    subnet = IPv6Network("2001:db8::/64")
    com = addressing.hashed_suffix("www.example.com", subnet, Scheme.MD5_24)
    org = addressing.hashed_suffix("www.example.org", subnet, Scheme.MD5_24)
    assert com != org


def test_a_suffix_that_does_not_fit_is_refused() -> None:
    """It is never truncated: two suffixes could get one address."""
    with pytest.raises(RefusedError) as caught:
        addressing.place(0xAB_00CD_0056, IPv6Network("2001:db8::/112"))
    assert caught.value.refusal.reason is Reason.SUFFIX_TOO_WIDE
    assert "ab:cd:56" in caught.value.refusal.detail


def test_a_suffix_that_just_fits_is_placed() -> None:
    """All host bits may be used."""
    assert addressing.place(0xF, IPv6Network("2001:db8::/124")) == IPv6Address("2001:db8::f")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("2001:470:b080:103:1::", Reason.SUBNET_ROUTER_ANYCAST),
        ("2001:470:b080:103:1::1", Reason.GATEWAY),
        ("2001:470:b080:103:1::a", Reason.AUXILIARY),
    ],
)
def test_an_address_that_the_network_reserves_is_refused(address: str, reason: Reason) -> None:
    """The subnet-router anycast, gateway and auxiliary addresses, each with its own reason."""
    network = builders.network(auxiliary=frozenset({IPv6Address("2001:470:b080:103:1::a")}))
    with pytest.raises(RefusedError) as caught:
        addressing.check_network(IPv6Address(address), builders.SUBNET, network)
    assert caught.value.refusal.reason is reason


def test_an_address_of_the_host_or_of_a_router_is_refused() -> None:
    """A proxy entry for it would cut the host off."""
    own, router = IPv6Address("2001:db8::2"), IPv6Address("2001:db8::1")
    host = builders.host(addresses=frozenset({own}), next_hops=frozenset({router}))
    for address, reason in ((own, Reason.HOST_ADDRESS), (router, Reason.NEXT_HOP)):
        with pytest.raises(RefusedError) as caught:
            addressing.check_host(address, host)
        assert caught.value.refusal.reason is reason


@pytest.mark.parametrize(("suffix", "text"), [(0, "0"), (5, "5"), (0x3D_007A_0030, "3d:7a:30")])
def test_a_suffix_is_printed_as_in_a_label(suffix: int, text: str) -> None:
    """So that it can be pasted into one."""
    assert addressing.suffix_text(suffix) == text
