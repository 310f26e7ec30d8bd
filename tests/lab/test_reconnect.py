"""Do no harm: whatever is moved, interrupted or contended for, a container keeps what its user gave it."""

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
from tests.lab.engines import IMAGE, Flavour
from tests.lab.hosts import Host
from tests.lab.mapper import Mapper
from tests.lab.router import Router
from tests.lab.topology import Lab
from tests.lab.waiting import eventually

MAC = "02:11:22:33:44:55"
IPV4 = "10.9.0.77"
NGINX_SUFFIX = 0xEE_0043_0040


@pytest.fixture
def router(lab: Lab) -> Router:
    """The world outside."""
    return lab.router


@pytest.fixture
def dual_stack(host: Host) -> Host:
    """The host, whose `he_ipv6` lets the user choose IPv4 addresses too."""
    host.engine.docker("network", "rm", "he_ipv6")
    host.create_network("he_ipv6", "--subnet", "10.9.0.0/24")
    return host


def chosen_by_the_user(host: Host) -> tuple[str, ...]:
    """Options with all that a user can choose of an endpoint, and that this engine can keep."""
    chosen: tuple[str, ...]
    if host.engine.flavour is Flavour.DISTRO:
        chosen = ("--network", "he_ipv6", "--ip", IPV4, "--network-alias", "al1", "--mac-address", MAC)
    else:
        option = "driver-opt=com.docker.network.endpoint.sysctls=net.ipv6.conf.IFNAME.accept_ra=0"
        chosen = ("--network", f"name=he_ipv6,ip={IPV4},alias=al1,gw-priority=5,{option}")
    return (*chosen, "--link", "friend:lnk", *LABEL)


def assert_kept(host: Host, name: str, address: IPv6Address | None) -> None:
    """All that `chosen_by_the_user` chose is there, beside the mapper's address, if it has one."""
    endpoint = endpoints_of(host, name)["he_ipv6"]
    ours = {} if address is None else {"IPv6Address": str(address)}
    assert endpoint["IPAMConfig"] == {"IPv4Address": IPV4, **ours}
    assert endpoint["IPAddress"] == IPV4
    assert "al1" in as_list(endpoint["Aliases"])
    assert "friend:lnk" in as_list(endpoint["Links"])
    if host.engine.flavour is Flavour.DISTRO:
        assert endpoint["MacAddress"] == MAC
    else:
        assert endpoint["GwPriority"] == 5
        assert "com.docker.network.endpoint.sysctls" in as_list(endpoint["DriverOpts"])


def is_kept(host: Host, name: str, address: IPv6Address) -> bool:
    """Whether `assert_kept` holds; a container is on no network in the middle of a move."""
    try:
        assert_kept(host, name, address)
    except KeyError:
        return False
    return True


def as_list(value: object) -> list[str]:
    """A list or an object of the engine's JSON, of which None stands for the empty one."""
    assert value is None or isinstance(value, list | dict)
    return list(value or ())


@pytest.mark.parametrize("state", ["created", "running", "stopped"])
def test_a_container_that_its_user_attached_is_moved_with_all_that_was_chosen(
    dual_stack: Host, state: str
) -> None:
    """IPv4 address, alias, link, driver options, priority, whatever state it is found in."""
    host, docker = dual_stack, dual_stack.engine.docker
    run(host, "friend", "--network", "he_ipv6")
    docker("create", "--name", "mon_container", *chosen_by_the_user(host), IMAGE)
    if state != "created":
        docker("start", "mon_container")
    if state == "stopped":
        docker("stop", "-t", "0", "mon_container")
    with Mapper(host) as mapper:
        mapper.wait_for_log("done: move container mon_container")
        if state != "running":
            docker("start", "mon_container")
        address = wait_until_mapped(host)
        assert_kept(host, "mon_container", address)
        assert plan_of(host) == EMPTY_PLAN


def test_a_container_run_on_the_network_that_its_label_names_is_moved(host: Host, mapper: Mapper) -> None:
    """The most natural mistake: `--network he_ipv6` beside the label. It costs no warning."""
    mapper.wait_for_log("proxying neighbour discovery")
    run_labelled(host, "mon_container", "--network", "he_ipv6")
    wait_until_mapped(host)
    assert list(endpoints_of(host, "mon_container")) == ["he_ipv6"]
    assert "WARNING" not in mapper.log()


class Dying(Client):
    """A process that is killed at one of its calls that change something, from 0."""

    def __init__(self, url: str, last: int = 1) -> None:
        super().__init__(url)
        self._left = last

    def connect(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - passed on
        """Connect, or die before it."""
        self._live()
        super().connect(*args, **options)

    def disconnect(self, *args: Any) -> None:  # noqa: ANN401 - passed on
        """Disconnect, or die before it."""
        self._live()
        super().disconnect(*args)

    def _live(self) -> None:
        """Die at the last call. Not an `Exception`: nothing in the program sees it."""
        if self._left == 0:
            raise KeyboardInterrupt
        self._left -= 1


def move(host: Host, container_id: str, address: IPv6Address) -> Reconnect:
    """The action that moves a container on `he_ipv6`."""
    return Reconnect(container_id, "mon_container", network_id(host), "he_ipv6", address)


def network_id(host: Host) -> str:
    """The ID of `he_ipv6`."""
    return host.engine.docker("network", "inspect", "-f", "{{.Id}}", "he_ipv6")


@pytest.mark.parametrize("refused_now", [False, True], ids=["mapped-again", "put-back"])
def test_a_death_in_the_middle_of_a_move_leaves_nothing_detached(dual_stack: Host, refused_now: bool) -> None:
    """The next process finishes it, also where the mapping would be refused by then."""
    host = dual_stack
    run(host, "friend", "--network", "he_ipv6")
    container_id = run(host, "mon_container", *chosen_by_the_user(host))
    address = host.subnet[SUFFIX]
    endpoints = Endpoints(Dying(host.engine.url), Journal(host.state_dir))
    with pytest.raises(KeyboardInterrupt):
        endpoints.apply(move(host, container_id, address))
    assert "he_ipv6" not in endpoints_of(host, "mon_container")
    if refused_now:
        run(host, "holder", "--network", "he_ipv6", "--ip6", str(address))
    with Mapper(host) as mapper:
        if refused_now:
            mapper.wait_for_log("done: finish what was begun on container mon_container")
            assert_kept(host, "mon_container", None)
        else:
            assert_kept(host, "mon_container", wait_until_mapped(host))
    assert not list((host.state_dir / "reconnects").iterdir())


@pytest.mark.parametrize(
    ("last", "meanwhile"), [*((last, "nothing") for last in range(4)), (2, "restart"), (2, "note lost")]
)
def test_a_death_at_any_call_of_a_move_costs_nothing_that_the_user_set(
    dual_stack: Host, last: int, meanwhile: str
) -> None:
    """Between its two connects too, where an endpoint is there for a moment, which a reboot does not lose."""
    host = dual_stack
    run(host, "friend", "--network", "he_ipv6")
    container_id = run(host, "mon_container", *chosen_by_the_user(host))
    endpoints = Endpoints(Dying(host.engine.url, last), Journal(host.state_dir))
    with pytest.raises(KeyboardInterrupt):
        endpoints.apply(move(host, container_id, host.subnet[SUFFIX]))
    if meanwhile == "restart":
        host.engine.docker("restart", "-t", "0", "mon_container")
    if meanwhile == "note lost" and "he_ipv6" in endpoints_of(host, "mon_container"):
        Journal(host.state_dir).erase(container_id)
    with Mapper(host):
        eventually(lambda: is_kept(host, "mon_container", host.subnet[SUFFIX]), within=20)
        wait_until_mapped(host)
    assert not list((host.state_dir / "reconnects").iterdir())


def test_a_move_that_was_cut_off_is_finished_on_a_network_that_was_made_anew_meanwhile(
    dual_stack: Host,
) -> None:
    """A stopped container would be connected to the ID of a network that is gone without an error."""
    host, docker = dual_stack, dual_stack.engine.docker
    run(host, "friend", "--network", "he_ipv6")
    container_id = run(host, "mon_container", *chosen_by_the_user(host))
    with pytest.raises(KeyboardInterrupt):
        Endpoints(Dying(host.engine.url), Journal(host.state_dir)).apply(
            move(host, container_id, host.subnet[SUFFIX])
        )
    docker("rm", "-f", "friend")
    docker("stop", "-t", "0", "mon_container")
    docker("network", "rm", "he_ipv6")
    with Mapper(host) as mapper:
        mapper.wait_for_log("done: finish what was begun on container mon_container")
        assert list(endpoints_of(host, "mon_container")) == ["he_ipv6"]
        host.create_network("he_ipv6", "--subnet", "10.9.0.0/24")
        run(host, "friend", "--network", "he_ipv6")
        mapper.wait_for_log("done: move container mon_container")
        docker("start", "mon_container")
        assert_kept(host, "mon_container", wait_until_mapped(host))


def test_a_move_that_the_engine_refuses_puts_the_old_endpoint_back(dual_stack: Host) -> None:
    """At the address that it had, with everything that was chosen."""
    host = dual_stack
    run(host, "friend", "--network", "he_ipv6")
    held = host.subnet[0xAB]
    run(host, "holder", "--network", "he_ipv6", "--ip6", str(held))
    container_id = run(host, "mon_container", *chosen_by_the_user(host))
    endpoints = Endpoints(Client(host.engine.url), Journal(host.state_dir))
    with pytest.raises(EngineRefusedError, match=r"moving mon_container on he_ipv6 to .*[Aa]ddress already"):
        endpoints.apply(move(host, container_id, held))
    assert_kept(host, "mon_container", None)
    assert not endpoints.unfinished(container_id)


def test_a_connect_that_the_engine_refuses_leaves_the_container_startable(host: Host) -> None:
    """The engine itself would keep the refused address in the container's configuration."""
    held = host.subnet[0xAB]
    run(host, "holder", "--network", "he_ipv6", "--ip6", str(held))
    container_id = run(host, "mon_container")
    endpoints = Endpoints(Client(host.engine.url), Journal(host.state_dir))
    with pytest.raises(
        EngineRefusedError, match=r"connecting mon_container to he_ipv6 at .*[Aa]ddress already"
    ):
        endpoints.apply(Connect(container_id, "mon_container", network_id(host), "he_ipv6", held))
    assert "he_ipv6" not in endpoints_of(host, "mon_container")
    host.engine.docker("restart", "-t", "0", "mon_container")
    assert host.engine.docker("inspect", "-f", "{{.State.Running}}", "mon_container") == "true"


def test_a_chosen_mac_address_that_the_engine_would_lose_is_not_lost(host: Host, mapper: Mapper) -> None:
    """The container stays as it is, and a warning says what to type; engine 20.10 keeps it in a move."""
    mapper.wait_for_log("proxying neighbour discovery")
    run_labelled(host, "mon_container", "--network", "he_ipv6", "--mac-address", MAC)
    if host.engine.flavour is Flavour.DISTRO:
        wait_until_mapped(host)
    else:
        assert f"ip6={host.subnet[SUFFIX]}" in mapper.wait_for_log("WARNING.*would not keep the MAC.*")[0]
    assert endpoints_of(host, "mon_container")["he_ipv6"]["MacAddress"] == MAC


def test_a_container_that_goes_away_in_the_middle_of_a_move_is_no_error(host: Host) -> None:
    """There is nobody left to put back."""
    container_id = run(host, "mon_container", "--network", "he_ipv6")

    class Removing(Client):
        """The user removes the container between the two calls."""

        def disconnect(self, container: str, network: str, doing: str) -> None:
            super().disconnect(container, network, doing)
            host.engine.docker("rm", "-f", container)

    endpoints = Endpoints(Removing(host.engine.url), Journal(host.state_dir))
    endpoints.apply(move(host, container_id, host.subnet[SUFFIX]))
    assert not endpoints.unfinished(container_id)


@pytest.mark.parametrize("attached", [(), ("--network", "he_ipv6")], ids=["added", "moved"])
def test_a_taken_address_never_makes_a_container_unstartable(
    host: Host, mapper: Mapper, attached: tuple[str, ...]
) -> None:
    """Also when its holder appears between create and start; when it goes, the address comes back."""
    docker, address = host.engine.docker, host.subnet[SUFFIX]
    mapper.wait_for_log("proxying neighbour discovery")
    docker("create", "--name", "mon_container", *LABEL, *attached, IMAGE)
    eventually(lambda: configured(host, "mon_container") == str(address), within=5)
    run(host, "holder", "--network", "he_ipv6", "--ip6", str(address))
    eventually(lambda: configured(host, "mon_container") is None, within=5)
    docker("start", "mon_container")
    assert ("he_ipv6" in endpoints_of(host, "mon_container")) == bool(attached)
    assert "address-held" in mapper.log()
    docker("rm", "-f", "holder")
    wait_until_mapped(host)


def configured(host: Host, name: str) -> str | None:
    """The IPv6 address that a container is configured with on `he_ipv6`."""
    endpoint: Mapping[str, Any] = endpoints_of(host, name).get("he_ipv6") or {}
    address: str | None = (endpoint.get("IPAMConfig") or {}).get("IPv6Address") or None
    return address


def test_an_address_that_somebody_holds_is_refused_until_it_is_free(
    host: Host, mapper: Mapper, router: Router
) -> None:
    """The container runs on meanwhile, and one warning says why it has no address."""
    address = host.subnet[SUFFIX]
    run(host, "holder", "--network", "he_ipv6", "--ip6", str(address))
    run_labelled(host, "mon_container")
    assert "holder" in mapper.wait_for_log(r"WARNING.*mon_container is not mapped.*\[address-held\].*")[0]
    assert "he_ipv6" not in endpoints_of(host, "mon_container")
    host.engine.docker("rm", "-f", "holder")
    assert reaches(router, wait_until_mapped(host))


def test_a_manual_disconnect_of_a_labelled_container_is_undone(host: Host, mapper: Mapper) -> None:
    """What is wanted is what the label says, for as long as it says so."""
    mapper.wait_for_log("proxying neighbour discovery")
    run_labelled(host, "mon_container")
    wait_until_mapped(host)
    host.engine.docker("network", "disconnect", "he_ipv6", "mon_container")
    wait_until_mapped(host)


def test_a_stopped_container_outlives_the_network_that_it_was_mapped_to(host: Host, mapper: Mapper) -> None:
    """It can be started without it, as one that was never mapped; a new network of the name maps it again."""
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


def test_what_a_user_set_on_a_stopped_container_outlives_a_network_made_anew(dual_stack: Host) -> None:
    """The container could not have been started as it was; now it can, with all that was chosen."""
    host, docker = dual_stack, dual_stack.engine.docker
    run(host, "friend", "--network", "he_ipv6")
    run(host, "mon_container", *chosen_by_the_user(host))
    docker("rm", "-f", "friend")
    docker("stop", "-t", "0", "mon_container")
    docker("network", "rm", "he_ipv6")
    host.create_network("he_ipv6", "--subnet", "10.9.0.0/24")
    run(host, "friend", "--network", "he_ipv6")
    with Mapper(host) as mapper:
        mapper.wait_for_log("done: move container mon_container")
        docker("start", "mon_container")
        assert_kept(host, "mon_container", wait_until_mapped(host))


def test_a_container_renamed_while_stopped_gives_its_old_address_up(host: Host, mapper: Mapper) -> None:
    """To the next one of that name."""
    docker = host.engine.docker
    run_labelled(host, "nginx")
    wait_until_mapped(host, "nginx", NGINX_SUFFIX)
    run_labelled(host, "mon_container")
    wait_until_mapped(host)
    docker("stop", "-t", "0", "mon_container")
    docker("rename", "mon_container", "old")
    eventually(lambda: configured(host, "old") != str(host.subnet[SUFFIX]), within=5)
    run_labelled(host, "mon_container")
    wait_until_mapped(host)
    assert "WARNING" not in mapper.log()


@pytest.mark.parametrize("attached_by", ["the mapper", "its user"])
def test_containers_whose_names_were_swapped_unseen_are_given_each_others_addresses(
    dual_stack: Host, router: Router, attached_by: str
) -> None:
    """Neither can be moved before the newer one makes way, which keeps all that its user chose."""
    host, docker = dual_stack, dual_stack.engine.docker
    run(host, "friend", "--network", "he_ipv6")
    run_labelled(host, "nginx")
    begun = time.time()
    eventually(lambda: int(time.time()) > int(begun))  # the engine lists ages in seconds
    chosen = chosen_by_the_user(host) if attached_by == "its user" else LABEL
    run(host, "mon_container", *chosen)
    with Mapper(host) as mapper:
        wait_until_mapped(host, "nginx", NGINX_SUFFIX)
        wait_until_mapped(host)
        networks = {name: set(endpoints_of(host, name)) for name in ("nginx", "mon_container")}
        assert mapper.stop() == 0
        for before, after in (("nginx", "between"), ("mon_container", "nginx"), ("between", "mon_container")):
            docker("rename", before, after)
        mapper.start()
        address, others = wait_until_mapped(host, "nginx", NGINX_SUFFIX), wait_until_mapped(host)
        assert "done: have container nginx make way" in mapper.log()
        assert reaches(router, address)
        assert reaches(router, others)
        assert set(endpoints_of(host, "nginx")) == networks["mon_container"]
        assert set(endpoints_of(host, "mon_container")) == networks["nginx"]
        if attached_by == "its user":
            assert_kept(host, "nginx", address)
        eventually(lambda: plan_of(host) == EMPTY_PLAN, within=5)
        assert not list((host.state_dir / "reconnects").iterdir())


def test_a_container_that_crashes_all_the_time_is_not_acted_upon_all_the_time(
    host: Host, mapper: Mapper
) -> None:
    """Between its tries the engine does half of what it is asked."""
    mapper.wait_for_log("proxying neighbour discovery")
    labelled = ("--name", "mon_container", "--restart", "always", *LABEL)
    host.engine.docker("run", "-d", *labelled, IMAGE, "sh", "-c", "sleep 0.2; exit 1")
    counted = "{{.RestartCount}}"
    eventually(lambda: int(host.engine.docker("inspect", "-f", counted, "mon_container")) >= 4, within=20)
    assert mapper.log().count("asking the engine") <= 6


def test_a_death_in_the_middle_of_a_refused_connect_leaves_the_container_startable(host: Host) -> None:
    """The next process undoes what the engine keeps of it, also where the address is still held."""
    held = host.subnet[SUFFIX]
    run(host, "holder", "--network", "he_ipv6", "--ip6", str(held))

    class DyingAfterwards(Client):
        """A process that is killed when it has just heard of the refusal."""

        def inspect(self, _: str) -> Mapping[str, Any]:
            """Die."""
            raise KeyboardInterrupt

    container_id = run_labelled(host, "mon_container")
    endpoints = Endpoints(DyingAfterwards(host.engine.url), Journal(host.state_dir))
    with pytest.raises(KeyboardInterrupt):
        endpoints.apply(Connect(container_id, "mon_container", network_id(host), "he_ipv6", held))
    assert configured(host, "mon_container") == str(held)
    with Mapper(host):
        eventually(lambda: configured(host, "mon_container") is None, within=5)
    host.engine.docker("restart", "-t", "0", "mon_container")
    assert host.engine.docker("inspect", "-f", "{{.State.Running}}", "mon_container") == "true"
