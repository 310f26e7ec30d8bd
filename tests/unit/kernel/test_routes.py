"""Routes: which destinations make one a default route."""

from ipaddress import IPv6Network

import pytest

from dockeripv6mapper.kernel.routes import is_default


@pytest.mark.parametrize("destination", ["::/0", "::/1", "::/2", "2000::/3", "2000::/4", "3000::/4"])
def test_routes_to_the_internet_are_default_routes(destination: str) -> None:
    """Also halves, as VPN clients add them to be preferred to another default route."""
    assert is_default(IPv6Network(destination))


@pytest.mark.parametrize(
    "destination", ["8000::/1", "::/3", "fc00::/7", "2001::/16", "2000::/5", "fe80::/64"]
)
def test_routes_to_less_are_none(destination: str) -> None:
    """Half of the global unicast addresses is the least that counts."""
    assert not is_default(IPv6Network(destination))
