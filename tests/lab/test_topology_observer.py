"""Links, addresses and routes of a host: read again after a change of any, and only then."""

import json
import os
import sys
from collections.abc import Iterator
from ipaddress import IPv6Interface
from typing import Any

import pytest

from dockeripv6mapper.kernel.topology import READ_ANYWAY
from tests.lab.namespaces import Namespace
from tests.lab.prerequisites import CHECKOUT
from tests.lab.waiting import eventually

ADDRESS = "2001:db8::5"
DEFAULT = "route {} default via fe80::1 dev up0"
OVERFLOW = 1_000
"""Times down and up, each told of in some ten messages of a kilobyte: a socket holds 208 of them."""


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A host without an engine, with one link and one address."""
    namespace = Namespace(f"dim-{os.getpid()}-uplinks")
    namespace.create()
    try:
        # What the kernel does by itself a second or two after a link came up would be a change, too.
        namespace.set_sysctl("net.ipv6.conf.default.accept_dad", "0")
        namespace.run("ip", "link", "add", "up0", "up", "type", "veth", "peer", "name", "far0")
        namespace.run("ip", "link", "set", "far0", "up")
        namespace.add_address("up0", IPv6Interface(f"{ADDRESS}/64"))
        eventually(lambda: namespace.run("ip", "-br", "link", "show", "up").stdout.count(" UP ") == 2)
        yield namespace
    finally:
        namespace.delete()


def look(namespace: Namespace, *changes: str) -> list[dict[str, Any]]:
    """What the observer sees before, and after each of some changes."""
    program = ("env", "-C", str(CHECKOUT), sys.executable, "-m", "tests.lab.topology_observer")
    found: list[dict[str, Any]] = json.loads(namespace.run(*program, *changes).stdout)
    return found


def test_nothing_is_read_again_while_nothing_changes(namespace: Namespace) -> None:
    """A pass over a host with a hundred links would spend most of its time on it."""
    first, second, third = look(namespace, "", "neigh add proxy 2001:db8::9 dev up0")
    assert first["read"]
    assert first["addresses"] == sorted((ADDRESS, "::1"))
    assert not second["read"]
    assert not third["read"]  # a proxy entry is none of it, and the kernel tells nobody


def test_every_change_is_seen_by_the_next_look(namespace: Namespace) -> None:
    """A link, an address, a default route, each when it comes and when it goes."""
    _, routed, unrouted, grown, shrunk, addressed, bare = look(
        namespace,
        DEFAULT.format("add"),
        DEFAULT.format("del"),
        "link add up1 type veth peer name far1",
        "link del up1",
        "address add 2001:db8::6/64 dev up0 nodad",
        "address flush dev up0 scope global",
    )
    assert (routed["uplinks"], unrouted["uplinks"]) == (["up0"], [])
    assert "up1" in grown["links"]
    assert "up1" not in shrunk["links"]
    assert addressed["addresses"] == sorted((ADDRESS, "2001:db8::6", "::1"))
    assert bare["addresses"] == ["::1"]


def test_a_next_hop_that_goes_by_itself_is_seen(namespace: Namespace) -> None:
    """A route may name a group of them, and is not told of when one of the group is deleted."""
    namespace.run("ip", "link", "add", "up1", "up", "type", "veth", "peer", "name", "far1")
    namespace.run("ip", "link", "set", "far1", "up")
    for number in (0, 1):
        namespace.run("ip", "nexthop", "add", "id", str(number + 1), "via", "fe80::1", "dev", f"up{number}")
    namespace.run("ip", "nexthop", "add", "id", "3", "group", "1/2")
    _, both, one = look(namespace, "route add default nhid 3", "nexthop del id 2")
    assert both["uplinks"] == ["up0", "up1"]
    assert one["uplinks"] == ["up0"]


def test_now_and_then_all_is_read_whatever_the_kernel_tells(namespace: Namespace) -> None:
    """Nothing stays wrong for good."""
    looks = look(namespace, *[""] * READ_ANYWAY)
    assert sum(each["read"] for each in looks) == 2


def test_a_flood_of_changes_is_a_change(namespace: Namespace) -> None:
    """More than a socket holds: what is lost among it, the reading afresh finds all the same."""
    flood = "\n".join(("link set up0 down", "link set up0 up") * OVERFLOW)
    _, flooded, added = look(namespace, f"{flood}\n{DEFAULT.format('add')}", DEFAULT.format("del"))
    assert flooded["uplinks"] == ["up0"]
    assert added["uplinks"] == []
