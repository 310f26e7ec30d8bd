"""Desired state: which container gets which address, and which ports it opens."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.uplinks import uplinks
from dockeripv6mapper.model import (
    AddressMapping,
    Container,
    Decision,
    Host,
    ImageWanted,
    Link,
    Network,
    Reason,
    Refusal,
)
from dockeripv6mapper.settings import FirewallMode, Scheme, Settings
from tests.unit import builders
from tests.unit.builders import MON_CONTAINER, NGINX, container, endpoint, facts, host, network


def decide(given: Facts, container_id: str, settings: Settings | None = None) -> Decision:
    """Return the decision on one container, after all containers were decided."""
    desired = Desired(settings or Settings())
    desired.update(given, given.containers)
    return desired.decision(container_id)


def reason_of(decision: Decision) -> Reason:
    """Return the reason of a decision that must be a refusal."""
    assert isinstance(decision, Refusal), decision
    return decision.reason


# --- one container alone ----------------------------------------------------------------------------------


def test_a_labelled_container_is_mapped() -> None:
    """The mapping contains network, address and identity."""
    given = facts(container(network="he_ipv6"))
    assert decide(given, "id-of-mon_container") == AddressMapping(
        builders.HE_IPV6_ID, "he_ipv6", MON_CONTAINER, "mon_container"
    )


def test_a_suffix_label_replaces_the_hash() -> None:
    """The address ends in the label's value."""
    decision = decide(facts(container(network="he_ipv6", suffix="ab:cd:56")), "id-of-mon_container")
    assert isinstance(decision, AddressMapping)
    assert decision.address == IPv6Address("2001:470:b080:103:1:ab:cd:56")


def test_an_unlabelled_container_is_not_mapped() -> None:
    """The decision is None."""
    assert decide(facts(container()), "id-of-mon_container") is None


def test_the_first_of_several_ipv6_subnets_is_used() -> None:
    """A network may have more than one IPv6 subnet."""
    several = Network(
        id=builders.HE_IPV6_ID,
        name="he_ipv6",
        driver="bridge",
        subnets=(builders.SUBNET, IPv6Network("2001:db8:2::/64")),
    )
    decision = decide(facts(container(network="he_ipv6"), networks=(several,)), "id-of-mon_container")
    assert isinstance(decision, AddressMapping)
    assert decision.address == MON_CONTAINER


def test_a_networks_scheme_label_overrides_the_default() -> None:
    """The label `wide` chooses the scheme with a longer hash."""
    wide = network(labels={"ipv6.mapper.scheme": "wide"})
    decision = decide(facts(container(network="he_ipv6"), networks=(wide,)), "id-of-mon_container")
    assert isinstance(decision, AddressMapping)
    assert decision.address == IPv6Address("2001:470:b080:103:1:3d7a:3059:c25c")


def test_the_scheme_option_applies_to_networks_without_a_scheme_label() -> None:
    """The option chooses `wide`."""
    given = facts(container(network="he_ipv6"))
    decision = decide(given, "id-of-mon_container", Settings(scheme=Scheme.WIDE))
    assert isinstance(decision, AddressMapping)
    assert decision.address == IPv6Address("2001:470:b080:103:1:3d7a:3059:c25c")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (facts(container(network="nope")), Reason.NETWORK_NOT_FOUND),
        (facts(container(network="he_ipv6", suffix="::")), Reason.INVALID_LABEL),
        (facts(container(network="he_ipv6", suffix="1:2:3:4")), Reason.SUFFIX_TOO_WIDE),
        (facts(container(network="he_ipv6", suffix="0")), Reason.SUBNET_ROUTER_ANYCAST),
        (facts(container(network="he_ipv6", suffix="1")), Reason.GATEWAY),
        (facts(container(network="he_ipv6", proxy="perhaps")), Reason.INVALID_LABEL),
        (facts(container(network="he_ipv6", network_mode="host")), Reason.NOT_CONNECTABLE),
        (facts(container(network="he_ipv6"), networks=(network(subnet=None),)), Reason.NETWORK_WITHOUT_IPV6),
        (facts(container(network="he_ipv6"), images={builders.IMAGE: None}), Reason.IMAGE_GONE),
        (
            facts(container(network="he_ipv6"), networks=(network(labels={"ipv6.mapper.scheme": "x"}),)),
            Reason.INVALID_LABEL,
        ),
        (
            facts(container(network="he_ipv6"), of_host=host(addresses=frozenset({MON_CONTAINER}))),
            Reason.HOST_ADDRESS,
        ),
        (
            facts(container(network="he_ipv6"), of_host=host(next_hops=frozenset({MON_CONTAINER}))),
            Reason.NEXT_HOP,
        ),
    ],
)
def test_each_impossible_mapping_is_refused_with_its_own_reason(given: Facts, reason: Reason) -> None:
    """One case per reason."""
    assert reason_of(decide(given, "id-of-mon_container")) is reason


def test_a_network_that_is_not_allowed_is_refused() -> None:
    """`--allow-network` accepts a network's name or ID."""
    given = facts(container(network="he_ipv6"))
    other_only = Settings(allow_networks=frozenset({"other"}))
    assert reason_of(decide(given, "id-of-mon_container", other_only)) is Reason.NETWORK_NOT_ALLOWED
    for allowed in ("he_ipv6", builders.HE_IPV6_ID):
        settings = Settings(allow_networks=frozenset({allowed}))
        assert isinstance(decide(given, "id-of-mon_container", settings), AddressMapping)


def test_an_images_own_labels_do_not_map_a_container() -> None:
    """The user did not set them, unless `--trust-image-labels` is given."""
    given = facts(container(network="he_ipv6"), images={builders.IMAGE: {"ipv6.mapper.network": "he_ipv6"}})
    assert decide(given, "id-of-mon_container") is None
    trusting = Settings(trust_image_labels=True)
    assert isinstance(decide(given, "id-of-mon_container", trusting), AddressMapping)


def test_an_images_labels_do_not_choose_an_identity() -> None:
    """Not even the label of a Swarm task."""
    task = {"com.docker.swarm.task.id": "com"}
    which = container("www.example.com", network="he_ipv6", other_labels=task)
    decision = decide(facts(which, images={builders.IMAGE: task}), which.id)
    assert isinstance(decision, AddressMapping)
    assert decision.identity == "www.example.com"


def test_a_container_is_undecided_before_its_images_labels_are_known() -> None:
    """It is neither mapped nor refused."""
    given = facts(container(network="he_ipv6"), images={})
    assert decide(given, "id-of-mon_container") == ImageWanted(builders.IMAGE)


def mapped(*, running: bool = True) -> Container:
    """Return `mon_container`, mapped and connected."""
    attached = endpoint(MON_CONTAINER if running else None, MON_CONTAINER)
    return container(network="he_ipv6", running=running, endpoints=(attached,))


# --- several containers -----------------------------------------------------------------------------------


def test_a_running_holder_keeps_its_address_although_the_other_container_is_older() -> None:
    """The refusal names the holder."""
    holder = container("holder", running=True, created=2000, endpoints=(endpoint(MON_CONTAINER),))
    given = facts(container(network="he_ipv6", created=1000), holder)
    decision = decide(given, "id-of-mon_container")
    assert reason_of(decision) is Reason.ADDRESS_HELD
    assert "holder" in str(decision)


def test_the_older_of_two_containers_that_want_one_address_gets_it() -> None:
    """The younger is refused even if only the younger runs."""
    older = container("older", network="he_ipv6", suffix="5", created=1000)
    younger = container("younger", network="he_ipv6", suffix="5", created=2000, running=True)
    given = facts(older, younger)
    assert isinstance(decide(given, older.id), AddressMapping)
    assert reason_of(decide(given, younger.id)) is Reason.ADDRESS_HELD


def test_a_container_keeps_its_configured_address_although_another_is_older() -> None:
    """The address may be published, and the container could not start without it."""
    older = container("older", network="he_ipv6", suffix="5", created=1000)
    address = IPv6Address("2001:470:b080:103:1::5")
    configured = container("configured", created=2000, endpoints=(endpoint(requested=address),))
    assert reason_of(decide(facts(older, configured), older.id)) is Reason.ADDRESS_HELD


COMPOSE = {"com.docker.compose.project": "shop"}


def recreated() -> Container:
    """Return the container that Compose creates to replace `mon_container`."""
    return container("0123456789ab_mon_container", network="he_ipv6", created=2000, other_labels=COMPOSE)


def test_a_recreated_container_waits_while_its_predecessor_runs() -> None:
    """Compose creates the new container while the old one still runs with the address."""
    given = facts(mapped(), recreated())
    assert reason_of(decide(given, recreated().id)) is Reason.PREDECESSOR_HOLDS


def test_a_recreated_container_gets_the_address_when_its_predecessor_has_stopped() -> None:
    """Of several stopped containers with one identity, the newest is the one that will start."""
    given = facts(mapped(running=False), recreated())
    assert isinstance(decide(given, recreated().id), AddressMapping)
    assert reason_of(decide(given, mapped().id)) is Reason.SUPERSEDED


def test_ended_predecessors_of_a_swarm_task_do_not_get_the_address() -> None:
    """Swarm keeps several: a running one comes first, then the newest."""
    ended, newest = (
        container(name, network="he_ipv6", suffix="5", created=created, other_labels=COMPOSE)
        for name, created in (("0123456789ab_task", 1000), ("task", 2000))
    )
    assert reason_of(decide(facts(ended, newest), ended.id)) is Reason.SUPERSEDED
    assert isinstance(decide(facts(ended, newest), newest.id), AddressMapping)
    restarted = replace(ended, running=True)
    assert isinstance(decide(facts(restarted, newest), ended.id), AddressMapping)
    assert reason_of(decide(facts(restarted, newest), newest.id)) is Reason.PREDECESSOR_HOLDS


def test_a_container_that_has_just_died_still_holds_its_address() -> None:
    """The engine has not freed the address yet, and would refuse the successor."""
    dying = replace(mapped(), running=False)
    assert reason_of(decide(facts(dying, recreated()), recreated().id)) is Reason.PREDECESSOR_HOLDS


def test_a_waiting_container_is_mapped_when_the_holder_is_removed() -> None:
    """The update names every container whose decision may change."""
    holder = container("holder", running=True, endpoints=(endpoint(MON_CONTAINER),))
    waiting = container(network="he_ipv6", created=2000)
    desired = Desired(Settings())
    desired.update(facts(holder, waiting), [holder.id, waiting.id])
    assert isinstance(desired.decision(waiting.id), Refusal)
    assert waiting.id in desired.update(facts(waiting), [holder.id]).containers
    assert isinstance(desired.decision(waiting.id), AddressMapping)


def cycle(*suffixes: str, **change: bool) -> tuple[Container, ...]:
    """Return running containers, each with the next one's address, each newer than the one before."""
    addresses = [IPv6Address(f"2001:470:b080:103:1::{suffix}") for suffix in suffixes]
    return tuple(
        container(
            f"c{suffix}",
            network="he_ipv6",
            suffix=suffix,
            created=number,
            running=True,
            endpoints=(endpoint(address, address, ours=change.get(f"c{suffix}", True)),),
        )
        for number, (suffix, address) in enumerate(zip(suffixes, addresses[1:] + addresses[:1], strict=True))
    )


def names_of_vacating(*given: Container) -> set[str]:
    """Return the names of the containers that must give up the address they hold."""
    chosen = set()
    for each in given:
        decision = decide(facts(*given), each.id)
        if isinstance(decision, Refusal) and decision.gives_up is not None:
            assert decision.gives_up == each.endpoints[0].address
            chosen.add(each.name)
    return chosen


@pytest.mark.parametrize("suffixes", [("5", "6"), ("5", "6", "7"), ("7", "5", "6", "8")])
def test_in_a_cycle_of_swapped_addresses_the_newest_container_gives_its_address_up(
    suffixes: tuple[str, ...],
) -> None:
    """Otherwise none of them could be moved."""
    assert names_of_vacating(*cycle(*suffixes)) == {f"c{suffixes[-1]}"}


def test_no_container_gives_up_an_address_that_its_user_chose() -> None:
    """The next newest gives up its own instead; an unknown mark is read when the action is attempted."""
    assert names_of_vacating(*cycle("5", "6", "7", c7=False)) == {"c6"}
    assert not names_of_vacating(*cycle("5", "6", c5=False, c6=False))


def test_no_container_gives_its_address_up_outside_a_complete_cycle() -> None:
    """A chain that ends at a holder that may stay is no cycle, nor is a container waiting for a cycle."""
    first, second, third = cycle("5", "6", "7")
    assert not names_of_vacating(first, second)
    staying = replace(third, labels={})
    assert not names_of_vacating(first, second, staying)
    waiting = container("waiting", network="he_ipv6", suffix="5", created=9, running=True)
    assert names_of_vacating(first, second, third, waiting) == {"c7"}


def test_a_stopped_container_breaks_a_cycle_unless_its_user_chose_its_address() -> None:
    """Our address is taken back from it; with a user's address, the running one gives up its own."""
    stopped, running = cycle("5", "6")
    for ours, expected in ((True, set()), (False, {"c6"})):
        kept = endpoint(None, stopped.endpoints[0].requested, ours=ours)
        assert names_of_vacating(replace(stopped, running=False, endpoints=(kept,)), running) == expected


def test_a_container_that_completes_a_cycle_causes_a_new_decision_on_every_member() -> None:
    """Also on members with which it shares no address, because one of them may have to vacate."""
    first, second, third, fourth = cycle("5", "6", "7", "8")
    renamed = replace(first, labels={**first.labels, "ipv6.mapper.suffix": "9"})
    desired = Desired(Settings())
    before = facts(renamed, second, third, fourth)
    desired.update(before, before.containers)
    affected = desired.update(facts(first, second, third, fourth), [first.id])
    assert affected.containers == {each.id for each in (first, second, third, fourth)}


def test_an_update_affects_others_only_if_a_claim_to_their_address_changed() -> None:
    """An unchanged holder, or one with another address added, affects no other container."""
    holder = container("holder", running=True, endpoints=(endpoint(MON_CONTAINER),))
    waiting = container(network="he_ipv6", created=2000)
    desired = Desired(Settings())
    desired.update(facts(holder, waiting), [holder.id, waiting.id])
    for updated in (holder, replace(holder, endpoints=(*holder.endpoints, endpoint(NGINX)))):
        affected = desired.update(facts(updated, waiting), [holder.id])
        assert (affected.containers, affected.by_others) == ({holder.id}, set())
    affected = desired.update(facts(replace(holder, endpoints=()), waiting), [holder.id, waiting.id])
    assert affected.by_others == {waiting.id}


def test_a_changed_subnet_moves_a_containers_claim_to_its_new_address() -> None:
    """The new address is claimed, and the old one is free."""
    labelled = container(network="he_ipv6")
    desired = Desired(Settings())
    desired.update(facts(labelled), [labelled.id])
    elsewhere = network(subnet=IPv6Network("2001:db8:1:2::/64"))
    desired.update(facts(labelled, networks=(elsewhere,)), [labelled.id])
    same_address = container("other", network="he_ipv6", suffix="3d:7a:30", created=2)
    both = facts(labelled, same_address, networks=(elsewhere,))
    assert desired.update(both, [same_address.id]).containers == {labelled.id, same_address.id}


# --- ports and uplinks --------------------------------------------------------------------------------------


def test_a_ports_label_opens_no_port_with_firewall_off() -> None:
    """With the modes `engine` and `closed`, it opens one."""
    serving = container(
        network="he_ipv6", ports="80", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),)
    )
    given = facts(serving)
    for mode, ports in ((FirewallMode.ENGINE, 1), (FirewallMode.CLOSED, 1), (FirewallMode.OFF, 0)):
        desired = Desired(Settings(firewall=mode))
        desired.update(given, given.containers)
        assert len(desired.openings(given, serving.id)) == ports


def test_the_uplink_option_replaces_the_links_with_a_default_route() -> None:
    """A named link that does not exist is ignored."""
    eth1 = Link("eth1", 3, neighbour_discovery=True)
    of_host = Host(links={"eth0": builders.UPLINK, "eth1": eth1}, default_route_links=("eth0",))
    assert uplinks(facts(of_host=of_host), Settings(uplinks=("eth1", "eth9"))) == (eth1,)
