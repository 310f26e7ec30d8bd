"""Which neighbours the host solicits from a global address."""

from ipaddress import IPv6Address

import pytest

from dockeripv6mapper.kernel.ndp.neighbours import MAX_OTHERS, State, global_address, to_solicit

ROUTER = IPv6Address("fe80::1")
NEIGHBOUR = IPv6Address("2001:470:b080:103::9")


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (State.NO_ENTRY, False),
        (State.REACHABLE, False),
        (State.STALE, False),
        (State.DELAY, False),
        (State.PERMANENT, False),
        (State.INCOMPLETE, True),
        (State.PROBE, True),
        (State.FAILED, True),
    ],
)
def test_router_is_solicited_where_the_kernel_fails_to_resolve_it(state: State, expected: bool) -> None:
    """Otherwise nothing is sent, as long as nothing shows that the kernel's messages are dropped."""
    assert to_solicit({ROUTER: state}, [ROUTER], filtered=False) == [ROUTER] * expected
    assert to_solicit({NEIGHBOUR: state}, [ROUTER], filtered=False) == []


@pytest.mark.parametrize("state", list(State))
def test_routers_are_kept_reachable_where_the_kernels_messages_are_dropped(state: State) -> None:
    """A static entry needs no confirmation."""
    expected = [] if state in (State.REACHABLE, State.PERMANENT, State.NOARP) else [ROUTER]
    assert to_solicit({ROUTER: state}, [ROUTER], filtered=True) == expected
    assert to_solicit({}, [ROUTER], filtered=True) == [ROUTER]


def test_other_neighbours_are_solicited_while_the_kernel_resolves_them() -> None:
    """Only a few of them at a time: a container may send to each address of a subnet."""
    states = {NEIGHBOUR + number: State.INCOMPLETE for number in range(MAX_OTHERS + 1)}
    assert to_solicit({NEIGHBOUR: State.PROBE}, [], filtered=True) == [NEIGHBOUR]
    assert to_solicit({NEIGHBOUR: State.STALE}, [], filtered=True) == []
    assert len(to_solicit(states, [ROUTER], filtered=True)) == MAX_OTHERS + 1


LISTED = """\
00000000000000000000000000000001 01 80 10 80       lo
20010470b08001030000000000000003 03 40 00 80     eth1
fe800000000000000000000000000002 02 40 20 80     eth0
{}"""
TENTATIVE, DADFAILED, OPTIMISTIC, DEPRECATED, PERMANENT = "40", "c8", "84", "a0", "80"


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ([("20010470b08001030000000000000002", PERMANENT)], "2001:470:b080:103::2"),
        ([], None),
        ([("20010470b08001030000000000000002", TENTATIVE)], None),
        ([("20010470b08001030000000000000002", DADFAILED)], None),
        ([("20010470b08001030000000000000002", OPTIMISTIC)], None),
        (
            [
                ("20010470b08001030000000000000002", DEPRECATED),
                ("20010470b08001030000000000000004", PERMANENT),
            ],
            "2001:470:b080:103::4",
        ),
        (
            [
                ("fd000000000000000000000000000001", PERMANENT),
                ("20010470b08001030000000000000002", DEPRECATED),
            ],
            "2001:470:b080:103::2",
        ),
        ([("fd000000000000000000000000000001", PERMANENT)], "fd00::1"),
    ],
    ids=["one", "none", "tentative", "duplicate", "optimistic", "deprecated", "unique local", "only that"],
)
def test_host_solicits_from_a_usable_global_address_of_the_uplink(
    listed: list[tuple[str, str]], expected: str | None
) -> None:
    """As the kernel lists them in /proc/net/if_inet6. Addresses of other links do not count."""
    lines = "".join(f"{address} 02 40 00 {flags}     eth0\n" for address, flags in listed)
    assert global_address(2, LISTED.format(lines)) == (expected and IPv6Address(expected))
