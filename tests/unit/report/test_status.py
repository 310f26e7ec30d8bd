"""`status`: the row of each container, and the table, JSON and tree made of them."""

from collections.abc import Mapping
from dataclasses import replace
from io import StringIO
from ipaddress import IPv6Address

import pytest
from rich.console import Console

from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.reachability import Access, Inbound
from dockeripv6mapper.mapping.state import State
from dockeripv6mapper.model import Container, Opening, ProxyEntry, Reason
from dockeripv6mapper.report import status
from dockeripv6mapper.settings import Settings
from tests.unit.builders import MON_CONTAINER, NGINX, SUBNET, TUNNEL, UPLINK, container, endpoint, facts, host

RUNNING = container(network="he_ipv6", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
OPEN = Opening(MON_CONTAINER, "tcp", 80, 80)
HOST = replace(host(entries={ProxyEntry(MON_CONTAINER, "eth0"): True}), openings=frozenset({OPEN}))


def rows(given: Facts) -> list[status.Row]:
    """The rows after a decision on every container."""
    desired = Desired(Settings())
    desired.update(given, given.containers)
    return status.rows(given, desired)


def test_the_json_of_a_mapped_container_has_address_proxies_and_ports() -> None:
    """Other programs rely on these keys."""
    all_rows = rows(facts(RUNNING, of_host=HOST))
    sysctls = {"conf/eth0/proxy_ndp": "1", "conf/all/forwarding": "1", "conf/eth0/accept_ra": "2"}
    assert status.as_json(all_rows, {UPLINK: "default route"}, sysctls) == {
        "uplink_reasons": {"eth0": "default route"},
        "uplinks": [{"name": "eth0", "proxy_ndp": "1", "forwarding": "1", "accept_ra": "2"}],
        "containers": [
            {
                "id": "id-of-mon_container",
                "name": "mon_container",
                "network": "he_ipv6",
                "address": str(MON_CONTAINER),
                "actual": str(MON_CONTAINER),
                "outgoing": None,
                "state": "mapped",
                "reason": None,
                "detail": None,
                "proxied": ["eth0"],
                "ports": ["80/tcp"],
                "from_outside": None,
            }
        ],
    }
    assert all_rows[0].is_well


@pytest.mark.parametrize(
    ("labelled", "state", "well"),
    [
        (RUNNING, "mapped", True),
        (container(network="he_ipv6", endpoints=(endpoint(None, MON_CONTAINER),)), "mapped", True),
        (container(network="he_ipv6"), "pending", False),
        (container(network="he_ipv6", running=True, endpoints=(endpoint(NGINX, NGINX),)), "pending", False),
        (container(network="nope"), "refused", False),
    ],
    ids=["running", "stopped and configured", "not attached", "at another address", "refused"],
)
def test_the_state_of_a_container(labelled: Container, state: str, well: bool) -> None:
    """Well: it has its address, or is configured to get it at its next start."""
    (row,) = rows(facts(labelled))
    assert (row.state.value, row.is_well) == (state, well)


def test_a_container_that_waits_for_its_predecessor_is_pending_and_well() -> None:
    """Compose removes the predecessor soon; the user need not act."""
    compose = {"com.docker.compose.project": "shop"}
    new = container("0123456789ab_mon_container", network="he_ipv6", created=2000, other_labels=compose)
    by_name = {row.container.name: row for row in rows(facts(RUNNING, new))}
    assert by_name[new.name].state is State.PENDING
    assert by_name[new.name].is_well


def test_containers_without_a_label_are_left_out() -> None:
    """`status` is about labelled containers."""
    assert not rows(facts(container()))


def test_a_label_cannot_control_the_terminal() -> None:
    """An escape sequence in it is printed as text."""
    console = Console(width=200)
    with console.capture() as capture:
        console.print(status.as_table(rows(facts(container(network="\x1b]0;owned\x07")))))
    assert "\x1b" not in capture.get()
    assert r"\x1b]0;owned" in capture.get()


def test_every_fault_has_a_remedy() -> None:
    """A refusal without a remedy would be of no use to the user."""
    assert {reason for reason in Reason if reason.is_fault} == status.REMEDIES.keys()


GATEWAY = SUBNET[1]
A_SUFFIX = status.REMEDIES[Reason.GATEWAY]
A_NETWORK = status.REMEDIES[Reason.NETWORK_NOT_FOUND]


def test_json_and_tree_say_why_a_link_is_an_uplink_and_whether_it_forwards() -> None:
    """The kernel answers for a proxy entry only where the host and the link forward."""
    sysctls = {"conf/all/forwarding": "1", "conf/eth0/forwarding": "0"}
    uplinks = {UPLINK: "default route"}
    shown = status.as_json([], uplinks, sysctls)
    assert [each["forwarding"] for each in shown["uplinks"]] == ["0"]
    assert shown["uplink_reasons"] == {"eth0": "default route"}
    (closed,) = status.as_json([], uplinks, {"conf/all/forwarding": "0", "conf/eth0/forwarding": "1"})[
        "uplinks"
    ]
    assert closed["forwarding"] == "0"
    tree = status.as_tree("docker1", [], facts(), uplinks, SYSCTLS)
    assert str(tree.children[0].label).endswith("accept_ra=2 (default route)")


SYSCTLS = {"conf/eth0/proxy_ndp": "1", "conf/all/forwarding": "1", "conf/eth0/accept_ra": "2"}


def tree_lines(given: Facts) -> list[str]:
    """The tree's lines, without the characters that draw its branches."""
    desired = Desired(Settings())
    desired.update(given, given.containers)
    console = Console(width=200, force_terminal=False)
    with console.capture() as capture:
        uplinks = dict.fromkeys(given.host.links.values(), "default route")
        console.print(status.as_tree("docker1", status.rows(given, desired), given, uplinks, SYSCTLS))
    return [line.strip("├└│─ \N{NO-BREAK SPACE}") for line in capture.get().splitlines()]


def test_the_tree_has_uplinks_first_then_containers_below_their_networks() -> None:
    """Each container with its address, state, proxies and ports, or its refusal."""
    opening = Opening(MON_CONTAINER, "tcp", 80, 80)
    of_host = host(UPLINK, TUNNEL, entries={ProxyEntry(MON_CONTAINER, "eth0"): True})
    running = container(network="he_ipv6", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
    given = facts(
        running,
        container("nginx", network="he_ipv6", suffix="1"),
        container("other", network="nope"),
        of_host=replace(of_host, openings=frozenset({opening})),
    )
    assert tree_lines(given) == [
        "docker1",
        "uplink eth0 proxy_ndp=1 forwarding=1 accept_ra=2 (default route)",
        "uplink he-ipv6, without neighbour discovery (default route)",
        f"network he_ipv6 {SUBNET}",
        f"mon_container {MON_CONTAINER} mapped, proxied on eth0, open 80/tcp",
        f"nginx {GATEWAY} refused: {GATEWAY} is the gateway of network he_ipv6 [gateway]; try: {A_SUFFIX}",
        "there is no network 'nope'",
        f"other - refused: there is no network 'nope' [network-not-found]; try: {A_NETWORK}",
    ]


def test_a_network_named_by_name_and_by_id_is_one_branch() -> None:
    """Two containers, two references, one network."""
    by_id = container("nginx", network=facts().networks.find("he_ipv6").id)
    assert (
        sum("network he_ipv6" in line for line in tree_lines(facts(container(network="he_ipv6"), by_id))) == 1
    )


def test_a_container_that_names_no_network_is_in_the_tree() -> None:
    """It has another label, which is invalid; it is below the branch `the label names no network`."""
    assert "the label names no network" in tree_lines(facts(container(proxy="perhaps")))


def test_a_tree_without_containers_says_so() -> None:
    """An empty tree could also be an error."""
    assert tree_lines(facts())[-1] == "no container carries the label ipv6.mapper.network"


@pytest.mark.parametrize(
    ("outgoing", "text", "well"),
    [
        ({RUNNING.id: MON_CONTAINER}, "mapped", True),
        ({RUNNING.id: NGINX}, f"mapped, sends from {NGINX}", False),
        ({RUNNING.id: None}, "mapped, sends from an unknown address", True),
        ({}, "mapped", True),
    ],
)
def test_an_outgoing_address_other_than_the_mapped_one_is_shown(
    outgoing: dict[str, IPv6Address | None], text: str, *, well: bool
) -> None:
    """In table, tree and JSON; an unknown one is shown as unknown. A user's choice is no fault."""
    given = facts(RUNNING, of_host=HOST)
    for settings in (Settings(), Settings(default_route=False)):
        desired = Desired(settings)
        desired.update(given, given.containers)
        all_rows = status.rows(given, desired, outgoing)
        console = Console(width=200, record=True, file=StringIO())
        console.print(status.as_table(all_rows), status.as_tree("host", all_rows, given, {}, {}))
        shown = console.export_text()
        assert shown.count(text) == shown.count("mapped") == 2
        (row,) = all_rows
        assert row.is_well is (well or not settings.default_route)
        address = outgoing.get(RUNNING.id)
        found = status.as_json(all_rows, {}, {})["containers"][0]["outgoing"]
        assert found == (None if address is None else str(address))


SOME = Inbound(Access.SOME, ping=True, ports=(OPEN,))
NOTHING = Inbound(Access.NOTHING, "gateway mode nat")
UNKNOWN = Inbound(Access.UNKNOWN, "the rules cannot be read (CAP_NET_ADMIN is missing)")


def row_with(inbound: Mapping[str, Inbound]) -> status.Row:
    """The row of a mapped, running container to which that gets in."""
    (row,) = rows(facts(RUNNING, of_host=HOST))
    return replace(row, inbound=inbound)


def table(row: status.Row, width: int) -> str:
    """The table as a terminal of some width shows it."""
    console = Console(width=width)
    with console.capture() as capture:
        console.print(status.as_table([row], width=width))
    return capture.get()


@pytest.mark.parametrize(
    ("inbound", "text", "well"),
    [
        ({"eth0": Inbound(Access.EVERYTHING)}, "everything", True),
        ({"eth0": SOME}, "ping, 80/tcp", True),
        ({"eth0": replace(SOME, ping=False)}, "80/tcp only", True),
        ({"eth0": NOTHING}, "nothing: gateway mode nat", False),
        ({"eth0": NOTHING, "eth1": SOME}, "eth0: nothing: gateway mode nat; eth1: ping, 80/tcp", True),
        ({"": UNKNOWN}, "unknown: the rules cannot be read (CAP_NET_ADMIN is missing)", True),
        (
            {"eth0": NOTHING, "eth1": replace(NOTHING, why="no")},
            "eth0: nothing: gateway mode nat; eth1: nothing: no",
            False,
        ),
        ({}, None, True),
    ],
)
def test_what_gets_in_is_in_each_report(
    inbound: Mapping[str, Inbound], text: str | None, *, well: bool
) -> None:
    """A container is not well where nothing gets in. Where that is unknown, as without root, it is."""
    row = row_with(inbound)
    assert row.is_well is well
    assert status.as_json([row], {}, {})["containers"][0]["from_outside"] == text
    if text is not None:
        assert text in table(row, 250)


def test_a_narrow_table_shows_addresses_whole_and_long_reasons_below() -> None:
    """On 80 columns; the ports that get in stand for those that a label opens."""
    shown = table(row_with({"": UNKNOWN}), 80)
    assert str(MON_CONTAINER) in shown
    note = f"mon_container: from outside {UNKNOWN}"
    assert note in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 80
    assert "open" not in shown.splitlines()[0]
    assert "nothing:" in table(row_with({"eth0": NOTHING}), 80)
