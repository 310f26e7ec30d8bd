"""Uplinks: which links they are, by name, by default route or by their entries, and why."""

from dataclasses import replace

import pytest

from dockeripv6mapper.mapping import uplinks
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.model import Host, Link, ProxyEntry
from dockeripv6mapper.settings import Settings
from tests.unit import builders
from tests.unit.builders import MON_CONTAINER, facts, network

ETH0 = Link("eth0", 2, neighbour_discovery=True, altnames=("wan", "enp0s3.7"))
ETH1 = Link("eth1", 3, neighbour_discovery=True)
BRIDGE = Link("br-0123456789ab", 10, neighbour_discovery=True, kind="bridge")
NAMED_BRIDGE = Link("mapped0", 11, neighbour_discovery=True, kind="bridge")
LINKS = (ETH0, ETH1, BRIDGE, NAMED_BRIDGE)


def observed(*default: str, entries: tuple[ProxyEntry, ...] = (), label: str | None = None) -> Facts:
    """Facts about a host with `LINKS`, of which some have a default route; `label`: the network's uplink."""
    of_host = Host(
        links={link.name: link for link in LINKS},
        default_route_links=default,
        entries=dict.fromkeys(entries, True),
    )
    labels = {} if label is None else {"ipv6.mapper.uplink": label}
    return facts(networks=(network(bridge="mapped0", labels=labels),), of_host=of_host)


def names(given: Facts, *named: str) -> list[str]:
    """The names of the uplinks; `named`: those of `--uplink`."""
    return [link.name for link in uplinks.all_uplinks(given, Settings(uplinks=named))]


@pytest.mark.parametrize("name", ["eth0", "wan", "enp0s3.7"])
def test_option_and_label_name_a_link_by_any_of_its_names(name: str) -> None:
    """Udev gives a link alternative names."""
    assert names(observed("eth1"), name) == ["eth0"]
    assert names(observed("eth1", label=name)) == ["eth1", "eth0"]


def test_engines_bridges_are_uplinks_only_where_they_are_named() -> None:
    """A default route over one leads into a container."""
    assert names(observed("br-0123456789ab", "mapped0", "eth0")) == ["eth0"]
    assert names(observed("br-0123456789ab", "mapped0")) == []
    assert names(observed("eth0"), "mapped0") == ["mapped0"]


def test_links_with_entries_stay_uplinks_while_a_named_link_or_a_route_is_away() -> None:
    """A link that is renamed takes no entry away. Entries elsewhere do not count while all are there."""
    entry = ProxyEntry(MON_CONTAINER, "eth1")
    assert names(observed(entries=(entry,))) == ["eth1"]
    assert names(observed("eth0", entries=(entry,)), "lan0") == ["eth1"]
    assert names(observed("eth0", entries=(entry,)), "eth0") == ["eth0"]
    assert names(observed("eth0", entries=(entry,))) == ["eth0"]
    assert names(observed("eth0", entries=(entry,), label="lan0")) == ["eth0", "eth1"]


def test_links_with_entries_for_another_network_are_not_those_of_a_missing_label() -> None:
    """The network's own entries would be elsewhere."""
    given = observed("eth0", entries=(ProxyEntry(builders.SUBNET[0] - 1, "eth1"),), label="lan0")
    assert names(given) == ["eth0"]


def test_another_networks_entries_make_no_uplink_while_a_route_is_away() -> None:
    """Its addresses would be proxied, and announced, on a link that the user did not choose for them."""
    elsewhere = observed(entries=(ProxyEntry(builders.SUBNET[0] - 1, "eth1"),))
    (labelled,) = elsewhere.networks
    assert uplinks.network_uplinks(labelled, elsewhere, Settings()) == ()


def test_links_with_entries_stay_uplinks_while_only_a_tunnel_has_a_default_route() -> None:
    """As a VPN's: the link's own route is away for a moment."""
    given = observed("wg0", entries=(ProxyEntry(MON_CONTAINER, "eth1"),))
    tunnel = replace(given.host.links["eth0"], name="wg0", index=99, altnames=(), neighbour_discovery=False)
    of_host = replace(given.host, links={**given.host.links, "wg0": tunnel})
    assert names(replace(given, host=of_host)) == ["wg0", "eth1"]


def test_missing_names_are_those_that_no_link_has() -> None:
    """In the option and in labels."""
    given = observed(label="eth9")
    assert uplinks.missing_uplinks(given, Settings(uplinks=("wan", "eth8"))) == ("eth8", "eth9")


def test_each_uplink_has_a_reason() -> None:
    """As `status` and `doctor` show it."""

    def why(given: Facts, link: Link, *named: str) -> str:
        return uplinks.why_uplink(link, given, Settings(uplinks=named))

    router = builders.SUBNET[1]
    routed = observed("eth0")
    routed = replace(routed, host=replace(routed.host, default_routers=frozenset({(router, "eth0")})))
    assert why(observed("eth0"), ETH0, "wan") == "named by --uplink"
    assert why(observed("eth0"), ETH0) == "default route"
    assert why(routed, ETH0) == f"default route via {router}"
    assert why(observed("eth0", label="eth1"), ETH1) == "named by the label of network he_ipv6"
    assert "no link has a default route" in why(observed(), ETH1)
    assert "there is no link lan0" in why(observed("eth0"), ETH1, "lan0")
