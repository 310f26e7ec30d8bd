"""What `status` says of each container, from facts and decisions alone."""

from dataclasses import replace

import pytest
from rich.console import Console

from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.progress import State
from dockeripv6mapper.model import Container, Opening, ProxyEntry, Reason
from dockeripv6mapper.report import status
from dockeripv6mapper.settings import Settings
from tests.unit.builders import MON_CONTAINER, NGINX, SUBNET, TUNNEL, UPLINK, container, endpoint, facts, host

RUNNING = container(network="he_ipv6", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
OPEN = Opening(MON_CONTAINER, "tcp", 80, 80)
HOST = replace(host(entries={ProxyEntry(MON_CONTAINER, "eth0"): True}), openings=frozenset({OPEN}))


def rows(given: Facts) -> list[status.Row]:
    """The rows where all containers are known."""
    desired = Desired(Settings())
    desired.update(given, given.containers)
    return status.rows(given, desired)


def test_a_mapped_container_is_shown_with_all_that_it_has() -> None:
    """The JSON is a contract with other programs."""
    found = rows(facts(RUNNING, of_host=HOST))
    sysctls = {"conf/eth0/proxy_ndp": "1", "conf/all/forwarding": "1", "conf/eth0/accept_ra": "2"}
    assert status.as_json(found, [UPLINK], sysctls) == {
        "uplinks": [{"name": "eth0", "proxy_ndp": "1", "forwarding": "1", "accept_ra": "2"}],
        "containers": [
            {
                "id": "id-of-mon_container",
                "name": "mon_container",
                "network": "he_ipv6",
                "address": str(MON_CONTAINER),
                "actual": str(MON_CONTAINER),
                "state": "mapped",
                "reason": None,
                "detail": None,
                "proxied": ["eth0"],
                "ports": ["80/tcp"],
            }
        ],
    }
    assert found[0].is_well


@pytest.mark.parametrize(
    ("which", "state", "well"),
    [
        (RUNNING, "mapped", True),
        (container(network="he_ipv6", endpoints=(endpoint(None, MON_CONTAINER),)), "mapped", True),
        (container(network="he_ipv6"), "pending", False),
        (container(network="he_ipv6", running=True, endpoints=(endpoint(NGINX, NGINX),)), "pending", False),
        (container(network="nope"), "refused", False),
    ],
    ids=["running", "stopped and configured", "not attached", "at another address", "refused"],
)
def test_the_state_says_how_far_a_mapping_has_come(which: Container, state: str, well: bool) -> None:
    """Only what is mapped, or configured until its next start, is well."""
    (row,) = rows(facts(which))
    assert (row.state.value, row.is_well) == (state, well)


def test_a_container_that_only_waits_for_its_predecessor_is_no_fault() -> None:
    """It is pending, and nobody need do anything."""
    compose = {"com.docker.compose.project": "shop"}
    new = container("0123456789ab_mon_container", network="he_ipv6", created=2000, other_labels=compose)
    found = {row.container.name: row for row in rows(facts(RUNNING, new))}
    assert found[new.name].state is State.PENDING
    assert found[new.name].is_well


def test_containers_that_ask_for_nothing_are_left_out() -> None:
    """It is about labels."""
    assert not rows(facts(container()))


def test_a_label_cannot_speak_to_the_terminal() -> None:
    """An escape sequence is shown, and not obeyed."""
    console = Console(width=200)
    with console.capture() as capture:
        console.print(status.as_table(rows(facts(container(network="\x1b]0;owned\x07")))))
    assert "\x1b" not in capture.get()
    assert r"\x1b]0;owned" in capture.get()


def test_every_fault_has_a_remedy() -> None:
    """A reason without one would leave its reader alone."""
    assert {reason for reason in Reason if reason.is_fault} == status.REMEDIES.keys()


GATEWAY = SUBNET[1]
A_SUFFIX = status.REMEDIES[Reason.GATEWAY]
A_NETWORK = status.REMEDIES[Reason.NETWORK_NOT_FOUND]
SYSCTLS = {"conf/eth0/proxy_ndp": "1", "conf/all/forwarding": "1", "conf/eth0/accept_ra": "2"}


def drawn(given: Facts) -> list[str]:
    """The tree's lines, without what connects them."""
    desired = Desired(Settings())
    desired.update(given, given.containers)
    console = Console(width=200, force_terminal=False)
    with console.capture() as capture:
        links = given.host.links.values()
        console.print(status.as_tree("docker1", status.rows(given, desired), given, links, SYSCTLS))
    return [line.strip("├└│─ \N{NO-BREAK SPACE}") for line in capture.get().splitlines()]


def test_uplinks_come_first_and_containers_hang_on_their_networks() -> None:
    """With what `status` says of each."""
    opening = Opening(MON_CONTAINER, "tcp", 80, 80)
    of_host = host(UPLINK, TUNNEL, entries={ProxyEntry(MON_CONTAINER, "eth0"): True})
    running = container(network="he_ipv6", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
    given = facts(
        running,
        container("nginx", network="he_ipv6", suffix="1"),
        container("other", network="nope"),
        of_host=replace(of_host, openings=frozenset({opening})),
    )
    assert drawn(given) == [
        "docker1",
        "uplink eth0 proxy_ndp=1 forwarding=1 accept_ra=2",
        "uplink he-ipv6, without neighbour discovery",
        f"network he_ipv6 {SUBNET}",
        f"mon_container {MON_CONTAINER} mapped, proxied on eth0, open 80/tcp",
        f"nginx {GATEWAY} refused: {GATEWAY} is the gateway of network he_ipv6 [gateway]; try: {A_SUFFIX}",
        "there is no network 'nope'",
        f"other - refused: there is no network 'nope' [network-not-found]; try: {A_NETWORK}",
    ]


def test_a_network_named_by_name_and_by_id_is_one_branch() -> None:
    """It is one network."""
    by_id = container("nginx", network=facts().networks.find("he_ipv6").id)
    assert sum("network he_ipv6" in line for line in drawn(facts(container(network="he_ipv6"), by_id))) == 1


def test_a_label_without_a_network_hangs_on_none() -> None:
    """Where another label cannot be understood, the container is shown all the same."""
    assert "no network named" in drawn(facts(container(proxy="perhaps")))


def test_without_labelled_containers_it_says_so() -> None:
    """An empty tree would leave its reader in doubt."""
    assert drawn(facts())[-1] == "no container carries the label ipv6.mapper.network"
