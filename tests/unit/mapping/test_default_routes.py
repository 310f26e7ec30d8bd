"""Default routes: which other networks can carry one, and where the user has chosen."""

from dataclasses import replace
from ipaddress import IPv6Network

import pytest

from dockeripv6mapper.mapping.default_routes import (
    gateway_priority,
    is_chosen_by_user,
    keeps_ipv4_route,
    needs_mark,
    other_ipv6_endpoints,
)
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.labels import DEFAULT_ROUTE
from dockeripv6mapper.mapping.planner import plan_endpoint
from dockeripv6mapper.model import AddressMapping, Container, Decision, Network, Reason, Refusal
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
    [(1, 0, False), (0, 0, False), (1, 1, True), (0, 1, True), (0, -1, False), (5, 3, False), (-2, 0, True)],
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
    assert getattr(plan_endpoint(which, decision, facts(which)), "priority", None) == wanted
    assert is_chosen_by_user(which, decision, facts(which)) is not wanted


def test_a_priority_of_the_mapper_below_zero_is_not_the_users_choice() -> None:
    """Only the endpoint's mark shows whose it is, so the endpoint has to be inspected."""
    endpoints = replace(MAPPED, priority=-1), endpoint(of=AAA)
    which = container(running=True, endpoints=endpoints)
    known = facts(which, networks=NETWORKS)
    assert not is_chosen_by_user(which, MAPPING, known)
    assert not needs_mark(which, MAPPING, known)
    unmarked = replace(which, endpoints=(replace(endpoints[0], ours=None), endpoints[1]))
    assert is_chosen_by_user(unmarked, MAPPING, known)
    assert needs_mark(unmarked, MAPPING, known)
    alone = replace(unmarked, endpoints=unmarked.endpoints[:1])
    assert not needs_mark(alone, MAPPING, known)


DUAL = network(ipv4=True)
BRIDGE = replace(IPV4_ONLY, ipv4=True)
DUAL_AAA = replace(AAA, ipv4=True)


def on(*networks: Network, network_mode: str | None = "bridge") -> Container:
    """A container on these networks, to be mapped on another one."""
    return container(network_mode=network_mode, endpoints=tuple(endpoint(of=each) for each in networks))


@pytest.mark.parametrize(
    ("which", "networks", "priority"),
    [
        (on(BRIDGE), (DUAL, BRIDGE), -1),
        (on(BRIDGE), (DUAL, BRIDGE, DUAL_AAA), -1),
        (on(BRIDGE, INTERNAL), (DUAL, BRIDGE, INTERNAL), -1),
        (on(BRIDGE, DUAL_AAA), (DUAL, BRIDGE, DUAL_AAA), 1),
        (on(BRIDGE, network("gone")), (DUAL, BRIDGE), 1),
        (on(AAA), (DUAL, AAA), 1),
        (on(), (DUAL, BRIDGE), 1),
        (on(BRIDGE), (network(), BRIDGE), 1),
        (on(network_mode=None), (DUAL, BRIDGE, INTERNAL), -1),
        (on(network_mode=None), (DUAL, BRIDGE, DUAL_AAA), 1),
    ],
    ids=[
        "IPv4 elsewhere",
        "a network that it is not on",
        "an internal network",
        "IPv6 elsewhere",
        "unknown network",
        "no IPv4 elsewhere",
        "no other network",
        "without IPv4",
        "just created",
        "just created, IPv6 possible",
    ],
)
def test_the_ipv4_default_route_stays_where_ipv6_still_goes_over_the_mapped_network(
    which: Container, networks: tuple[Network, ...], priority: int
) -> None:
    """Since engine 29.4.2; before it, a network with both families wins, whatever the priorities."""
    known = replace(facts(which, networks=networks), routes_by_family=True)
    assert gateway_priority(which, MAPPING, known) == priority
    assert gateway_priority(which, MAPPING, replace(known, routes_by_family=False)) == 1
    assert gateway_priority(which, replace(MAPPING, default_route=False), known) == 0


@pytest.mark.parametrize(
    ("own", "other", "keeps"), [(-1, BRIDGE, True), (1, BRIDGE, False), (0, BRIDGE, False), (-1, AAA, False)]
)
def test_the_ipv4_default_route_goes_by_priority_since_engine_29(
    own: int, other: Network, *, keeps: bool
) -> None:
    """Of the networks with IPv4. With equal priorities, a network with both families wins."""
    which = container(running=True, endpoints=(replace(MAPPED, priority=own), endpoint(of=other)))
    known = replace(facts(which, networks=(DUAL, BRIDGE, AAA)), routes_by_family=True)
    assert keeps_ipv4_route(which, DUAL, known) is keeps
    assert not keeps_ipv4_route(which, DUAL, replace(known, routes_by_family=False))


def test_an_images_label_does_not_count_and_an_invalid_one_is_refused() -> None:
    """As for all labels."""
    which = container(network="he_ipv6", other_labels={DEFAULT_ROUTE: "no"})
    ignored, refused = decide(which, {DEFAULT_ROUTE: "no"}), decide(which, {})
    assert isinstance(ignored, AddressMapping)
    assert ignored.default_route
    assert isinstance(refused, Refusal)
    assert refused.reason is Reason.INVALID_LABEL
    assert "expected true or false" in refused.detail
