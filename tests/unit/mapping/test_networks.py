"""Which network a label means, and what follows from its kind."""

import pytest

from dockeripv6mapper.mapping.networks import (
    Networks,
    check_connectable,
    mapped_subnet,
    needs_proxy,
)
from dockeripv6mapper.model import Endpoint, Network, Reason, RefusedError
from tests.unit import builders


def test_a_network_is_found_by_name_id_and_short_id() -> None:
    """As with the engine's own commands."""
    he_ipv6 = builders.network()
    networks = Networks([he_ipv6, builders.network("other")])
    for reference in ("he_ipv6", builders.HE_IPV6_ID, builders.HE_IPV6_ID[:12]):
        assert networks.find(reference) is he_ipv6


@pytest.mark.parametrize("reference", ["nope", "HE_IPV6", builders.HE_IPV6_ID[:11]])
def test_an_unknown_network_is_refused(reference: str) -> None:
    """Case matters, and a shorter piece of an ID is taken for a name."""
    with pytest.raises(RefusedError) as caught:
        Networks([builders.network()]).find(reference)
    assert caught.value.refusal.reason is Reason.NETWORK_NOT_FOUND


def test_a_name_that_two_networks_have_is_refused() -> None:
    """Guessing would expose a container on the wrong one."""
    networks = Networks([builders.network("twin", network_id="a"), builders.network("twin", network_id="b")])
    with pytest.raises(RefusedError) as caught:
        networks.find("twin")
    assert caught.value.refusal.reason is Reason.NETWORK_AMBIGUOUS


def test_an_endpoint_before_the_first_start_is_known_by_its_networks_name() -> None:
    """The engine fills in the network's ID only then."""
    he_ipv6 = builders.network()
    waiting = builders.container(endpoints=(Endpoint("he_ipv6", ""),))
    assert Networks([he_ipv6]).endpoint(waiting, he_ipv6.id, "he_ipv6") == Endpoint("he_ipv6", "")


def test_an_endpoint_of_a_network_that_was_made_anew_is_of_no_network() -> None:
    """The name is the same, the network another."""
    stale = Endpoint("he_ipv6", "id-of-the-old-one")
    assert Networks([builders.network()]).of(stale) is None


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (builders.network(subnet=None), Reason.NETWORK_WITHOUT_IPV6),
        (builders.network("bridge", default_bridge=True), Reason.NETWORK_PREDEFINED),
    ],
)
def test_a_network_that_takes_no_ipv6_address_is_refused(network: Network, reason: Reason) -> None:
    """Each for its own reason, with the command that makes one that does."""
    with pytest.raises(RefusedError) as caught:
        mapped_subnet(network)
    assert caught.value.refusal.reason is reason
    assert "docker network create --ipv6" in caught.value.refusal.detail


@pytest.mark.parametrize(
    ("driver", "internal", "ipvlan_mode", "needed"),
    [
        ("bridge", False, None, True),
        ("bridge", True, None, False),
        ("ipvlan", False, "l3", True),
        ("ipvlan", False, "l3s", True),
        ("ipvlan", False, "l2", False),
        ("ipvlan", False, None, False),
        ("macvlan", False, None, False),
        ("overlay", False, None, False),
    ],
)
def test_only_routed_networks_need_proxying(
    driver: str, internal: bool, ipvlan_mode: str | None, needed: bool
) -> None:
    """Macvlan and ipvlan L2 answer for themselves on the uplink's link."""
    network = builders.network(driver=driver, internal=internal, ipvlan_mode=ipvlan_mode)
    assert needs_proxy(network) is needed


@pytest.mark.parametrize("mode", ["host", "none", "container:0123456789ab"])
def test_a_container_without_a_network_of_its_own_is_refused(mode: str) -> None:
    """The engine would refuse it too."""
    with pytest.raises(RefusedError) as caught:
        check_connectable(builders.container(network_mode=mode))
    assert caught.value.refusal.reason is Reason.NOT_CONNECTABLE
