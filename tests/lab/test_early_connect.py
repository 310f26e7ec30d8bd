"""What is done at once: the connect at the create event, the entry and its announcement at the start."""

import os
import re
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.lab.containers import (
    LABEL,
    MAPPER_PROTOCOL,
    SUFFIX,
    addresses_inside,
    run,
    run_labelled,
    wait_until_mapped,
)
from tests.lab.engines import IMAGE
from tests.lab.hosts import Host
from tests.lab.mapper import Mapper
from tests.lab.router import BRIDGE
from tests.lab.topology import Lab
from tests.lab.waiting import eventually

SAME_SUFFIX = ("--label", "ipv6.mapper.suffix=3d:7a:30")
ASKED_AT_ONCE = r"asked the engine [\d.]+ ms after the event: connect container {} "


def runs(host: Host, name: str) -> bool:
    """Whether the engine says so."""
    return host.engine.docker("inspect", "-f", "{{.State.Running}}", name) == "true"


def test_even_the_first_container_of_an_image_is_connected_at_its_creation(
    host: Host, mapper: Mapper
) -> None:
    """The request is written by the thread that read the event; the image's labels are known already."""
    mapper.wait_for_log("proxying neighbour discovery")
    run_labelled(host, "mon_container")
    mapper.wait_for_log(ASKED_AT_ONCE.format("mon_container"))
    wait_until_mapped(host)


def test_an_image_that_came_later_is_known_to_the_fast_path_too(host: Host, mapper: Mapper) -> None:
    """And so are the new names of old ones: whatever changes, all images are listed again."""
    mapper.wait_for_log("proxying neighbour discovery")
    host.engine.docker("tag", "busybox:lab", "other:lab")

    def is_asked_at_once() -> bool:
        host.engine.docker("create", "--name", "later", *LABEL, "other:lab")
        host.engine.docker("rm", "later")
        return re.search(ASKED_AT_ONCE.format("later"), mapper.log()) is not None

    eventually(is_asked_at_once)
    host.engine.docker("rmi", "other:lab")


def test_two_containers_that_want_one_address_at_the_same_time_both_start(host: Host, mapper: Mapper) -> None:
    """The second is created before the controller has heard of the first; one has it, and both run."""
    mapper.wait_for_log("proxying neighbour discovery")
    address, names = host.subnet[SUFFIX], ("one", "two")
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: run_labelled(host, name, *SAME_SUFFIX), names))
    assert all(runs(host, name) for name in names)
    eventually(lambda: [address in addresses_inside(host, name) for name in names].count(True) == 1)
    mapper.wait_for_log(r"\[address-held\]")


@contextmanager
def lists_all_the_time(mapper: Mapper) -> Iterator[None]:
    """Have the mapper ask for everything again and again."""
    ended = threading.Event()

    def ask() -> None:
        while not ended.wait(0.005):
            os.kill(mapper.pid, signal.SIGHUP)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_a_list_that_is_faster_than_the_news_of_a_container_leaves_it_alone(
    host: Host, mapper: Mapper
) -> None:
    """Its connect has been begun; nothing else is, and its note is not taken for an earlier process's."""
    mapper.wait_for_log("proxying neighbour discovery")
    names = [f"new-{number}" for number in range(40)]
    with lists_all_the_time(mapper):
        for name in names:
            host.engine.docker("create", "--name", name, "--network", "he_ipv6", *LABEL, IMAGE)
        eventually(lambda: all(f"done: move container {name} " in mapper.log() for name in names))
    log = mapper.log()
    assert log.count("asking the engine: move container new-") == len(names)
    # Engine 20.10 lists a container a moment before it knows it: its connect fails then, and is finished.
    unknown = set(re.findall(r"No such container: (\w+)", log))
    finished = re.findall(r"finish what was begun on container (\S+)", log)
    assert {host.engine.docker("inspect", "-f", "{{.Id}}", name) for name in finished} <= unknown


@pytest.mark.parametrize("when", ["before it is created", "between its creation and its start"])
def test_a_taken_address_never_makes_a_container_unstartable(host: Host, mapper: Mapper, when: str) -> None:
    """Its holder is somebody whom no label announces."""
    mapper.wait_for_log("proxying neighbour discovery")
    address = host.subnet[SUFFIX]
    take = ("--network", "he_ipv6", "--ip6", str(address))
    if when == "before it is created":
        run(host, "holder", *take)
        eventually(lambda: address in addresses_inside(host, "holder"))
    host.engine.docker("create", "--name", "mon_container", *LABEL, "busybox:lab")
    if when == "between its creation and its start":
        mapper.wait_for_log("done: connect container mon_container")
        run(host, "holder", *take)
    eventually(lambda: host.engine.docker("start", "mon_container"), within=5)
    assert runs(host, "mon_container")
    assert addresses_inside(host, "holder") == {address}
    mapper.wait_for_log(r"mon_container is not mapped.*\[address-held\]")
    assert not host.proxy_entries(MAPPER_PROTOCOL)


def test_a_new_entry_is_announced_to_the_link_without_the_override_flag(
    host: Host, mapper: Mapper, lab: Lab
) -> None:
    """To all nodes, with the hop limit that they demand, and the uplink's own link-layer address."""
    mapper.wait_for_log("proxying neighbour discovery")
    announced = "icmp6 and ip6[40] == 136 and ip6 dst ff02::1"
    with lab.router.namespace.popen("tcpdump", "-lnvvi", BRIDGE, "-c", "1", announced) as tcpdump:
        stderr = tcpdump.stderr
        assert stderr is not None
        eventually(lambda: "listening on" in stderr.readline())
        run_labelled(host, "mon_container")
        address = wait_until_mapped(host)
        seen, _ = tcpdump.communicate(timeout=10)
    lab.router.ping(host.address)
    mac = lab.router.neighbours()[host.address].mac
    assert f"tgt is {address}, Flags [router]" in seen
    assert "hlim 255" in seen
    assert f"link-address option (2), length 8 (1): {mac}" in seen


def test_without_the_right_to_announce_all_else_is_done(host: Host) -> None:
    """One warning that says which capability is missing."""
    with Mapper(host, wrapper=("setpriv", "--bounding-set=-net_raw")) as mapper:
        run_labelled(host, "mon_container")
        wait_until_mapped(host)
        run_labelled(host, "nginx")
        wait_until_mapped(host, "nginx", 0xEE_0043_0040)
        assert mapper.log().count("CAP_NET_RAW") == 1
