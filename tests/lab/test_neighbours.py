"""The host's own neighbour entries on a bridge: learnt MACs are forgotten, and no other entry."""

import json
import os
import sys
from collections.abc import Iterator

import pytest

from tests.lab.namespaces import Namespace
from tests.lab.prerequisites import CHECKOUT

STATES = ("reachable", "stale", "delay", "probe", "permanent", "noarp", "incomplete", "failed")
FORGET = """
import sys
from ipaddress import IPv6Address
from dockeripv6mapper.kernel.bridge_neighbours import BridgeNeighbours
from dockeripv6mapper.model import BridgeAddress
neighbours = BridgeNeighbours()
neighbours.forget(BridgeAddress(IPv6Address(each), "br7") for each in sys.argv[1:])
neighbours.forget([BridgeAddress(IPv6Address("2001:db8::1"), "gone0")])
neighbours.close()
"""


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A namespace with a bridge, without an engine."""
    namespace = Namespace(f"dim-{os.getpid()}-neighbours")
    namespace.create()
    try:
        namespace.run("ip", "link", "add", "br7", "up", "type", "bridge")
        namespace.run("ip", "link", "add", "port0", "up", "type", "veth", "peer", "name", "far0")
        namespace.run("ip", "link", "set", "port0", "master", "br7")
        namespace.run("ip", "link", "set", "far0", "up")
        yield namespace
    finally:
        namespace.delete()


def test_only_learnt_neighbours_are_forgotten(namespace: Namespace) -> None:
    """Not a user's permanent ones; and none that is being resolved, since packets wait there."""
    addresses = {f"2001:db8::{number}": state for number, state in enumerate(STATES, 1)}
    for address, state in addresses.items():
        mac = () if state in ("incomplete", "failed") else ("lladdr", "02:00:00:00:00:07")
        namespace.run("ip", "-6", "neigh", "add", address, *mac, "dev", "br7", "nud", state)
    program = ("env", "-C", str(CHECKOUT), sys.executable, "-c", FORGET)
    namespace.run(*program, *addresses, "2001:db8::77")
    left = json.loads(namespace.run("ip", "-6", "-j", "neigh", "show", "dev", "br7", "nud", "all").stdout)
    states = {addresses[each["dst"]] for each in left if each["dst"] in addresses}
    assert states == {"permanent", "noarp", "incomplete", "failed"}
