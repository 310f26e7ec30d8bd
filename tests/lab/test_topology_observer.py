"""The topology observer: links, addresses and routes are read again after a change, and only then."""

import json
import os
import sys
from collections.abc import Iterator
from ipaddress import IPv6Interface
from typing import Any

import pytest

from dockeripv6mapper.kernel.topology import REREAD_INTERVAL
from tests.lab.namespaces import Namespace
from tests.lab.prerequisites import CHECKOUT
from tests.lab.waiting import eventually

ADDRESS = "2001:db8::5"
DEFAULT = "route {} default via fe80::1 dev up0"
DEFAULT_ROUTES = {
    "route add default via fe80::1 dev up0": "fe80::1 up0",
    "route add default dev up0": "up0",
    "route add 2000::/3 via fe80::1 dev up0 metric 5": "fe80::1 up0",
    "route add ::/1 via fe80::1 dev up0\nroute add 8000::/1 via fe80::1 dev up0": "fe80::1 up0",
    "route add 2000::/4 via fe80::1 dev up0\nroute add 3000::/4 dev up1": "fe80::1 up0, up1",
    "route add default nexthop via fe80::1 dev up0 nexthop via fe80::2 dev up1": "fe80::1 up0, fe80::2 up1",
    "route add default via fe80::1 dev up0\nroute add default via fe80::2 dev up1 metric 9999": (
        "fe80::1 up0, fe80::2 up1"
    ),
    "route add default via fe80::1 dev up0 table 77\nrule add from 2001:db8::/48 table 77": "fe80::1 up0",
    "route add default via fe80::1 dev up0 table 78": "",
    "route add default from 2001:db8:9::/48 via fe80::1 dev up0": "fe80::1 up0",
    "nexthop add id 1 via fe80::1 dev up0\nroute add default nhid 1": "fe80::1 up0",
    "route add unreachable default metric 4294967295\nroute add blackhole 2000::/3": "",
    "route add 8000::/1 dev up0\nroute add 2001:db8:1::/48 dev up1": "",
}
"""Routes, as input of `ip -6 -batch`, and the uplinks that are found with them, each after its router."""
OVERFLOW = 1_000
"""Changes of a link to down and up. Each causes some ten notifications of 1 kB; a socket holds 208 kB."""


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A namespace with one link and one address, without an engine."""
    namespace = Namespace(f"dim-{os.getpid()}-uplinks")
    namespace.create()
    try:
        # Duplicate address detection would cause changes 1 to 2 s after the link came up.
        namespace.set_sysctl("net.ipv6.conf.default.accept_dad", "0")
        namespace.run("ip", "link", "add", "up0", "up", "type", "veth", "peer", "name", "far0")
        namespace.run("ip", "link", "set", "far0", "up")
        namespace.add_address("up0", IPv6Interface(f"{ADDRESS}/64"))
        eventually(lambda: namespace.run("ip", "-br", "link", "show", "up").stdout.count(" UP ") == 2)
        yield namespace
    finally:
        namespace.delete()


def observe(namespace: Namespace, *changes: str) -> list[dict[str, Any]]:
    """Return the observer's results before, and after each of `changes`."""
    program = ("env", "-C", str(CHECKOUT), sys.executable, "-m", "tests.lab.topology_observer")
    results: list[dict[str, Any]] = json.loads(namespace.run(*program, *changes).stdout)
    return results


def undo(changes: str) -> str:
    """Return the input of `ip -6 -batch` that undoes such input, the last change first."""
    undone = (line.replace(" add ", " del ") for line in reversed(changes.splitlines()))
    return "\n".join(line.partition(" via ")[0] if line.startswith("nexthop") else line for line in undone)


def test_topology_is_not_read_again_without_a_change(namespace: Namespace) -> None:
    """On a host with 100 links, reading would take most of the time of a pass."""
    first, second, third = observe(namespace, "", "neigh add proxy 2001:db8::9 dev up0")
    assert first["read"]
    assert first["addresses"] == sorted((ADDRESS, "::1"))
    assert not second["read"]
    assert not third["read"]  # a proxy entry is not part of the topology, and causes no notification


def test_next_observation_shows_each_change(namespace: Namespace) -> None:
    """A link, an address and a default route: added and removed."""
    _, route_added, route_deleted, link_added, link_deleted, address_added, addresses_flushed = observe(
        namespace,
        DEFAULT.format("add"),
        DEFAULT.format("del"),
        "link add up1 type veth peer name far1",
        "link del up1",
        "address add 2001:db8::6/64 dev up0 nodad",
        "address flush dev up0 scope global",
    )
    assert (route_added["uplinks"], route_deleted["uplinks"]) == (["up0"], [])
    assert "up1" in link_added["links"]
    assert "up1" not in link_deleted["links"]
    assert address_added["addresses"] == sorted((ADDRESS, "2001:db8::6", "::1"))
    assert addresses_flushed["addresses"] == ["::1"]


def test_deleted_nexthop_of_a_group_is_shown(namespace: Namespace) -> None:
    """The kernel sends no route notification when one nexthop of a route's group is deleted."""
    namespace.run("ip", "link", "add", "up1", "up", "type", "veth", "peer", "name", "far1")
    namespace.run("ip", "link", "set", "far1", "up")
    for number in (0, 1):
        namespace.run("ip", "nexthop", "add", "id", str(number + 1), "via", "fe80::1", "dev", f"up{number}")
    namespace.run("ip", "nexthop", "add", "id", "3", "group", "1/2")
    _, both, one = observe(namespace, "route add default nhid 3", "nexthop del id 2")
    assert both["uplinks"] == ["up0", "up1"]
    assert one["uplinks"] == ["up0"]


def test_links_with_a_default_route_of_any_kind_are_found(namespace: Namespace) -> None:
    """As hosts have it: static, by a VPN client, with several routers, or by policy routing."""
    namespace.run("ip", "link", "add", "up1", "up", "type", "veth", "peer", "name", "far1")
    namespace.run("ip", "link", "set", "far1", "up")
    changes = [change for kind in DEFAULT_ROUTES for change in (kind, undo(kind))]
    _, *results = observe(namespace, *changes)
    for kind, added, deleted in zip(DEFAULT_ROUTES, results[::2], results[1::2], strict=True):
        with_router = {each.split()[1] for each in added["routers"]}
        found = sorted({*added["routers"], *(link for link in added["uplinks"] if link not in with_router)})
        assert (kind, ", ".join(found)) == (kind, DEFAULT_ROUTES[kind])
        assert deleted["uplinks"] == []


def test_nexthop_objects_are_resolved_where_routes_only_name_them(namespace: Namespace) -> None:
    """As with net.ipv4.nexthop_compat_mode=0, also for a group."""
    namespace.run("ip", "link", "add", "up1", "up", "type", "veth", "peer", "name", "far1")
    namespace.run("ip", "link", "set", "far1", "up")
    namespace.set_sysctl("net.ipv4.nexthop_compat_mode", "0")
    for number in (0, 1):
        namespace.run("ip", "nexthop", "add", "id", str(number + 1), "via", "fe80::1", "dev", f"up{number}")
    namespace.run("ip", "nexthop", "add", "id", "3", "group", "1/2")
    _, single, group = observe(
        namespace, "route add default nhid 1", "route del default\nroute add default nhid 3"
    )
    assert single["routers"] == ["fe80::1 up0"]
    assert group["routers"] == ["fe80::1 up0", "fe80::1 up1"]


def test_rules_and_properties_of_links_are_shown(namespace: Namespace) -> None:
    """A rule makes the routes of its table count, at once. A link has a kind, and may have other names."""
    _, table, added, deleted, named = observe(
        namespace,
        "route add default via fe80::1 dev up0 table 77",
        "rule add to 2001:db8:9::/48 table 77",
        "rule del to 2001:db8:9::/48 table 77",
        "link add br7 type bridge\nlink property add dev up0 altname wan altname wan.with.dots",
    )
    assert [each["uplinks"] for each in (table, added, deleted)] == [[], ["up0"], []]
    assert named["altnames"] == {"up0": ["wan", "wan.with.dots"]}
    assert (named["kinds"]["lo"], named["kinds"]["up0"], named["kinds"]["br7"]) == (None, "veth", "bridge")


def test_topology_is_read_periodically_without_notifications(namespace: Namespace) -> None:
    """So that a missed notification has no permanent effect."""
    results = observe(namespace, *[""] * REREAD_INTERVAL)
    assert sum(each["read"] for each in results) == 2


def test_overflow_of_the_notification_socket_counts_as_a_change(namespace: Namespace) -> None:
    """Lost notifications are replaced by reading everything again."""
    flood = "\n".join(("link set up0 down", "link set up0 up") * OVERFLOW)
    _, flooded, added = observe(namespace, f"{flood}\n{DEFAULT.format('add')}", DEFAULT.format("del"))
    assert flooded["uplinks"] == ["up0"]
    assert added["uplinks"] == []
