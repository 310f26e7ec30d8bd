"""Reachability: which packets from outside get in, by the rules of real hosts."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from dockeripv6mapper.firewall_rules import Ruleset
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.reachability import (
    Access,
    Inbound,
    Reachability,
    best_access,
    count_inbound,
    shown,
)
from dockeripv6mapper.model import Container, Host, Link, Network
from dockeripv6mapper.settings import Settings
from tests.unit import builders
from tests.unit.doctor.builders import HE_IPV6, mapped
from tests.unit.rulesets import (
    BRIDGE,
    ENGINE_20_10_IP6TABLES,
    ENGINE_28_NAT,
    ENGINE_28_ROUTED,
    UFW,
    filter_table,
    ruleset,
)

NAT = replace(HE_IPV6, gateway_mode="nat")
OLD = replace(HE_IPV6, gateway_mode=None, ipv4=True)
"""The network as engines before 27 list it: they have no gateway modes."""
UPLINK, SECOND = builders.UPLINK, replace(builders.UPLINK, name="eth1", index=3)
ESTABLISHED = f"-A FORWARD -o {BRIDGE} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
MARKED = "-A FORWARD -m mark --mark 0x1000000/0x1000000 -j ACCEPT"
OUTGOING = f"-A FORWARD -i {BRIDGE} -j ACCEPT"
PUBLISHED = f"-A DOCKER -d 2001:db8:103:0:78::5/128 ! -i {BRIDGE} -o {BRIDGE} -p tcp --dport 8080 -j ACCEPT"
INCOMING = f"-A FORWARD -o {BRIDGE} -j ACCEPT"
BY_POLICY = "nothing: dropped by the policy of FORWARD in ip6tables"
RAW_MARKED = "-A PREROUTING -m mark --mark 0x1000000/0x1000000 -j ACCEPT"
IN_USER_CHAIN = "-A DOCKER-USER -m mark --mark 0x1000000/0x1000000 -j ACCEPT"


def host(*uplinks: Link) -> Host:
    """A host with the network's bridge and these uplinks, by default one."""
    found = builders.host(*uplinks)
    return replace(found, links={**found.links, BRIDGE: Link(BRIDGE, 9, neighbour_discovery=True)})


def judge(
    rules: Ruleset,
    network: Network = HE_IPV6,
    of_host: Host | None = None,
    container: Container | None = None,
) -> Mapping[str, Inbound]:
    """What gets in to a container on a network."""
    web = container or mapped(network=network)
    facts = builders.facts(web, networks=(network,), of_host=of_host or host())
    desired = Desired(Settings())
    desired.update(facts, facts.containers)
    return Reachability(rules, facts, Settings()).of(web, desired.decision(web.id))


def added(rules: str, following: str, *lines: str) -> str:
    """`rules` with `lines` inserted before the first line that begins with `following`."""
    return rules.replace(following, "\n".join([*lines, following]), 1)


ROUTED_AND_PUBLISHED = added(ENGINE_28_ROUTED, "-A DOCKER -o", PUBLISHED)
OLD_AND_HOOK = added(ENGINE_20_10_IP6TABLES, "-A FORWARD", MARKED)
NAT_AND_HOOKS = added(added(ENGINE_28_NAT, "-A PREROUTING", RAW_MARKED), "-A FORWARD", IN_USER_CHAIN)


@pytest.mark.parametrize(
    ("rules", "nft", "network", "text"),
    [
        # engine 28
        (ENGINE_28_ROUTED, (), HE_IPV6, "ping"),
        (ENGINE_28_ROUTED, ("our_table",), HE_IPV6, "ping, 80/tcp, 8000-8100/udp"),
        (ROUTED_AND_PUBLISHED, (), HE_IPV6, "ping, 8080/tcp"),
        (ENGINE_28_NAT, (), NAT, "nothing: gateway mode nat"),
        (NAT_AND_HOOKS, (), NAT, "nothing: gateway mode nat"),
        (NAT_AND_HOOKS, ("our_table",), NAT, "80/tcp, 8000-8100/udp only"),
        # engine 20.10
        ("", (), OLD, "everything"),
        (filter_table(), (), OLD, "everything"),
        (filter_table(), ("our_table_closed",), OLD, "ping, 80/tcp, 8000-8100/udp"),
        (ENGINE_20_10_IP6TABLES, (), OLD, BY_POLICY),
        (OLD_AND_HOOK, ("our_table",), OLD, "80/tcp, 8000-8100/udp only"),
        (UFW, (), OLD, "ping"),
        # the policy DROP, with accepting rules for one direction or for both
        (filter_table(OUTGOING, policy="DROP"), (), OLD, BY_POLICY),
        (filter_table(INCOMING, policy="DROP"), (), OLD, BY_POLICY),
        (filter_table(OUTGOING, INCOMING, policy="DROP"), (), OLD, "everything"),
        # nftables: the engine's own backend, and other programs
        ("", ("engine_29", "our_table"), HE_IPV6, "ping, 80/tcp, 8080/tcp, 8000-8100/udp"),
        ("", ("engine_29",), HE_IPV6, "ping, 8080/tcp"),
        ("", ("dropping",), OLD, "nothing: dropped by the policy of the nftables chain inet mine forward"),
        (ENGINE_28_ROUTED, ("our_table", "firewalld"), HE_IPV6, "ping, 80/tcp, 8000-8100/udp"),
    ],
)  # fmt: skip
def test_the_text_shows_what_gets_in(rules: str, nft: tuple[str, ...], network: Network, text: str) -> None:
    """Pings, and the ports that a label, the engine or the user opens; or nothing, and the reason."""
    assert shown(judge(ruleset(rules, *nft), network)) == text
    found = best_access(judge(ruleset(rules, *nft), network))
    assert (found is Access.NOTHING) is text.startswith("nothing")


def test_a_published_port_is_shown_without_a_label() -> None:
    """The engine's own rule for `-p` lets it in at the container's address."""
    (found,) = judge(ruleset(ROUTED_AND_PUBLISHED)).values()
    assert [opening.ports for opening in found.ports] == ["8080/tcp"]


def test_a_mark_that_another_rule_removes_is_set_again_before_the_rules_of_the_filter() -> None:
    """Other software sets the whole mark. After the mapper's last chain, that opens nothing."""
    mangle = "*mangle\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j MARK --set-xmark 0x1/0xffffffff\nCOMMIT\n"
    rules = filter_table(MARKED, OUTGOING, policy="DROP")
    assert shown(judge(ruleset(rules, "our_table"))) == "80/tcp, 8000-8100/udp only"
    assert shown(judge(ruleset(rules + mangle, "our_table"))) == "80/tcp, 8000-8100/udp only"
    overwriting = added(rules, MARKED, "-A FORWARD -j MARK --set-xmark 0x1/0xffffffff")
    assert shown(judge(ruleset(overwriting, "our_table"))) == BY_POLICY


def test_a_rule_of_the_legacy_backend_counts() -> None:
    """A packet passes both backends."""
    found = judge(ruleset(filter_table(), legacy=filter_table(policy="DROP")), OLD)
    assert shown(found) == "nothing: dropped by the policy of FORWARD in ip6tables-legacy"


@pytest.mark.parametrize(
    ("rules", "network", "of_host", "why"),
    [
        (Ruleset(unreadable="CAP_NET_ADMIN is missing"), HE_IPV6, host(), "the rules cannot be read"),
        (
            ruleset(ENGINE_28_ROUTED),
            replace(HE_IPV6, driver="weave", bridge=None),
            host(),
            "driver weave",
        ),
        (ruleset(ENGINE_28_ROUTED), HE_IPV6, builders.host(), "is not on this host"),
        (
            ruleset(ENGINE_28_ROUTED),
            HE_IPV6,
            replace(host(), default_route_links=()),
            "there is no uplink",
        ),
        (
            ruleset(filter_table("-A FORWARD -m u32 --u32 0x0 -j DROP")),
            OLD,
            host(),
            "a rule was not understood",
        ),
        (
            ruleset(filter_table("-A FORWARD -m u32 --u32 0x0 -j ACCEPT", policy="DROP")),
            OLD,
            host(),
            "a rule was not understood",
        ),
    ],
    ids=["no privilege", "other driver", "remote engine", "no uplink", "doubtful drop", "doubtful accept"],
)
def test_what_cannot_be_traced_is_unknown(rules: Ruleset, network: Network, of_host: Host, why: str) -> None:
    """It does not count as reachable, and the text gives the reason."""
    found = judge(rules, network, of_host)
    assert shown(found).startswith("unknown: ")
    assert why in shown(found)
    assert best_access(found) is Access.UNKNOWN


def test_a_rule_that_is_not_understood_and_cannot_change_the_verdict_is_ignored() -> None:
    """It may accept; the policy accepts too."""
    rules = filter_table("-A FORWARD -m u32 --u32 0x0 -j ACCEPT", policy="ACCEPT")
    assert shown(judge(ruleset(rules), OLD)) == "everything"


def test_networks_that_the_host_does_not_filter() -> None:
    """An internal one lets nothing in; macvlan and ipvlan attach containers to the uplink's own link."""
    rules = ruleset(filter_table(policy="DROP"))
    assert shown(judge(rules, replace(HE_IPV6, internal=True))) == "nothing: the network is internal"
    for driver, mode in (("macvlan", None), ("ipvlan", "l2"), ("ipvlan", "l3")):
        on_link = replace(HE_IPV6, driver=driver, ipvlan_mode=mode, bridge=None)
        assert shown(judge(rules, on_link)) == "everything"


def test_uplinks_that_differ_are_shown_each() -> None:
    """A container that is reachable by one of them is reachable."""
    rules = ruleset(filter_table(f"-A FORWARD -i eth1 -o {BRIDGE} -j DROP"))
    found = judge(rules, OLD, host(UPLINK, SECOND))
    dropped = f"`ip6tables -t filter -A FORWARD -i eth1 -o {BRIDGE} -j DROP`"
    assert shown(found) == f"eth0: everything; eth1: nothing: dropped by {dropped}"
    assert best_access(found) is Access.EVERYTHING


def test_only_a_container_that_runs_at_its_address_is_judged() -> None:
    """The engine makes a container's rules when it starts."""
    stopped = replace(mapped(), running=False)
    elsewhere = replace(mapped(), endpoints=(builders.endpoint(HE_IPV6.subnets[0][9], of=HE_IPV6),))
    for container in (stopped, elsewhere):
        assert judge(ruleset(ENGINE_28_ROUTED), container=container) == {}


def test_containers_are_counted_by_the_best_of_their_uplinks() -> None:
    """For the metrics. Containers that do not run at their address are not counted."""
    web, stopped = mapped(network=OLD), replace(mapped("db", network=OLD), running=False, endpoints=())
    facts = builders.facts(web, stopped, networks=(OLD,), of_host=host(UPLINK, SECOND))
    desired = Desired(Settings())
    desired.update(facts, facts.containers)
    decisions = [(each, desired.decision(each.id)) for each in facts.containers.values()]
    rules = ruleset(filter_table(f"-A FORWARD -i eth1 -o {BRIDGE} -j DROP"))
    counts = count_inbound(rules, decisions, facts, Settings())
    assert counts == {access: int(access is Access.EVERYTHING) for access in Access}
