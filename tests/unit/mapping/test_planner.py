"""Desired against observed: which actions are planned, and that none is where all is well."""

from collections.abc import Set as AbstractSet
from dataclasses import replace
from ipaddress import IPv6Address

import pytest

from dockeripv6mapper.actions import (
    Connect,
    EndpointAction,
    EndpointChange,
    Reconnect,
    Release,
    Restore,
    Vacate,
)
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.planner import (
    Plan,
    plan,
    plan_endpoint,
    plan_proxies,
)
from dockeripv6mapper.mapping.sysctls import sysctls_for
from dockeripv6mapper.model import Container, Network, Opening, ProxyEntry
from dockeripv6mapper.settings import FirewallMode, Settings
from tests.unit import builders
from tests.unit.builders import MON_CONTAINER, NGINX, container, endpoint, facts, host, network

ENTRY = ProxyEntry(MON_CONTAINER, "eth0")
OTHER = ProxyEntry(NGINX, "eth0")


def planned(given: Facts, which: Container) -> EndpointAction | None:
    """What is planned for one container where all are known."""
    desired = Desired(Settings())
    desired.update(given, given.containers)
    return plan_endpoint(which, desired.decision(which.id), given)


def on_he_ipv6(kind: type[EndpointChange]) -> EndpointChange:
    """An action that concerns `mon_container` on `he_ipv6` at its address."""
    return kind("id-of-mon_container", "mon_container", builders.HE_IPV6_ID, "he_ipv6", MON_CONTAINER)


def test_a_detached_container_is_connected() -> None:
    """Whether it runs or not."""
    for running in (True, False):
        which = container(network="he_ipv6", running=running)
        assert planned(facts(which), which) == on_he_ipv6(Connect)


@pytest.mark.parametrize(
    "attached",
    [
        container(network="he_ipv6", running=True, endpoints=(endpoint(NGINX, None),)),
        container(network="he_ipv6", running=False, endpoints=(endpoint(None, NGINX),)),
        container(network="he_ipv6", running=False, endpoints=(endpoint(None, None),)),
    ],
)
def test_a_container_at_another_address_is_moved(attached: Container) -> None:
    """The engine ignores a second connect without a word, so it must be a reconnect."""
    assert planned(facts(attached), attached) == on_he_ipv6(Reconnect)


@pytest.mark.parametrize(
    "attached",
    [
        container(network="he_ipv6", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),)),
        container(network="he_ipv6", running=False, endpoints=(endpoint(None, MON_CONTAINER),)),
        container(network="he_ipv6", running=True, endpoints=(endpoint(None, MON_CONTAINER),)),
    ],
)
def test_nothing_is_planned_where_all_is_well(attached: Container) -> None:
    """Running with the address, stopped and configured with it, or about to have it."""
    assert planned(facts(attached), attached) is None


def test_an_address_of_ours_that_somebody_else_holds_is_taken_back_from_a_stopped_container() -> None:
    """Its next start would fail."""
    holder = container("holder", running=True, endpoints=(endpoint(MON_CONTAINER),))
    for ours in (True, None):
        stopped = container(network="he_ipv6", endpoints=(endpoint(None, MON_CONTAINER, ours=ours),))
        assert planned(facts(stopped, holder), stopped) == on_he_ipv6(Release)


def test_an_address_that_the_user_asked_for_is_never_taken_back() -> None:
    """It is the user's conflict then."""
    holder = container("holder", running=True, endpoints=(endpoint(MON_CONTAINER),))
    stopped = container(network="he_ipv6", endpoints=(endpoint(None, MON_CONTAINER, ours=False),))
    assert planned(facts(stopped, holder), stopped) is None


def test_who_makes_way_gives_its_address_up_and_the_others_wait() -> None:
    """It is moved itself when they have been."""
    other = IPv6Address("2001:470:b080:103:1::5")
    newer = container(network="he_ipv6", running=True, created=2, endpoints=(endpoint(other, ours=True),))
    older = container("other", network="he_ipv6", suffix="5", running=True, created=1)
    older = replace(older, endpoints=(endpoint(MON_CONTAINER, ours=True),))
    assert planned(facts(newer, older), newer) == replace(on_he_ipv6(Vacate), address=other)
    assert planned(facts(newer, older), older) is None


def planned_for(
    given: Facts, settings: Settings | None = None, unfinished: AbstractSet[str] = frozenset()
) -> Plan:
    """The plan of a full pass."""
    settings = settings or Settings()
    desired = Desired(settings)
    scope = desired.update(given, given.containers)
    return plan(desired, given, settings, scope, whole=True, unfinished=unfinished)


def test_missing_entries_are_added_and_ours_that_nobody_wants_removed() -> None:
    """The way from what is there to what is wanted."""
    plan = plan_proxies({ENTRY}, {OTHER: True})
    assert (plan.add, plan.remove) == ((ENTRY,), (OTHER,))


def test_somebody_elses_entry_is_neither_adopted_nor_removed() -> None:
    """It does the work of a wanted one, and is not ours to remove."""
    plan = plan_proxies({ENTRY}, {ENTRY: False, OTHER: False})
    assert not plan.add
    assert not plan.remove


def test_a_pass_over_a_host_that_is_right_plans_nothing() -> None:
    """All at once: endpoint, entry and sysctls as they should be."""
    right = container(network="he_ipv6", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
    given = facts(right, of_host=host(entries={ENTRY: True}))
    settings = Settings()
    desired = Desired(settings)
    desired.update(given, given.containers)
    sysctls = {key: value for key, value, _ in sysctls_for(desired, given, settings)}
    assert not planned_for(replace(given, sysctls=sysctls), settings)


def test_a_pass_plans_everything_that_is_wrong() -> None:
    """A detached container, a stale entry, a sysctl that is off."""
    given = facts(container(network="he_ipv6"), of_host=host(entries={OTHER: True}))
    todo = planned_for(replace(given, sysctls={"conf/all/forwarding": "0"}))
    assert todo.endpoints == (on_he_ipv6(Connect),)
    assert todo.proxies.remove == (OTHER,)
    assert ("conf/all/forwarding", "0", "1") in [(each.key, each.old, each.new) for each in todo.sysctls]


def test_a_plan_says_what_is_closed_to_what_no_label_opens() -> None:
    """With `--firewall closed`, and where an earlier daemon had it."""
    given = facts(container(network="he_ipv6"), of_host=replace(host(), closed=frozenset({OTHER.address})))
    for mode, shut in ((FirewallMode.CLOSED, [MON_CONTAINER]), (FirewallMode.ENGINE, [])):
        todo = planned_for(given, Settings(firewall=mode)).firewall
        assert (todo.shut, todo.unshut) == (shut, [OTHER.address])


def test_nothing_is_planned_for_a_firewall_that_may_not_be_touched() -> None:
    """What an earlier daemon opened and closed stays, as the daemon leaves it."""
    left = replace(
        host(), openings=frozenset({Opening(OTHER.address, "tcp", 80, 80)}), closed=frozenset({OTHER.address})
    )
    given = facts(of_host=left)
    assert planned_for(given).firewall
    assert not planned_for(given, Settings(firewall=FirewallMode.OFF)).firewall


def test_the_address_of_an_earlier_name_is_taken_back() -> None:
    """A container that was renamed while it was stopped has no claim to it any more."""
    holder = container("holder", running=True, endpoints=(endpoint(MON_CONTAINER),))
    earlier = IPv6Address("2001:470:b080:103:1::77")
    stopped = container(network="he_ipv6", endpoints=(endpoint(None, earlier, ours=True),))
    assert planned(facts(stopped, holder), stopped) == replace(on_he_ipv6(Release), address=earlier)


@pytest.mark.parametrize(
    "networks",
    [(), (network(network_id="made-anew"),), (network(subnet=None),)],
    ids=["gone", "made anew", "without IPv6"],
)
def test_an_address_on_a_network_that_is_gone_is_taken_back(networks: tuple[Network, ...]) -> None:
    """The container could not be started; one that the user attached is left to the user."""
    for ours, expected in ((True, Release), (None, Release), (False, None)):
        stopped = container(network="he_ipv6", endpoints=(endpoint(None, MON_CONTAINER, ours=ours),))
        action = planned(facts(stopped, networks=networks), stopped)
        if expected is None:
            assert not isinstance(action, Release)
        else:
            assert isinstance(action, Release)


def test_what_a_user_set_on_a_network_that_was_made_anew_is_carried_over() -> None:
    """It stands under the network's name, so the container is moved rather than connected."""
    stopped = container(network="he_ipv6", endpoints=(endpoint(None, None, ours=False),))
    anew = network(network_id="made-anew")
    action = planned(facts(stopped, networks=(anew,)), stopped)
    assert action == replace(on_he_ipv6(Reconnect), network_id="made-anew")


def test_a_container_that_is_being_restarted_or_removed_is_left_alone() -> None:
    """The engine would do half of what it is asked."""
    restarting = replace(container(network="he_ipv6"), in_transition=True)
    assert planned(facts(restarting), restarting) is None


def test_what_was_begun_is_finished_first() -> None:
    """Whatever else is wanted; `plan` says so too."""
    which = container(network="he_ipv6", running=True)
    todo = planned_for(facts(which), unfinished={which.id})
    assert todo.endpoints == (Restore(which.id, "mon_container"),)


def test_nothing_is_planned_for_a_container_that_an_action_is_being_carried_out_on() -> None:
    """Its address is in flight."""
    which = container(network="he_ipv6")
    assert planned_for(facts(which)).endpoints
    acting = replace(facts(which), acting={which.id}, in_flight={which.id: MON_CONTAINER})
    assert not planned_for(acting).endpoints
