"""Mapping, end to end: a labelled container is reachable from a client on the internet."""

import json

import pytest

from tests.lab.containers import (
    EMPTY_PLAN,
    LABEL,
    MAPPER_PROTOCOL,
    SUFFIX,
    WEB_SERVER,
    addresses_inside,
    endpoints_of,
    open_port,
    plan_of,
    reaches,
    run,
    run_labelled,
    wait_until_mapped,
)
from tests.lab.engine_choice import on_every_engine, on_one_engine
from tests.lab.hosts import UPLINK, Host
from tests.lab.mapper import Mapper
from tests.lab.nodes import Node
from tests.lab.topology import Lab
from tests.lab.waiting import eventually

pytestmark = on_every_engine("what the program is for, on each")


@pytest.fixture
def client(lab: Lab) -> Node:
    """The lab's client, behind the router."""
    return lab.client


def test_labelled_container_is_mapped_within_a_second_and_its_entry_removed_with_it(
    host: Host, mapper: Mapper, client: Node
) -> None:
    """Address and proxy entry within 1 s of `docker run`; entry removed within 1 s of `docker rm`."""
    mapper.wait_for_log("proxying neighbour discovery")
    foreign = host.subnet[0xF0]
    host.add_proxy_entry(foreign)
    run_labelled(host, "mon_container")
    address = host.subnet[SUFFIX]
    eventually(lambda: address in addresses_inside(host, "mon_container"), within=1)
    eventually(lambda: (address, UPLINK) in host.proxy_entries(MAPPER_PROTOCOL), within=1)
    assert reaches(client, address)
    assert plan_of(host) == EMPTY_PLAN
    host.engine.docker("rm", "-f", "mon_container")
    eventually(lambda: host.proxy_entries() == {(foreign, UPLINK)}, within=1)


def test_router_gets_the_page_of_a_web_server(host: Host, mapper: Mapper, client: Node) -> None:
    """The last step of the original program's manual: a browser shows the page."""
    mapper.wait_for_log("proxying neighbour discovery")
    host.engine.docker("run", "-d", "--name", "nginx", *LABEL, "busybox:lab", *WEB_SERVER)
    address = wait_until_mapped(host, "nginx", 0xEE_0043_0040)
    open_port(host, address, 80)
    assert eventually(lambda: client.http_get(f"http://[{address}]/"), within=5) == "welcome\n"


def test_container_older_than_the_daemon_is_mapped(host: Host, client: Node) -> None:
    """Both a running container and one that was created and not started."""
    run_labelled(host, "mon_container")
    host.engine.docker("create", "--name", "later", *LABEL, "--label", "ipv6.mapper.suffix=a", "busybox:lab")
    with Mapper(host):
        assert reaches(client, wait_until_mapped(host))
        eventually(lambda: plan_of(host) == EMPTY_PLAN, within=5)
        host.engine.docker("start", "later")
        wait_until_mapped(host, "later", 0xA)


@pytest.mark.parametrize("trial", ["restart", "stop and start", "kill", "pause"])
@pytest.mark.usefixtures("mapper")
def test_restarted_or_paused_container_keeps_its_address(host: Host, client: Node, trial: str) -> None:
    """It is reachable at the same address, and the plan is empty."""
    run_labelled(host, "mon_container")
    address = wait_until_mapped(host)
    docker = host.engine.docker
    match trial:
        case "restart":
            docker("restart", "-t", "0", "mon_container")
        case "stop and start":
            docker("stop", "-t", "0", "mon_container")
            eventually(lambda: not host.proxy_entries(MAPPER_PROTOCOL), within=2)
            docker("start", "mon_container")
        case "kill":
            docker("kill", "mon_container")
            eventually(lambda: not host.proxy_entries(MAPPER_PROTOCOL), within=2)
            docker("start", "mon_container")
        case "pause":
            docker("pause", "mon_container")
            assert (address, UPLINK) in host.proxy_entries(MAPPER_PROTOCOL)
            docker("unpause", "mon_container")
    assert wait_until_mapped(host) == address
    assert reaches(client, address)
    assert plan_of(host) == EMPTY_PLAN


@pytest.mark.parametrize("live_restore", [False, True], ids=["plain", "live-restore"])
def test_engine_restart_keeps_the_mapping(
    host: Host, mapper: Mapper, client: Node, live_restore: bool
) -> None:
    """The daemon keeps running, logs the loss once, and the container is reachable again."""
    run_labelled(host, "mon_container", "--restart", "always")
    address = wait_until_mapped(host)
    host.engine.restart(live_restore=live_restore)
    eventually(lambda: wait_until_mapped(host) == address, within=15)
    assert reaches(client, address)
    eventually(lambda: plan_of(host) == EMPTY_PLAN, within=5)
    assert mapper.running
    assert mapper.log().count("retrying, addresses and proxy entries stay") == 1


@on_one_engine
def test_daemon_restarted_after_a_kill_restores_all_mappings(
    host: Host, mapper: Mapper, client: Node
) -> None:
    """Also of containers that were created or removed meanwhile."""
    run_labelled(host, "mon_container")
    run_labelled(host, "removed", "--label", "ipv6.mapper.suffix=b")
    address = wait_until_mapped(host)
    wait_until_mapped(host, "removed", 0xB)
    mapper.kill()
    assert reaches(client, address)
    host.engine.docker("rm", "-f", "removed")
    run_labelled(host, "new", "--label", "ipv6.mapper.suffix=c")
    mapper.start()
    wait_until_mapped(host, "new", 0xC)
    eventually(lambda: len(host.proxy_entries(MAPPER_PROTOCOL)) == 2, within=3)
    assert reaches(client, address)
    assert plan_of(host) == EMPTY_PLAN


@on_one_engine
def test_containers_stay_reachable_after_the_daemon_stops(host: Host, mapper: Mapper, client: Node) -> None:
    """So an upgrade causes no outage."""
    run_labelled(host, "mon_container")
    address = wait_until_mapped(host)
    assert mapper.stop() == 0
    assert reaches(client, address)


@pytest.mark.usefixtures("mapper")
def test_renamed_container_gets_the_address_of_its_new_name(host: Host) -> None:
    """The old proxy entry is removed."""
    run_labelled(host, "mon_container")
    wait_until_mapped(host)
    host.engine.docker("rename", "mon_container", "nginx")
    address = wait_until_mapped(host, "nginx", 0xEE_0043_0040)
    eventually(lambda: host.proxy_entries(MAPPER_PROTOCOL) == {(address, UPLINK)}, within=3)


@on_one_engine
def test_container_is_mapped_when_its_network_is_created(host: Host, mapper: Mapper) -> None:
    """The refusal ends with the network's creation. A manual disconnect is undone."""
    host.engine.docker("network", "rm", "he_ipv6")
    run_labelled(host, "mon_container")
    mapper.wait_for_log("network-not-found")
    host.create_network()
    wait_until_mapped(host)
    host.engine.docker("network", "disconnect", "-f", "he_ipv6", "mon_container")
    wait_until_mapped(host)


REFUSALS = [
    (("--label", "ipv6.mapper.network=nope"), "network-not-found", "'nope'"),
    (("--label", "ipv6.mapper.network="), "invalid-label", "ipv6.mapper.network=''"),
    (("--label", "ipv6.mapper.network=bridge"), "network-predefined", "'bridge'"),
    ((*LABEL, "--label", "ipv6.mapper.suffix=xyz"), "invalid-label", "'xyz'"),
    ((*LABEL, "--label", "ipv6.mapper.suffix=1:2:3:4"), "suffix-too-wide", "'1:2:3:4'"),
    ((*LABEL, "--label", "ipv6.mapper.suffix=0"), "subnet-router-anycast", "'0'"),
    ((*LABEL, "--label", "ipv6.mapper.suffix=1"), "gateway", "'1'"),
    ((*LABEL, "--label", "ipv6.mapper.proxy=maybe"), "invalid-label", "'maybe'"),
    ((*LABEL, "--network", "host"), "not-connectable", "--network host"),
    ((*LABEL, "--network", "none"), "not-connectable", "--network none"),
]


@on_one_engine
def test_each_refusal_is_one_warning_and_the_container_keeps_running(host: Host, mapper: Mapper) -> None:
    """The warning names container, value and reason. The container is not changed; others are mapped."""
    mapper.wait_for_log("proxying neighbour discovery")
    for number, (options, reason, value) in enumerate(REFUSALS):
        name = f"refused{number}"
        run(host, name, *options)
        warning = mapper.wait_for_log(rf"WARNING.*container {name} is not mapped.*\[{reason}\].*")[0]
        assert value in warning
        assert host.engine.docker("inspect", "-f", "{{.State.Running}}", name) == "true"
        assert "he_ipv6" not in endpoints_of(host, name)
    for number in range(len(REFUSALS)):
        assert mapper.log().count(f"container refused{number} is not mapped") == 1
    run_labelled(host, "mon_container")
    wait_until_mapped(host)


def test_labels_of_an_image_do_not_map_its_containers(host: Host, mapper: Mapper) -> None:
    """Unless the daemon runs with `--trust-image-labels`."""
    image = host.engine.docker("create", "busybox:lab")
    change = "LABEL ipv6.mapper.network=he_ipv6 ipv6.mapper.suffix=e"
    host.engine.docker("commit", "--change", change, image, "exposing:lab")
    host.engine.docker("run", "-d", "--name", "exposed", "exposing:lab")
    run_labelled(host, "mon_container")
    wait_until_mapped(host)
    networks = json.loads(
        host.engine.docker("inspect", "-f", "{{json .NetworkSettings.Networks}}", "exposed")
    )
    assert "he_ipv6" not in networks
    assert mapper.stop() == 0
    with Mapper(host, "--trust-image-labels"):
        wait_until_mapped(host, "exposed", 0xE)
    host.engine.docker("rmi", "-f", "exposing:lab")
