"""Container routes: the source address, from the text of a container's /proc files."""

from ipaddress import IPv6Address

import pytest

from dockeripv6mapper.kernel.container_routes import default_route_interface, outgoing_address, source
from dockeripv6mapper.kernel.if_inet6 import global_addresses

ZERO = "0" * 32
MAPPED, OTHER = IPv6Address("2001:db8:103:0:1::99"), IPv6Address("fd00:1::2")
IF_INET6 = """\
fd000001000000000000000000000002 02 40 00 80     eth0
20010db8010300000001000000000099 03 50 00 80     eth1
fe800000000000000042acfffe120002 03 40 20 80     eth1
00000000000000000000000000000001 01 80 10 80       lo
"""
ROUTES = f"""\
20010db8010300000001000000000000 50 {ZERO} 00 {ZERO} 00000100 00000001 00000000 00000001     eth1
{ZERO} 00 {ZERO} 00 fd000001000000000000000000000001 00000400 00000003 00000000 00000003     eth0
{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 00000001 00000000 00200200       lo
"""
"""Of a container on two networks of engine 28.5, whose default route goes over the other one."""


def route(interface: str, *, metric: int = 1024, flags: int = 0x3) -> str:
    """A line for a default route."""
    return f"{ZERO} 00 {ZERO} 00 {ZERO} {metric:08x} 00000001 00000000 {flags:08x} {interface:>8}\n"


def test_a_container_sends_from_its_address_on_the_interface_of_its_default_route() -> None:
    """The mapped one where it is on that interface, whatever else is there."""
    addresses = global_addresses(IF_INET6)
    assert [(each.address, each.link_index, each.interface) for each in addresses] == [
        (OTHER, 2, "eth0"),
        (MAPPED, 3, "eth1"),
    ]
    assert source(MAPPED, addresses, default_route_interface(ROUTES)) == OTHER
    assert source(MAPPED, [addresses[0]._replace(interface="eth1"), *addresses], "eth1") == MAPPED
    assert source(MAPPED, addresses, None) is None


@pytest.mark.parametrize(
    ("routes", "interface"),
    [
        ("", None),
        (route("lo", metric=0xFFFFFFFF, flags=0x200200), None),
        (route("eth0") + route("eth1", metric=512), "eth1"),
        (route("eth0") + route("eth1"), "eth0"),
        (route("eth0") + route("eth1", flags=0x08450003), "eth1"),
        (route("eth0", flags=0x18450003) + route("eth1"), "eth1"),
        (route("eth0") + route("eth1", metric=512, flags=0x2), "eth0"),
    ],
    ids=["none", "reject", "metric", "first", "high preference", "low preference", "down"],
)
def test_the_default_route_has_the_lowest_metric_then_the_highest_preference(
    routes: str, interface: str | None
) -> None:
    """Routes that reject packets or are down do not count."""
    assert default_route_interface(routes) == interface


def test_a_process_without_the_address_is_another_one() -> None:
    """A PID of another PID namespace may be any process here; 0 is none."""
    assert outgoing_address(1, MAPPED) is None
    assert outgoing_address(0, MAPPED) is None
