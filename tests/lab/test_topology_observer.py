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
