"""The main job, end to end: a label, and the router reaches the container."""

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
from tests.lab.hosts import UPLINK, Host
from tests.lab.mapper import Mapper
from tests.lab.router import Router
from tests.lab.topology import Lab
from tests.lab.waiting import eventually


@pytest.fixture
def router(lab: Lab) -> Router:
    """The world outside."""
    return lab.router


def test_a_labelled_container_is_reachable_within_a_second_and_its_entry_goes_with_it(
    host: Host, mapper: Mapper, router: Router
) -> None:
    """From `docker run` to the router's ping, and from `docker rm` to a clean table."""
    mapper.wait_for_log("proxying neighbour discovery")
    foreign = host.subnet[0xF0]
    host.add_proxy_entry(foreign)
    run_labelled(host, "mon_container")
    address = host.subnet[SUFFIX]
    eventually(lambda: address in addresses_inside(host, "mon_container"), within=1)
    eventually(lambda: (address, UPLINK) in host.proxy_entries(MAPPER_PROTOCOL), within=1)
    assert reaches(router, address)
    assert plan_of(host) == EMPTY_PLAN
    host.engine.docker("rm", "-f", "mon_container")
    eventually(lambda: host.proxy_entries() == {(foreign, UPLINK)}, within=1)


def test_a_web_server_in_a_container_answers_the_router(host: Host, mapper: Mapper, router: Router) -> None:
    """What the older manual ends with: the browser shows the page."""
    mapper.wait_for_log("proxying neighbour discovery")
    host.engine.docker("run", "-d", "--name", "nginx", *LABEL, "busybox:lab", *WEB_SERVER)
    address = wait_until_mapped(host, "nginx", 0xEE_0043_0040)
    open_port(host, address, 80)
    assert eventually(lambda: router.http_get(f"http://[{address}]/"), within=5) == "welcome\n"


def test_a_container_that_ran_before_the_daemon_is_mapped(host: Host, router: Router) -> None:
    """Running, stopped and never started ones alike."""
    run_labelled(host, "mon_container")
    host.engine.docker("create", "--name", "later", *LABEL, "--label", "ipv6.mapper.suffix=a", "busybox:lab")
    with Mapper(host):
        assert reaches(router, wait_until_mapped(host))
        eventually(lambda: plan_of(host) == EMPTY_PLAN, within=5)
        host.engine.docker("start", "later")
        wait_until_mapped(host, "later", 0xA)


@pytest.mark.parametrize("trial", ["restart", "stop and start", "kill", "pause"])
@pytest.mark.usefixtures("mapper")
def test_a_container_that_is_restarted_ends_in_the_same_state(host: Host, router: Router, trial: str) -> None:
    """The same address, and nothing left to do."""
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
    assert reaches(router, address)
    assert plan_of(host) == EMPTY_PLAN


@pytest.mark.parametrize("live_restore", [False, True], ids=["plain", "live-restore"])
def test_an_engine_restart_ends_in_the_same_state(
    host: Host, mapper: Mapper, router: Router, live_restore: bool
) -> None:
    """The daemon outlives it, says so once, and the container is reachable again."""
    run_labelled(host, "mon_container", "--restart", "always")
    address = wait_until_mapped(host)
    host.engine.restart(live_restore=live_restore)
    eventually(lambda: wait_until_mapped(host) == address, within=15)
    assert reaches(router, address)
    eventually(lambda: plan_of(host) == EMPTY_PLAN, within=5)
    assert mapper.running
    assert mapper.log().count("keeping everything as it is") == 1


def test_a_killed_daemon_that_is_started_again_ends_in_the_same_state(
    host: Host, mapper: Mapper, router: Router
) -> None:
    """Also where containers came and went meanwhile."""
    run_labelled(host, "mon_container")
    run_labelled(host, "gone", "--label", "ipv6.mapper.suffix=b")
    address = wait_until_mapped(host)
    wait_until_mapped(host, "gone", 0xB)
    mapper.kill()
    assert reaches(router, address)
    host.engine.docker("rm", "-f", "gone")
    run_labelled(host, "new", "--label", "ipv6.mapper.suffix=c")
    mapper.start()
    wait_until_mapped(host, "new", 0xC)
    eventually(lambda: len(host.proxy_entries(MAPPER_PROTOCOL)) == 2, within=3)
    assert reaches(router, address)
    assert plan_of(host) == EMPTY_PLAN


def test_a_stopped_daemon_leaves_the_containers_reachable(host: Host, mapper: Mapper, router: Router) -> None:
    """An upgrade is not an outage."""
    run_labelled(host, "mon_container")
    address = wait_until_mapped(host)
    assert mapper.stop() == 0
    assert reaches(router, address)


@pytest.mark.usefixtures("mapper")
def test_a_renamed_container_is_mapped_anew(host: Host) -> None:
    """The address is a function of the name."""
    run_labelled(host, "mon_container")
    wait_until_mapped(host)
    host.engine.docker("rename", "mon_container", "nginx")
    address = wait_until_mapped(host, "nginx", 0xEE_0043_0040)
    eventually(lambda: host.proxy_entries(MAPPER_PROTOCOL) == {(address, UPLINK)}, within=3)


def test_a_network_that_is_created_later_is_awaited(host: Host, mapper: Mapper) -> None:
    """The refusal is lifted by the network's arrival; a network that is made anew is followed."""
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


def test_what_cannot_be_granted_is_one_warning_each_and_the_container_runs_on(
    host: Host, mapper: Mapper
) -> None:
    """Container, label, value and reason; nothing about the container changes, and the daemon goes on."""
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


def test_an_image_exposes_nobody_by_labels_of_its_own(host: Host, mapper: Mapper) -> None:
    """The same label counts where the user gives it another value than the image's, or trusts the image."""
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
