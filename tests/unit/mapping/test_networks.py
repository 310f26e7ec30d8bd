"""Networks: which network a label names, its subnet, and which containers can be connected to one."""

from dataclasses import replace

import pytest

from dockeripv6mapper.mapping.networks import (
    Networks,
    check_connectable,
    mapped_subnet,
)
from dockeripv6mapper.model import Endpoint, Network, Reason, RefusedError
from tests.unit import builders


def test_a_network_is_found_by_name_id_and_short_id() -> None:
    """As by the engine's own commands."""
    he_ipv6 = builders.network()
    networks = Networks([he_ipv6, builders.network("other")])
    for reference in ("he_ipv6", builders.HE_IPV6_ID, builders.HE_IPV6_ID[:12]):
        assert networks.find(reference) is he_ipv6


@pytest.mark.parametrize("reference", ["nope", "HE_IPV6", builders.HE_IPV6_ID[:11]])
def test_an_unknown_network_is_refused(reference: str) -> None:
    """Names are case-sensitive. A text shorter than a short ID can only be a name."""
    with pytest.raises(RefusedError) as caught:
        Networks([builders.network()]).find(reference)
    assert caught.value.refusal.reason is Reason.NETWORK_NOT_FOUND


def test_an_ambiguous_network_name_is_refused() -> None:
    """A guess could expose a container on the wrong network."""
    networks = Networks([builders.network("twin", network_id="a"), builders.network("twin", network_id="b")])
    with pytest.raises(RefusedError) as caught:
        networks.find("twin")
    assert caught.value.refusal.reason is Reason.NETWORK_AMBIGUOUS


def test_an_endpoint_without_a_network_id_is_found_by_the_networks_name() -> None:
    """The engine fills the ID in at the container's first start."""
    he_ipv6 = builders.network()
    created = builders.container(endpoints=(Endpoint("he_ipv6", ""),))
    assert Networks([he_ipv6]).endpoint(created, he_ipv6.id, "he_ipv6") == Endpoint("he_ipv6", "")


def test_an_endpoint_on_a_removed_network_is_not_on_a_new_one_of_its_name() -> None:
    """The IDs differ."""
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
    """Each with its own reason, and with the command that creates a suitable network."""
    with pytest.raises(RefusedError) as caught:
        mapped_subnet(network)
    assert caught.value.refusal.reason is reason
    assert "docker network create --ipv6" in caught.value.refusal.detail


@pytest.mark.parametrize(
    "network",
    [
        builders.network(driver="overlay"),
        builders.network(driver=""),
        replace(builders.network(), takes_services_only=True),
        replace(builders.network(), config_only=True),
    ],
    ids=["overlay", "overlay that is not in use", "only for services", "configuration"],
)
def test_a_network_to_which_no_container_can_be_attached_is_refused(network: Network) -> None:
    """Before the engine is asked: it may accept the connect, and then not start the container."""
    with pytest.raises(RefusedError) as caught:
        mapped_subnet(network)
    assert caught.value.refusal.reason is Reason.NETWORK_UNSUPPORTED


@pytest.mark.parametrize("mode", ["host", "none", "container:0123456789ab"])
def test_a_container_without_a_network_of_its_own_is_refused(mode: str) -> None:
    """The engine would refuse the connect as well."""
    with pytest.raises(RefusedError) as caught:
        check_connectable(builders.container(network_mode=mode))
    assert caught.value.refusal.reason is Reason.NOT_CONNECTABLE
