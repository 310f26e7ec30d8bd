"""Planner: the difference between desired and observed state becomes actions; no difference, no action."""

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
from dockeripv6mapper.mapping.wanted_sysctls import sysctls_for
from dockeripv6mapper.model import Container, Network, Opening, ProxyEntry
from dockeripv6mapper.settings import FirewallMode, Settings
from tests.unit import builders
from tests.unit.builders import MON_CONTAINER, NGINX, container, endpoint, facts, host, network

ENTRY = ProxyEntry(MON_CONTAINER, "eth0")
OTHER = ProxyEntry(NGINX, "eth0")


def planned_action(given: Facts, target: Container) -> EndpointAction | None:
    """Return the action planned for one container, after all containers were decided."""
    desired = Desired(Settings())
    desired.update(given, given.containers)
    return plan_endpoint(target, desired.decision(target.id), given)


def on_he_ipv6(kind: type[EndpointChange]) -> EndpointChange:
    """Return an action on `mon_container`, at its address on `he_ipv6`."""
    where = builders.HE_IPV6_ID, "he_ipv6", MON_CONTAINER
    action = kind("id-of-mon_container", "mon_container", *where)
    return replace(action, priority=1) if isinstance(action, Connect) else action


def test_a_detached_container_is_connected() -> None:
    """A running one and a stopped one."""
    for running in (True, False):
        target = container(network="he_ipv6", running=running)
        assert planned_action(facts(target), target) == on_he_ipv6(Connect)


@pytest.mark.parametrize(
    "attached",
    [
        container(network="he_ipv6", running=True, endpoints=(endpoint(NGINX, None),)),
        container(network="he_ipv6", running=False, endpoints=(endpoint(None, NGINX),)),
        container(network="he_ipv6", running=False, endpoints=(endpoint(None, None),)),
    ],
)
def test_a_container_at_another_address_is_reconnected(attached: Container) -> None:
    """The engine silently ignores a second connect."""
    assert planned_action(facts(attached), attached) == on_he_ipv6(Reconnect)


@pytest.mark.parametrize(
    "attached",
    [
        container(network="he_ipv6", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),)),
        container(network="he_ipv6", running=False, endpoints=(endpoint(None, MON_CONTAINER),)),
        container(network="he_ipv6", running=True, endpoints=(endpoint(None, MON_CONTAINER),)),
    ],
)
def test_no_action_is_planned_for_a_container_at_its_address(attached: Container) -> None:
    """It runs with the address, or is configured with it."""
    assert planned_action(facts(attached), attached) is None


def test_our_address_is_released_from_a_stopped_container_if_another_holds_it() -> None:
    """Otherwise the stopped container could not start."""
    holder = container("holder", running=True, endpoints=(endpoint(MON_CONTAINER),))
    for ours in (True, None):
        stopped = container(network="he_ipv6", endpoints=(endpoint(None, MON_CONTAINER, ours=ours),))
        assert planned_action(facts(stopped, holder), stopped) == on_he_ipv6(Release)


def test_an_address_that_the_user_chose_is_never_released() -> None:
    """The user must resolve the conflict."""
    holder = container("holder", running=True, endpoints=(endpoint(MON_CONTAINER),))
    stopped = container(network="he_ipv6", endpoints=(endpoint(None, MON_CONTAINER, ours=False),))
    assert planned_action(facts(stopped, holder), stopped) is None


def test_in_a_cycle_one_container_vacates_and_the_others_wait() -> None:
    """It gets its own address after the others were moved."""
    other = IPv6Address("2001:470:b080:103:1::5")
    newer = container(network="he_ipv6", running=True, created=2, endpoints=(endpoint(other, ours=True),))
    older = container("other", network="he_ipv6", suffix="5", running=True, created=1)
    older = replace(older, endpoints=(endpoint(MON_CONTAINER, ours=True),))
    assert planned_action(facts(newer, older), newer) == replace(on_he_ipv6(Vacate), address=other)
    assert planned_action(facts(newer, older), older) is None


def full_plan(
    given: Facts, settings: Settings | None = None, unfinished: AbstractSet[str] = frozenset()
) -> Plan:
    """Return the plan of a full pass."""
    settings = settings or Settings()
    desired = Desired(settings)
    scope = desired.update(given, given.containers)
    return plan(desired, given, settings, scope, whole=True, unfinished=unfinished)


def test_missing_entries_are_added_and_our_unwanted_entries_removed() -> None:
    """One entry is missing, and one of ours is not wanted."""
    plan = plan_proxies({ENTRY}, {OTHER: True})
    assert (plan.add, plan.remove) == ((ENTRY,), (OTHER,))


def test_a_foreign_entry_is_neither_adopted_nor_removed() -> None:
    """Where another program has added a wanted entry, none of ours is needed."""
    plan = plan_proxies({ENTRY}, {ENTRY: False, OTHER: False})
    assert not plan.add
    assert not plan.remove


def test_the_plan_is_empty_if_everything_is_as_desired() -> None:
    """Endpoint, entry and sysctls are right."""
    right = container(network="he_ipv6", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
    given = facts(right, of_host=host(entries={ENTRY: True}))
    settings = Settings()
    desired = Desired(settings)
    desired.update(given, given.containers)
    sysctls = {key: value for key, value, _ in sysctls_for(desired, given, settings)}
    assert not full_plan(replace(given, sysctls=sysctls), settings)


def test_the_plan_contains_every_difference() -> None:
    """A detached container, a stale entry and a wrong sysctl."""
    given = facts(container(network="he_ipv6"), of_host=host(entries={OTHER: True}))
    result = full_plan(replace(given, sysctls={"conf/all/forwarding": "0"}))
    assert result.endpoints == (on_he_ipv6(Connect),)
    assert result.proxies.remove == (OTHER,)
    assert ("conf/all/forwarding", "0", "1") in [(each.key, each.old, each.new) for each in result.sysctls]


def test_the_plan_lists_the_addresses_to_close_and_to_reopen() -> None:
    """With `--firewall closed`, and after an earlier daemon with that mode."""
    given = facts(container(network="he_ipv6"), of_host=replace(host(), closed=frozenset({OTHER.address})))
    for mode, shut in ((FirewallMode.CLOSED, [MON_CONTAINER]), (FirewallMode.ENGINE, [])):
        result = full_plan(given, Settings(firewall=mode)).firewall
        assert (result.closed_addresses, result.reopened_addresses) == (shut, [OTHER.address])


def test_the_firewall_plan_is_empty_with_firewall_off() -> None:
    """Openings and closed addresses of an earlier daemon stay."""
    from_earlier_daemon = replace(
        host(), openings=frozenset({Opening(OTHER.address, "tcp", 80, 80)}), closed=frozenset({OTHER.address})
    )
    given = facts(of_host=from_earlier_daemon)
    assert full_plan(given).firewall
    assert not full_plan(given, Settings(firewall=FirewallMode.OFF)).firewall


def test_the_address_of_an_earlier_name_is_released() -> None:
    """The container was renamed while it was stopped, and has no claim to the address any more."""
    holder = container("holder", running=True, endpoints=(endpoint(MON_CONTAINER),))
    earlier = IPv6Address("2001:470:b080:103:1::77")
    stopped = container(network="he_ipv6", endpoints=(endpoint(None, earlier, ours=True),))
    assert planned_action(facts(stopped, holder), stopped) == replace(on_he_ipv6(Release), address=earlier)


@pytest.mark.parametrize(
    "networks",
    [(), (network(network_id="recreated"),), (network(subnet=None),)],
    ids=["removed", "recreated", "without IPv6"],
)
def test_our_address_on_a_missing_network_is_released(networks: tuple[Network, ...]) -> None:
    """Otherwise the container could not start; an endpoint that the user attached is left alone."""
    for ours, expected in ((True, Release), (None, Release), (False, None)):
        stopped = container(network="he_ipv6", endpoints=(endpoint(None, MON_CONTAINER, ours=ours),))
        action = planned_action(facts(stopped, networks=networks), stopped)
        if expected is None:
            assert not isinstance(action, Release)
        else:
            assert isinstance(action, Release)


def test_a_users_endpoint_settings_survive_the_recreation_of_the_network() -> None:
    """The settings are stored under the network's name, so the action is a reconnect."""
    stopped = container(network="he_ipv6", endpoints=(endpoint(None, None, ours=False),))
    recreated = network(network_id="recreated")
    action = planned_action(facts(stopped, networks=(recreated,)), stopped)
    assert action == replace(on_he_ipv6(Reconnect), network_id="recreated")


def test_no_action_is_planned_for_a_container_being_restarted_or_removed() -> None:
    """The engine would carry out only half of the action."""
    restarting = replace(container(network="he_ipv6"), in_transition=True)
    assert planned_action(facts(restarting), restarting) is None


def test_an_interrupted_change_is_finished_before_any_other_action() -> None:
    """The plan has a `Restore` for the container, and the command `plan` shows it."""
    target = container(network="he_ipv6", running=True)
    result = full_plan(facts(target), unfinished={target.id})
    assert result.endpoints == (Restore(target.id, "mon_container"),)


def test_no_action_is_planned_for_a_container_with_an_action_in_flight() -> None:
    """Two actions at once would change the same endpoint."""
    target = container(network="he_ipv6")
    assert full_plan(facts(target)).endpoints
    acting = replace(facts(target), acting={target.id}, in_flight={target.id: MON_CONTAINER})
    assert not full_plan(acting).endpoints
