"""Moves, refused connects and interrupted actions: a container keeps the endpoint settings of its user."""

import time
from collections.abc import Mapping
from ipaddress import IPv6Address
from typing import Any

import pytest

from dockeripv6mapper.actions import Connect, Reconnect
from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.engine.endpoints import Endpoints
from dockeripv6mapper.engine.journal import Journal
from dockeripv6mapper.errors import EngineRefusedError
from tests.lab.containers import (
    EMPTY_PLAN,
    LABEL,
    SUFFIX,
    endpoints_of,
    plan_of,
    reaches,
    run,
    run_labelled,
    wait_until_mapped,
)
from tests.lab.engine_choice import on_every_engine, on_one_engine
from tests.lab.engines import IMAGE
from tests.lab.hosts import Host
from tests.lab.mapper import Mapper
from tests.lab.nodes import Node
from tests.lab.topology import Lab
from tests.lab.waiting import eventually

pytestmark = on_every_engine("each keeps, loses and applies other endpoint settings")

MAC = "02:11:22:33:44:55"
IPV4 = "10.9.0.77"
NGINX_SUFFIX = 0xEE_0043_0040


@pytest.fixture
def client(lab: Lab) -> Node:
    """The lab's client, behind the router."""
    return lab.client


@pytest.fixture
def dual_stack(host: Host) -> Host:
    """The host with an IPv4 subnet on `he_ipv6`, so that users can choose IPv4 addresses."""
    host.engine.docker("network", "rm", "he_ipv6")
    host.create_network("he_ipv6", "--subnet", "10.9.0.0/24")
    return host


def user_settings(host: Host) -> tuple[str, ...]:
    """Return options of `docker run` with all endpoint settings that this engine can keep in a move."""
    flavour = host.engine.flavour
    driver_option = "driver-opt=com.docker.network.endpoint.sysctls=net.ipv6.conf.IFNAME.accept_ra=0"
    priority = ",gw-priority=5" if flavour.has_priorities else ""
    mac = ("--mac-address", MAC) if flavour.keeps_mac else ()
    network = ("--network", f"name=he_ipv6,{driver_option}{priority}", "--ip", IPV4, "--network-alias", "al1")
    return (*network, *mac, "--link", "friend:lnk", *LABEL)


def assert_settings_kept(host: Host, name: str, address: IPv6Address | None) -> None:
    """Assert that the endpoint has the settings of `user_settings`, and the mapper's address unless None."""
    endpoint = endpoints_of(host, name)["he_ipv6"]
    mapped = {} if address is None else {"IPv6Address": str(address)}
    assert endpoint["IPAMConfig"] == {"IPv4Address": IPV4, **mapped}
    assert endpoint["IPAddress"] == IPV4
    assert "al1" in as_list(endpoint["Aliases"])
    assert "friend:lnk" in as_list(endpoint["Links"])
    if host.engine.flavour.keeps_mac:
        assert endpoint["MacAddress"] == MAC
    if host.engine.flavour.has_priorities:
        assert endpoint["GwPriority"] == 5
    assert "com.docker.network.endpoint.sysctls" in as_list(endpoint["DriverOpts"])


def has_settings_kept(host: Host, name: str, address: IPv6Address) -> bool:
    """Whether `assert_settings_kept` passes; in the middle of a move the container has no endpoint."""
    try:
        assert_settings_kept(host, name, address)
    except KeyError:
        return False
    return True


def as_list(value: object) -> list[str]:
    """Return an array, or the keys of an object, of the engine's JSON; None stands for the empty one."""
    assert value is None or isinstance(value, list | dict)
    return list(value or ())


@pytest.mark.parametrize("state", ["created", "running", "stopped"])
def test_move_keeps_the_users_endpoint_settings(dual_stack: Host, state: str) -> None:
    """IPv4 address, alias, link, driver options, priority; for a created, running or stopped container."""
    host, docker = dual_stack, dual_stack.engine.docker
    run(host, "friend", "--network", "he_ipv6")
    docker("create", "--name", "mon_container", *user_settings(host), IMAGE)
    if state != "created":
        docker("start", "mon_container")
    if state == "stopped":
        docker("stop", "-t", "0", "mon_container")
    with Mapper(host) as mapper:
        mapper.wait_for_log("done: move container mon_container")
        if state != "running":
            docker("start", "mon_container")
        address = wait_until_mapped(host)
        assert_settings_kept(host, "mon_container", address)
        assert plan_of(host) == EMPTY_PLAN


def test_container_attached_to_the_labelled_network_is_moved_without_warning(
    host: Host, mapper: Mapper
) -> None:
    """A common mistake: `--network he_ipv6` in addition to the label."""
    mapper.wait_for_log("proxying neighbour discovery")
    run_labelled(host, "mon_container", "--network", "he_ipv6")
    wait_until_mapped(host)
    assert list(endpoints_of(host, "mon_container")) == ["he_ipv6"]
    assert "WARNING" not in mapper.log()


class KilledAtCall(Client):
    """A client whose process is killed before connect or disconnect call number `last` (from 0)."""

    def __init__(self, url: str, last: int = 1) -> None:
        super().__init__(url)
        self._remaining = last

    def connect(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - passed on
        """Connect, or be killed before."""
        self._count_call()
        super().connect(*args, **options)

    def disconnect(self, *args: Any) -> None:  # noqa: ANN401 - passed on
        """Disconnect, or be killed before."""
        self._count_call()
        super().disconnect(*args)

    def _count_call(self) -> None:
        """Raise KeyboardInterrupt at the last call: the program does not catch it, as with a kill."""
        if self._remaining == 0:
            raise KeyboardInterrupt
        self._remaining -= 1


def move(host: Host, container_id: str, address: IPv6Address) -> Reconnect:
    """Return the action that moves a container on `he_ipv6`."""
    return Reconnect(container_id, "mon_container", network_id(host), "he_ipv6", address)


def network_id(host: Host) -> str:
    """Return the ID of `he_ipv6`."""
    return host.engine.docker("network", "inspect", "-f", "{{.Id}}", "he_ipv6")


@pytest.mark.parametrize("refused_now", [False, True], ids=["mapped-again", "old-endpoint-restored"])
def test_move_interrupted_after_disconnect_is_finished_by_the_next_daemon(
    dual_stack: Host, refused_now: bool
) -> None:
    """If the mapping is refused by then, the old endpoint is restored."""
    host = dual_stack
    run(host, "friend", "--network", "he_ipv6")
    container_id = run(host, "mon_container", *user_settings(host))
    address = host.subnet[SUFFIX]
    endpoints = Endpoints(KilledAtCall(host.engine.url), Journal(host.state_dir))
    with pytest.raises(KeyboardInterrupt):
        endpoints.apply(move(host, container_id, address))
    assert "he_ipv6" not in endpoints_of(host, "mon_container")
    if refused_now:
        run(host, "holder", "--network", "he_ipv6", "--ip6", str(address))
    with Mapper(host) as mapper:
        if refused_now:
            mapper.wait_for_log("done: finish the interrupted change of container mon_container")
            assert_settings_kept(host, "mon_container", None)
        else:
            assert_settings_kept(host, "mon_container", wait_until_mapped(host))
    assert not list((host.state_dir / "reconnects").iterdir())


@pytest.mark.parametrize(
    ("last", "meanwhile"), [*((last, "nothing") for last in range(4)), (2, "restart"), (2, "journal lost")]
)
def test_move_interrupted_at_any_call_keeps_the_users_endpoint_settings(
    dual_stack: Host, last: int, meanwhile: str
) -> None:
    """Also between the two connects of a move, when the container has a temporary endpoint."""
    host = dual_stack
    run(host, "friend", "--network", "he_ipv6")
    container_id = run(host, "mon_container", *user_settings(host))
    endpoints = Endpoints(KilledAtCall(host.engine.url, last), Journal(host.state_dir))
    with pytest.raises(KeyboardInterrupt):
        endpoints.apply(move(host, container_id, host.subnet[SUFFIX]))
    if meanwhile == "restart":
        host.engine.docker("restart", "-t", "0", "mon_container")
    if meanwhile == "journal lost" and "he_ipv6" in endpoints_of(host, "mon_container"):
        Journal(host.state_dir).erase(container_id)
    with Mapper(host):
        eventually(lambda: has_settings_kept(host, "mon_container", host.subnet[SUFFIX]), within=20)
        wait_until_mapped(host)
    assert not list((host.state_dir / "reconnects").iterdir())


def test_interrupted_move_is_finished_on_a_recreated_network(
    dual_stack: Host,
) -> None:
    """The engine connects a stopped container to the ID of a removed network without an error."""
    host, docker = dual_stack, dual_stack.engine.docker
    run(host, "friend", "--network", "he_ipv6")
    container_id = run(host, "mon_container", *user_settings(host))
    with pytest.raises(KeyboardInterrupt):
        Endpoints(KilledAtCall(host.engine.url), Journal(host.state_dir)).apply(
            move(host, container_id, host.subnet[SUFFIX])
        )
    docker("rm", "-f", "friend")
    docker("stop", "-t", "0", "mon_container")
    docker("network", "rm", "he_ipv6")
    with Mapper(host) as mapper:
        mapper.wait_for_log("done: finish the interrupted change of container mon_container")
        assert list(endpoints_of(host, "mon_container")) == ["he_ipv6"]
        host.create_network("he_ipv6", "--subnet", "10.9.0.0/24")
        run(host, "friend", "--network", "he_ipv6")
        mapper.wait_for_log("done: move container mon_container")
        docker("start", "mon_container")
        assert_settings_kept(host, "mon_container", wait_until_mapped(host))


def test_move_refused_by_the_engine_restores_the_old_endpoint(dual_stack: Host) -> None:
    """At its old address, with the user's settings."""
    host = dual_stack
    run(host, "friend", "--network", "he_ipv6")
    taken = host.subnet[0xAB]
    run(host, "holder", "--network", "he_ipv6", "--ip6", str(taken))
    container_id = run(host, "mon_container", *user_settings(host))
    endpoints = Endpoints(Client(host.engine.url), Journal(host.state_dir))
    with pytest.raises(EngineRefusedError, match=r"moving mon_container on he_ipv6 to .*[Aa]ddress already"):
        endpoints.apply(move(host, container_id, taken))
    assert_settings_kept(host, "mon_container", None)
    assert not endpoints.unfinished(container_id)


def test_container_can_be_started_after_a_refused_connect(host: Host) -> None:
    """The engine keeps the refused address in the container's configuration; the mapper removes it."""
    taken = host.subnet[0xAB]
    run(host, "holder", "--network", "he_ipv6", "--ip6", str(taken))
    container_id = run(host, "mon_container")
    endpoints = Endpoints(Client(host.engine.url), Journal(host.state_dir))
    with pytest.raises(
        EngineRefusedError, match=r"connecting mon_container to he_ipv6 at .*[Aa]ddress already"
    ):
        endpoints.apply(Connect(container_id, "mon_container", network_id(host), "he_ipv6", taken))
    assert "he_ipv6" not in endpoints_of(host, "mon_container")
    host.engine.docker("restart", "-t", "0", "mon_container")
    assert host.engine.docker("inspect", "-f", "{{.State.Running}}", "mon_container") == "true"


def test_users_mac_address_is_kept(host: Host, mapper: Mapper) -> None:
    """Engine 20.10 keeps it in a move. With later ones the container stays; a warning has the command."""
    mapper.wait_for_log("proxying neighbour discovery")
    run_labelled(host, "mon_container", "--network", "he_ipv6", "--mac-address", MAC)
    if host.engine.flavour.keeps_mac:
        wait_until_mapped(host)
    else:
        assert f"ip6={host.subnet[SUFFIX]}" in mapper.wait_for_log("WARNING.*would not keep the MAC.*")[0]
    assert endpoints_of(host, "mon_container")["he_ipv6"]["MacAddress"] == MAC


def test_container_removed_during_a_move_is_no_error(host: Host) -> None:
    """There is no endpoint to restore."""
    container_id = run(host, "mon_container", "--network", "he_ipv6")

    class RemovedAfterDisconnect(Client):
        """The container is removed after the disconnect."""

        def disconnect(self, container: str, network: str, doing: str) -> None:
            super().disconnect(container, network, doing)
            host.engine.docker("rm", "-f", container)

    endpoints = Endpoints(RemovedAfterDisconnect(host.engine.url), Journal(host.state_dir))
    endpoints.apply(move(host, container_id, host.subnet[SUFFIX]))
    assert not endpoints.unfinished(container_id)


@pytest.mark.parametrize("attached", [(), ("--network", "he_ipv6")], ids=["added", "moved"])
def test_container_can_be_started_after_its_address_was_taken(
    host: Host, mapper: Mapper, attached: tuple[str, ...]
) -> None:
    """The holder starts between create and start. When the holder is removed, the container is mapped."""
    docker, address = host.engine.docker, host.subnet[SUFFIX]
    mapper.wait_for_log("proxying neighbour discovery")
    docker("create", "--name", "mon_container", *LABEL, *attached, IMAGE)
    eventually(lambda: configured_address(host, "mon_container") == str(address), within=5)
    run(host, "holder", "--network", "he_ipv6", "--ip6", str(address))
    eventually(lambda: configured_address(host, "mon_container") is None, within=5)
    docker("start", "mon_container")
    assert ("he_ipv6" in endpoints_of(host, "mon_container")) == bool(attached)
    assert "address-held" in mapper.log()
    docker("rm", "-f", "holder")
    wait_until_mapped(host)


def configured_address(host: Host, name: str) -> str | None:
    """Return the IPv6 address in a container's endpoint configuration on `he_ipv6` (IPAMConfig)."""
    endpoint: Mapping[str, Any] = endpoints_of(host, name).get("he_ipv6") or {}
    address: str | None = (endpoint.get("IPAMConfig") or {}).get("IPv6Address") or None
    return address


@on_one_engine
def test_address_held_by_another_container_is_refused_until_free(
    host: Host, mapper: Mapper, client: Node
) -> None:
    """The container keeps running, and a warning names the holder."""
    address = host.subnet[SUFFIX]
    run(host, "holder", "--network", "he_ipv6", "--ip6", str(address))
    run_labelled(host, "mon_container")
    assert "holder" in mapper.wait_for_log(r"WARNING.*mon_container is not mapped.*\[address-held\].*")[0]
    assert "he_ipv6" not in endpoints_of(host, "mon_container")
    host.engine.docker("rm", "-f", "holder")
    assert reaches(client, wait_until_mapped(host))


@on_one_engine
def test_manual_disconnect_of_a_labelled_container_is_undone(host: Host, mapper: Mapper) -> None:
    """The label decides, for as long as the container has it."""
    mapper.wait_for_log("proxying neighbour discovery")
    run_labelled(host, "mon_container")
    wait_until_mapped(host)
    host.engine.docker("network", "disconnect", "he_ipv6", "mon_container")
    wait_until_mapped(host)


def test_stopped_container_can_be_started_after_its_network_was_removed(host: Host, mapper: Mapper) -> None:
    """It starts without the network; a new network with the name maps it again."""
    docker = host.engine.docker
    run_labelled(host, "mon_container")
    wait_until_mapped(host)
    docker("stop", "-t", "0", "mon_container")
    docker("network", "rm", "he_ipv6")
    eventually(lambda: "he_ipv6" not in endpoints_of(host, "mon_container"), within=5)
    docker("start", "mon_container")
    mapper.wait_for_log("network-not-found")
    host.create_network()
    wait_until_mapped(host)


def test_stopped_container_keeps_the_users_settings_on_a_recreated_network(dual_stack: Host) -> None:
    """Without the mapper the container could not be started on the new network."""
    host, docker = dual_stack, dual_stack.engine.docker
    run(host, "friend", "--network", "he_ipv6")
    run(host, "mon_container", *user_settings(host))
    docker("rm", "-f", "friend")
    docker("stop", "-t", "0", "mon_container")
    docker("network", "rm", "he_ipv6")
    host.create_network("he_ipv6", "--subnet", "10.9.0.0/24")
    run(host, "friend", "--network", "he_ipv6")
    with Mapper(host) as mapper:
        mapper.wait_for_log("done: move container mon_container")
        docker("start", "mon_container")
        assert_settings_kept(host, "mon_container", wait_until_mapped(host))


def test_container_renamed_while_stopped_releases_its_old_address(host: Host, mapper: Mapper) -> None:
    """The next container with the old name gets it."""
    docker = host.engine.docker
    run_labelled(host, "nginx")
    wait_until_mapped(host, "nginx", NGINX_SUFFIX)
    run_labelled(host, "mon_container")
    wait_until_mapped(host)
    docker("stop", "-t", "0", "mon_container")
    docker("rename", "mon_container", "old")
    eventually(lambda: configured_address(host, "old") != str(host.subnet[SUFFIX]), within=5)
    run_labelled(host, "mon_container")
    wait_until_mapped(host)
    assert "WARNING" not in mapper.log()


@pytest.mark.parametrize("attached_by", ["mapper", "user"])
def test_containers_with_swapped_names_get_each_others_addresses(
    dual_stack: Host, client: Node, attached_by: str
) -> None:
    """Swapped while no daemon runs. The newer one must release its address first, and keeps its settings."""
    host, docker = dual_stack, dual_stack.engine.docker
    run(host, "friend", "--network", "he_ipv6")
    run_labelled(host, "nginx")
    started = time.time()
    # The engine lists creation times in seconds.
    eventually(lambda: int(time.time()) > int(started))
    options = user_settings(host) if attached_by == "user" else LABEL
    run(host, "mon_container", *options)
    with Mapper(host) as mapper:
        wait_until_mapped(host, "nginx", NGINX_SUFFIX)
        wait_until_mapped(host)
        networks = {name: set(endpoints_of(host, name)) for name in ("nginx", "mon_container")}
        assert mapper.stop() == 0
        for before, after in (("nginx", "between"), ("mon_container", "nginx"), ("between", "mon_container")):
            docker("rename", before, after)
        mapper.start()
        address, other = wait_until_mapped(host, "nginx", NGINX_SUFFIX), wait_until_mapped(host)
        assert "done: have container nginx give up" in mapper.log()
        assert reaches(client, address)
        assert reaches(client, other)
        assert set(endpoints_of(host, "nginx")) == networks["mon_container"]
        assert set(endpoints_of(host, "mon_container")) == networks["nginx"]
        if attached_by == "user":
            assert_settings_kept(host, "nginx", address)
        eventually(lambda: plan_of(host) == EMPTY_PLAN, within=5)
        assert not list((host.state_dir / "reconnects").iterdir())


@on_one_engine
def test_crash_looping_container_causes_few_engine_requests(host: Host, mapper: Mapper) -> None:
    """The engine may carry out only a part of a request between two restarts of a container."""
    mapper.wait_for_log("proxying neighbour discovery")
    labelled = ("--name", "mon_container", "--restart", "always", *LABEL)
    host.engine.docker("run", "-d", *labelled, IMAGE, "sh", "-c", "sleep 0.2; exit 1")
    template = "{{.RestartCount}}"
    eventually(lambda: int(host.engine.docker("inspect", "-f", template, "mon_container")) >= 4, within=20)
    assert mapper.log().count("asking the engine") <= 6


def test_container_can_be_started_after_a_refused_and_interrupted_connect(host: Host) -> None:
    """The next process removes the refused address that the engine keeps, while it is still held."""
    taken = host.subnet[SUFFIX]
    run(host, "holder", "--network", "he_ipv6", "--ip6", str(taken))

    class KilledAfterRefusal(Client):
        """A client whose process is killed after the connect was refused."""

        def inspect(self, _: str) -> Mapping[str, Any]:
            """Raise KeyboardInterrupt, as with a kill."""
            raise KeyboardInterrupt

    container_id = run_labelled(host, "mon_container")
    endpoints = Endpoints(KilledAfterRefusal(host.engine.url), Journal(host.state_dir))
    with pytest.raises(KeyboardInterrupt):
        endpoints.apply(Connect(container_id, "mon_container", network_id(host), "he_ipv6", taken))
    assert configured_address(host, "mon_container") == str(taken)
    with Mapper(host):
        eventually(lambda: configured_address(host, "mon_container") is None, within=5)
    host.engine.docker("restart", "-t", "0", "mon_container")
    assert host.engine.docker("inspect", "-f", "{{.State.Running}}", "mon_container") == "true"
