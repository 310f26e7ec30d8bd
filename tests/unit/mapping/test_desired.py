"""Who gets which address, and what is proxied where."""

from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import pytest

from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.uplinks import uplinks
from dockeripv6mapper.model import (
    Container,
    Decision,
    Host,
    ImageWanted,
    Link,
    Mapping,
    Network,
    ProxyEntry,
    Reason,
    Refusal,
)
from dockeripv6mapper.settings import FirewallMode, ProxyMode, Scheme, Settings
from tests.unit import builders
from tests.unit.builders import MON_CONTAINER, NGINX, container, endpoint, facts, host, network


def decide(given: Facts, container_id: str, settings: Settings | None = None) -> Decision:
    """The decision on one container where all are known."""
    desired = Desired(settings or Settings())
    desired.update(given, given.containers)
    return desired.decision(container_id)


def entries(given: Facts, which: Container, settings: Settings | None = None) -> frozenset[ProxyEntry]:
    """The proxy entries of one container where all are known."""
    desired = Desired(settings or Settings())
    desired.update(given, given.containers)
    return desired.entries(given, which.id)


def reason_of(decision: Decision) -> Reason:
    """The reason of what must be a refusal."""
    assert isinstance(decision, Refusal), decision
    return decision.reason


# --- one container alone ----------------------------------------------------------------------------------


def test_a_labelled_container_is_mapped() -> None:
    """The mapping names network, address and identity."""
    given = facts(container(network="he_ipv6"))
    assert decide(given, "id-of-mon_container") == Mapping(
        builders.HE_IPV6_ID, "he_ipv6", MON_CONTAINER, "mon_container"
    )


def test_a_suffix_label_replaces_the_hash() -> None:
    """The address is the one that the label names."""
    decision = decide(facts(container(network="he_ipv6", suffix="ab:cd:56")), "id-of-mon_container")
    assert isinstance(decision, Mapping)
    assert decision.address == IPv6Address("2001:470:b080:103:1:ab:cd:56")


def test_an_unlabelled_container_is_not_touched() -> None:
    """No label, no decision."""
    assert decide(facts(container()), "id-of-mon_container") is None


def test_the_first_subnet_of_several_is_used() -> None:
    """A network may have more than one IPv6 subnet."""
    several = Network(
        id=builders.HE_IPV6_ID,
        name="he_ipv6",
        driver="bridge",
        subnets=(builders.SUBNET, IPv6Network("2001:db8:2::/64")),
    )
    decision = decide(facts(container(network="he_ipv6"), networks=(several,)), "id-of-mon_container")
    assert isinstance(decision, Mapping)
    assert decision.address == MON_CONTAINER


def test_a_networks_scheme_label_is_followed() -> None:
    """`wide` on the network overrides the daemon's default."""
    wide = network(labels={"ipv6.mapper.scheme": "wide"})
    decision = decide(facts(container(network="he_ipv6"), networks=(wide,)), "id-of-mon_container")
    assert isinstance(decision, Mapping)
    assert decision.address == IPv6Address("2001:470:b080:103:1:3d7a:3059:c25c")


def test_the_scheme_option_is_followed() -> None:
    """Where the network says nothing."""
    given = facts(container(network="he_ipv6"))
    decision = decide(given, "id-of-mon_container", Settings(scheme=Scheme.WIDE))
    assert isinstance(decision, Mapping)
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
def test_what_cannot_be_granted_is_refused_for_a_reason_of_its_own(given: Facts, reason: Reason) -> None:
    """Every refusal is a named one."""
    assert reason_of(decide(given, "id-of-mon_container")) is reason


def test_a_network_that_is_not_allowed_is_refused() -> None:
    """`--allow-network` limits what a label may name, by name or ID."""
    given = facts(container(network="he_ipv6"))
    elsewhere = Settings(allow_networks=frozenset({"other"}))
    assert reason_of(decide(given, "id-of-mon_container", elsewhere)) is Reason.NETWORK_NOT_ALLOWED
    for allowed in ("he_ipv6", builders.HE_IPV6_ID):
        settings = Settings(allow_networks=frozenset({allowed}))
        assert isinstance(decide(given, "id-of-mon_container", settings), Mapping)


def test_an_images_own_labels_expose_nobody() -> None:
    """What the image brought along was not said by the user, unless such labels are trusted."""
    given = facts(container(network="he_ipv6"), images={builders.IMAGE: {"ipv6.mapper.network": "he_ipv6"}})
    assert decide(given, "id-of-mon_container") is None
    trusting = Settings(trust_image_labels=True)
    assert isinstance(decide(given, "id-of-mon_container", trusting), Mapping)


def test_an_images_labels_do_not_choose_an_identity() -> None:
    """Not even by pretending to be a Swarm task or Compose's."""
    task = {"com.docker.swarm.task.id": "com"}
    which = container("www.example.com", network="he_ipv6", other_labels=task)
    decision = decide(facts(which, images={builders.IMAGE: task}), which.id)
    assert isinstance(decision, Mapping)
    assert decision.identity == "www.example.com"


def test_an_images_network_label_does_not_narrow_what_a_user_lets_be_proxied() -> None:
    """The user's own label is `proxy` alone."""
    image = {"ipv6.mapper.network": "he_ipv6"}
    which = container(running=True, network="he_ipv6", proxy="true", endpoints=(endpoint(NGINX),))
    assert entries(facts(which, images={builders.IMAGE: image}), which) == {ProxyEntry(NGINX, "eth0")}


def test_nothing_is_decided_before_the_images_labels_are_known() -> None:
    """Neither granted nor refused."""
    given = facts(container(network="he_ipv6"), images={})
    assert decide(given, "id-of-mon_container") == ImageWanted(builders.IMAGE)


def mapped(*, running: bool = True, proxy: str | None = None) -> Container:
    """`mon_container`, mapped and attached."""
    attached = endpoint(MON_CONTAINER if running else None, MON_CONTAINER)
    labels = {} if proxy is None else {"ipv6.mapper.proxy": proxy}
    return container(network="he_ipv6", running=running, endpoints=(attached,), other_labels=labels)


# --- several containers -----------------------------------------------------------------------------------


def test_a_running_holder_keeps_its_address_from_an_older_container() -> None:
    """An address in use is never promised to somebody else."""
    holder = container("holder", running=True, created=2000, endpoints=(endpoint(MON_CONTAINER),))
    given = facts(container(network="he_ipv6", created=1000), holder)
    decision = decide(given, "id-of-mon_container")
    assert reason_of(decision) is Reason.ADDRESS_HELD
    assert "holder" in str(decision)


def test_the_older_of_two_that_want_an_address_gets_it() -> None:
    """The younger is refused, whether the older runs or not."""
    older = container("older", network="he_ipv6", suffix="5", created=1000)
    younger = container("younger", network="he_ipv6", suffix="5", created=2000, running=True)
    given = facts(older, younger)
    assert isinstance(decide(given, older.id), Mapping)
    assert reason_of(decide(given, younger.id)) is Reason.ADDRESS_HELD


def test_a_container_that_is_configured_with_an_address_keeps_it_from_an_older_one() -> None:
    """Its address may be published, and it could not start without it."""
    older = container("older", network="he_ipv6", suffix="5", created=1000)
    address = IPv6Address("2001:470:b080:103:1::5")
    configured = container("configured", created=2000, endpoints=(endpoint(requested=address),))
    assert reason_of(decide(facts(older, configured), older.id)) is Reason.ADDRESS_HELD


COMPOSE = {"com.docker.compose.project": "shop"}


def recreated() -> Container:
    """What Compose makes to replace `mon_container`."""
    return container("0123456789ab_mon_container", network="he_ipv6", created=2000, other_labels=COMPOSE)


def test_a_recreated_container_waits_for_its_predecessor() -> None:
    """Compose creates the new one while the old one still runs with the address."""
    given = facts(mapped(), recreated())
    assert reason_of(decide(given, recreated().id)) is Reason.PREDECESSOR_HOLDS


def test_a_recreated_container_takes_over_when_its_predecessor_is_dead() -> None:
    """Of one identity's stopped containers, the newest is the one that will start."""
    given = facts(mapped(running=False), recreated())
    assert isinstance(decide(given, recreated().id), Mapping)
    assert reason_of(decide(given, mapped().id)) is Reason.SUPERSEDED


def test_of_a_tasks_ended_predecessors_none_is_given_the_address() -> None:
    """Swarm keeps several: the newest is the one that will start, and a running one comes before all."""
    ended, newest = (
        container(name, network="he_ipv6", suffix="5", created=created, other_labels=COMPOSE)
        for name, created in (("0123456789ab_task", 1000), ("task", 2000))
    )
    assert reason_of(decide(facts(ended, newest), ended.id)) is Reason.SUPERSEDED
    assert isinstance(decide(facts(ended, newest), newest.id), Mapping)
    restarted = replace(ended, running=True)
    assert isinstance(decide(facts(restarted, newest), ended.id), Mapping)
    assert reason_of(decide(facts(restarted, newest), newest.id)) is Reason.PREDECESSOR_HOLDS


def test_a_container_that_died_just_now_holds_what_the_engine_has_not_freed() -> None:
    """Its successor would be refused by the engine."""
    dying = replace(mapped(), running=False)
    assert reason_of(decide(facts(dying, recreated()), recreated().id)) is Reason.PREDECESSOR_HOLDS


def test_a_refusal_is_lifted_when_the_holder_goes() -> None:
    """An update about the holder names everybody whose decision it may change."""
    holder = container("holder", running=True, endpoints=(endpoint(MON_CONTAINER),))
    waiting = container(network="he_ipv6", created=2000)
    desired = Desired(Settings())
    desired.update(facts(holder, waiting), [holder.id, waiting.id])
    assert isinstance(desired.decision(waiting.id), Refusal)
    assert waiting.id in desired.update(facts(waiting), [holder.id]).containers
    assert isinstance(desired.decision(waiting.id), Mapping)


def turned_round(*suffixes: str, **change: bool) -> tuple[Container, ...]:
    """Containers, each newer than the one before, that run with each other's addresses: all is ours."""
    addresses = [IPv6Address(f"2001:470:b080:103:1::{suffix}") for suffix in suffixes]
    return tuple(
        container(
            f"c{suffix}",
            network="he_ipv6",
            suffix=suffix,
            created=number,
            running=True,
            endpoints=(endpoint(held, held, ours=change.get(f"c{suffix}", True)),),
        )
        for number, (suffix, held) in enumerate(zip(suffixes, addresses[1:] + addresses[:1], strict=True))
    )


def making_way(*given: Container) -> set[str]:
    """The names of those who are to give up an address that they hold."""
    chosen = set()
    for each in given:
        decision = decide(facts(*given), each.id)
        if isinstance(decision, Refusal) and decision.gives_up is not None:
            assert decision.gives_up == each.endpoints[0].address
            chosen.add(each.name)
    return chosen


@pytest.mark.parametrize("suffixes", [("5", "6"), ("5", "6", "7"), ("7", "5", "6", "8")])
def test_of_containers_that_hold_each_others_addresses_the_newest_makes_way(
    suffixes: tuple[str, ...],
) -> None:
    """Else none could ever be moved."""
    assert making_way(*turned_round(*suffixes)) == {f"c{suffixes[-1]}"}


def test_nobody_makes_way_at_an_address_of_its_users() -> None:
    """The next newest does; where a mark is not known yet, it is found out in the attempt."""
    assert making_way(*turned_round("5", "6", "7", c7=False)) == {"c6"}
    assert not making_way(*turned_round("5", "6", c5=False, c6=False))


def test_nobody_makes_way_where_not_all_wait_for_each_other() -> None:
    """Who waits for a holder that may stay waits alone, and so does who waits for such a circle."""
    first, second, third = turned_round("5", "6", "7")
    assert not making_way(first, second)
    staying = replace(third, labels={})
    assert not making_way(first, second, staying)
    waiting = container("waiting", network="he_ipv6", suffix="5", created=9, running=True)
    assert making_way(first, second, third, waiting) == {"c7"}


def test_a_stopped_container_opens_the_circle_unless_its_user_closed_it() -> None:
    """An address of ours is taken back from it; one of its user's stays, and then who runs makes way."""
    stopped, running = turned_round("5", "6")
    for ours, expected in ((True, set()), (False, {"c6"})):
        kept = endpoint(None, stopped.endpoints[0].requested, ours=ours)
        assert making_way(replace(stopped, running=False, endpoints=(kept,)), running) == expected


def test_whoever_closes_a_circle_has_all_of_it_decided_anew() -> None:
    """Also those that it has no address in common with: one of them may have to make way."""
    first, second, third, fourth = turned_round("5", "6", "7", "8")
    renamed = replace(first, labels={**first.labels, "ipv6.mapper.suffix": "9"})
    desired = Desired(Settings())
    before = facts(renamed, second, third, fourth)
    desired.update(before, before.containers)
    affected = desired.update(facts(first, second, third, fourth), [first.id])
    assert affected.containers == {each.id for each in (first, second, third, fourth)}


def test_an_update_affects_others_only_where_a_stake_in_their_addresses_changed() -> None:
    """A look at what is as it was, or has another address elsewhere now, is no news to them."""
    holder = container("holder", running=True, endpoints=(endpoint(MON_CONTAINER),))
    waiting = container(network="he_ipv6", created=2000)
    desired = Desired(Settings())
    desired.update(facts(holder, waiting), [holder.id, waiting.id])
    for seen in (holder, replace(holder, endpoints=(*holder.endpoints, endpoint(NGINX)))):
        affected = desired.update(facts(seen, waiting), [holder.id])
        assert (affected.containers, affected.by_others) == ({holder.id}, set())
    affected = desired.update(facts(replace(holder, endpoints=()), waiting), [holder.id, waiting.id])
    assert affected.by_others == {waiting.id}


def test_a_network_that_changed_moves_a_containers_stake_though_the_container_did_not() -> None:
    """Its new address is taken, and the one before is free."""
    labelled = container(network="he_ipv6")
    desired = Desired(Settings())
    desired.update(facts(labelled), [labelled.id])
    elsewhere = network(subnet=IPv6Network("2001:db8:1:2::/64"))
    desired.update(facts(labelled, networks=(elsewhere,)), [labelled.id])
    same_address = container("other", network="he_ipv6", suffix="3d:7a:30", created=2)
    both = facts(labelled, same_address, networks=(elsewhere,))
    assert desired.update(both, [same_address.id]).containers == {labelled.id, same_address.id}


# --- what is proxied --------------------------------------------------------------------------------------


def test_no_port_is_to_be_open_where_the_firewall_may_not_be_touched() -> None:
    """Whatever the label says."""
    serving = container(
        network="he_ipv6", ports="80", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),)
    )
    given = facts(serving)
    for mode, ports in ((FirewallMode.ENGINE, 1), (FirewallMode.CLOSED, 1), (FirewallMode.OFF, 0)):
        desired = Desired(Settings(firewall=mode))
        desired.update(given, given.containers)
        assert len(desired.openings(given, serving.id)) == ports


def test_a_mapped_running_container_is_proxied_on_the_uplink() -> None:
    """Its address, on every uplink."""
    assert entries(facts(mapped()), mapped()) == {ProxyEntry(MON_CONTAINER, "eth0")}


def test_a_stopped_container_is_not_proxied() -> None:
    """A stale entry would attract traffic for nobody."""
    assert not entries(facts(mapped(running=False)), mapped(running=False))


def test_an_uplink_without_neighbour_discovery_gets_no_entry() -> None:
    """A tunnel's other end routes the prefix, and asks nobody."""
    both = host(builders.UPLINK, builders.TUNNEL)
    assert entries(facts(mapped(), of_host=both), mapped()) == {ProxyEntry(MON_CONTAINER, "eth0")}


def test_a_networks_uplink_label_is_followed() -> None:
    """Its addresses are proxied there alone; where there is no such link, nowhere."""
    eth1 = Link("eth1", 3, neighbour_discovery=True)
    with_eth1 = Host(links={"eth0": builders.UPLINK, "eth1": eth1}, default_route_links=("eth0",))
    for label, expected in (("eth1", {ProxyEntry(MON_CONTAINER, "eth1")}), ("eth9", set())):
        labelled = network(labels={"ipv6.mapper.uplink": label})
        assert entries(facts(mapped(), networks=(labelled,), of_host=with_eth1), mapped()) == expected


def test_named_uplinks_replace_those_with_a_default_route() -> None:
    """`--uplink` is the last word; a link that does not exist is left out."""
    eth1 = Link("eth1", 3, neighbour_discovery=True)
    of_host = Host(links={"eth0": builders.UPLINK, "eth1": eth1}, default_route_links=("eth0",))
    assert uplinks(facts(of_host=of_host), Settings(uplinks=("eth1", "eth9"))) == (eth1,)


def unlabelled() -> Container:
    """A container that runs on the network without asking for anything."""
    return container("plain", running=True, endpoints=(endpoint(NGINX), endpoint(IPv6Address("fe80::5"))))


@pytest.mark.parametrize(
    ("mode", "which", "proxied"),
    [
        (ProxyMode.MAPPED, unlabelled(), set()),
        (ProxyMode.OFF, unlabelled(), set()),
        (ProxyMode.ALL, unlabelled(), {NGINX}),
        (ProxyMode.OFF, mapped(), set()),
        (ProxyMode.ALL, mapped(), {MON_CONTAINER}),
        (ProxyMode.MAPPED, mapped(proxy="false"), set()),
        (ProxyMode.ALL, mapped(proxy="false"), set()),
        (ProxyMode.OFF, mapped(proxy="true"), {MON_CONTAINER}),
        (ProxyMode.ALL, mapped(proxy="perhaps"), set()),
    ],
)
def test_the_mode_and_the_containers_own_label_say_what_is_proxied(
    mode: ProxyMode, which: Container, proxied: set[IPv6Address]
) -> None:
    """`all` is the older ndp daemon's behaviour, without link-local addresses; a label overrides the mode."""
    found = entries(facts(which), which, Settings(proxy=mode))
    assert {entry.address for entry in found} == proxied


def test_an_unlabelled_container_may_ask_to_be_proxied() -> None:
    """The label alone, without a network to be mapped to, means the addresses that it has."""
    asking = container("plain", running=True, proxy="true", endpoints=(endpoint(NGINX),))
    assert entries(facts(asking), asking) == {ProxyEntry(NGINX, "eth0")}


def test_the_routers_address_is_never_proxied() -> None:
    """Not even where a container was given it, and everything is to be proxied."""
    given = facts(unlabelled(), of_host=host(next_hops=frozenset({NGINX})))
    assert not entries(given, unlabelled(), Settings(proxy=ProxyMode.ALL))


def test_a_container_at_another_address_than_its_mapping_is_not_proxied() -> None:
    """What was not asked for is not opened to the outside."""
    elsewhere = container(network="he_ipv6", running=True, endpoints=(endpoint(NGINX),))
    assert not entries(facts(elsewhere), elsewhere)
