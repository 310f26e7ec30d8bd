"""Default routes: which other networks can carry one, and where the user has chosen."""

from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from dockeripv6mapper.mapping.default_routes import is_chosen_by_user, other_ipv6_endpoints
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.labels import DEFAULT_ROUTE
from dockeripv6mapper.mapping.planner import plan_endpoint
from dockeripv6mapper.model import AddressMapping, Container, Decision, Reason, Refusal
from dockeripv6mapper.settings import Settings
from tests.unit.builders import IMAGE, MON_CONTAINER, container, endpoint, facts, network

AAA = network("aaa", IPv6Network("fd00:aaaa::/64"))
INTERNAL = network("inside", IPv6Network("fd00:bbbb::/64"), internal=True)
IPV4_ONLY = network("bridge", None)
NETWORKS = (network(), AAA, INTERNAL, IPV4_ONLY)
MAPPED = endpoint(MON_CONTAINER, MON_CONTAINER, ours=True)
MAPPING = AddressMapping(network().id, "he_ipv6", MON_CONTAINER, "mon_container")


def decide(which: Container, image_labels: dict[str, str], settings: Settings | None = None) -> Decision:
    """Return the decision on a container."""
    known = facts(which, images={IMAGE: image_labels})
    desired = Desired(settings or Settings())
    desired.update(known, known.containers)
    return desired.decision(which.id)


def test_only_another_network_with_ipv6_and_a_gateway_can_carry_the_default_route() -> None:
    """Not one without IPv6, nor an internal one. A network that could not be read may."""
    other, unknown = endpoint(AAA.subnets[0][2], of=AAA), endpoint(AAA.subnets[0][3], of=network("gone"))
    inside, ipv4 = endpoint(INTERNAL.subnets[0][2], of=INTERNAL), endpoint(of=IPV4_ONLY)
    which = container(running=True, endpoints=(MAPPED, other, inside, ipv4, unknown))
    assert other_ipv6_endpoints(which, MAPPING, facts(which, networks=NETWORKS)) == [other, unknown]


@pytest.mark.parametrize(
    ("own", "other", "chosen"),
    [(1, 0, False), (0, 0, False), (1, 1, True), (0, 1, True), (0, -1, False), (5, 3, False), (-1, 0, True)],
)
def test_a_gateway_priority_of_the_user_is_the_users_choice(own: int, other: int, *, chosen: bool) -> None:
    """One above the mapped network's, whose own may be the mapper's; or one below zero for that."""
    endpoints = replace(MAPPED, priority=own), replace(endpoint(of=AAA), priority=other)
    which = container(running=True, endpoints=endpoints)
    assert is_chosen_by_user(which, MAPPING, facts(which, networks=NETWORKS)) is chosen


@pytest.mark.parametrize(
    ("label", "option", "wanted"),
    [(None, True, True), (None, False, False), ("false", True, False), (" True ", False, True)],
)
def test_the_label_overrides_the_option(label: str | None, option: bool, wanted: bool) -> None:
    """The connect carries it, and so does the decision, by which `status` knows the user's choice."""
    given = {} if label is None else {DEFAULT_ROUTE: label}
    which = container(network="he_ipv6", other_labels=given)
    decision = decide(which, {}, Settings(default_route=option))
    assert isinstance(decision, AddressMapping)
    assert decision.default_route is wanted
    assert getattr(plan_endpoint(which, decision, facts(which)), "default_route", None) is wanted
    assert is_chosen_by_user(which, decision, facts(which)) is not wanted


def test_an_images_label_does_not_count_and_an_invalid_one_is_refused() -> None:
    """As for all labels."""
    which = container(network="he_ipv6", other_labels={DEFAULT_ROUTE: "no"})
    ignored, refused = decide(which, {DEFAULT_ROUTE: "no"}), decide(which, {})
    assert isinstance(ignored, AddressMapping)
    assert ignored.default_route
    assert isinstance(refused, Refusal)
    assert refused.reason is Reason.INVALID_LABEL
    assert "expected true or false" in refused.detail
