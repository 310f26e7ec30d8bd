"""The host as a tree, from facts and decisions alone."""

from dataclasses import replace

from rich.console import Console

from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.model import Opening, ProxyEntry, Reason
from dockeripv6mapper.report import status, tree
from dockeripv6mapper.settings import Settings
from tests.unit.builders import MON_CONTAINER, SUBNET, TUNNEL, UPLINK, container, endpoint, facts, host

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
        console.print(tree.as_tree("docker1", status.rows(given, desired), given, links, SYSCTLS))
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
