"""Early connect: the connect request at the create event, the proxy entry at the start."""

import os
import re
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import takewhile

import pytest

from tests.lab import socket_proxy
from tests.lab.containers import (
    LABEL,
    MAPPER_PROTOCOL,
    SUFFIX,
    addresses_inside,
    endpoints_of,
    run,
    run_labelled,
    wait_until_mapped,
)
from tests.lab.engine_choice import on_every_engine, on_one_engine
from tests.lab.engines import IMAGE
from tests.lab.hosts import Host
from tests.lab.mapper import Mapper
from tests.lab.socket_proxy import SocketProxy
from tests.lab.waiting import eventually

pytestmark = on_every_engine("the connect request races with the container's start")

SAME_SUFFIX = ("--label", "ipv6.mapper.suffix=3d:7a:30")


def is_running(host: Host, name: str) -> bool:
    """Whether the container runs."""
    return host.engine.docker("inspect", "-f", "{{.State.Running}}", name) == "true"


@pytest.fixture
def recorder(host: Host) -> Iterator[SocketProxy]:
    """A socket proxy that records the requests of a running daemon, whose resync is one day."""
    path = host.workdir / "recorder.sock"
    with (
        socket_proxy.running(path, host.engine.socket, re.compile(r".*")) as recorder,
        Mapper(host, "--docker-host", f"unix://{path}", "--resync", "86400") as mapper,
    ):
        mapper.wait_for_log("proxying neighbour discovery")
        yield recorder
        assert "Traceback" not in mapper.log(), mapper.log()


def requests_before_connect(host: Host, recorder: SocketProxy, image: str) -> list[str]:
    """Create a labelled container; return the mapper's requests before its connect, without `_ping`."""
    start = len(recorder.forwarded)
    container_id = host.engine.docker("create", *LABEL, image)
    eventually(lambda: "he_ipv6" in endpoints_of(host, container_id))
    host.engine.docker("rm", container_id)
    requests = takewhile(lambda request: not request.endswith("/connect"), recorder.forwarded[start:])
    return [each for each in requests if "_ping" not in each]


def test_first_container_of_an_image_is_connected_early(host: Host, recorder: SocketProxy) -> None:
    """The connect is the first request after the create event: the image's labels are cached already."""
    assert requests_before_connect(host, recorder, IMAGE) == []


def test_container_of_a_new_image_is_connected_early(host: Host, recorder: SocketProxy) -> None:
    """A new tag counts as new image: all images are listed again after any change of an image."""
    host.engine.docker("tag", IMAGE, "other:lab")
    try:
        eventually(lambda: requests_before_connect(host, recorder, "other:lab") == [])
    finally:
        host.engine.docker("rmi", "other:lab")


def test_two_simultaneous_containers_with_one_address_both_start(host: Host, mapper: Mapper) -> None:
    """The second is created before the controller processes the first. One gets the address; both run."""
    mapper.wait_for_log("proxying neighbour discovery")
    address, names = host.subnet[SUFFIX], ("one", "two")
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: run_labelled(host, name, *SAME_SUFFIX), names))
    assert all(is_running(host, name) for name in names)
    eventually(lambda: [address in addresses_inside(host, name) for name in names].count(True) == 1)
    mapper.wait_for_log(r"\[address-held\]")


@contextmanager
def continuous_full_passes(mapper: Mapper) -> Iterator[None]:
    """Send SIGHUP to the mapper every 5 ms: each triggers a list of all containers."""
    stop = threading.Event()

    def send_signals() -> None:
        while not stop.wait(0.005):
            os.kill(mapper.pid, signal.SIGHUP)

    thread = threading.Thread(target=send_signals)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_list_before_the_create_event_does_not_repeat_an_early_connect(host: Host, mapper: Mapper) -> None:
    """No second action starts, and the journal file is not treated as one of an earlier process."""
    mapper.wait_for_log("proxying neighbour discovery")
    names = [f"new-{number}" for number in range(40)]
    with continuous_full_passes(mapper):
        for name in names:
            host.engine.docker("create", "--name", name, "--network", "he_ipv6", *LABEL, IMAGE)
        eventually(lambda: all(f"done: move container {name} " in mapper.log() for name in names))
    log = mapper.log()
    assert log.count("asking the engine: move container new-") == len(names)
    # Engine 20.10 lists a container shortly before a connect finds it: that connect fails, and is finished.
    unknown = set(re.findall(r"No such container: (\w+)", log))
    finished = re.findall(r"finish the interrupted change of container (\S+)", log)
    assert {host.engine.docker("inspect", "-f", "{{.Id}}", name) for name in finished} <= unknown


@pytest.mark.parametrize("when", ["before create", "between create and start"])
def test_container_with_a_taken_address_can_be_started(host: Host, mapper: Mapper, when: str) -> None:
    """The address is held by a container without labels."""
    mapper.wait_for_log("proxying neighbour discovery")
    address = host.subnet[SUFFIX]
    take = ("--network", "he_ipv6", "--ip6", str(address))
    if when == "before create":
        run(host, "holder", *take)
        eventually(lambda: address in addresses_inside(host, "holder"))
    host.engine.docker("create", "--name", "mon_container", *LABEL, "busybox:lab")
    if when == "between create and start":
        mapper.wait_for_log("done: connect container mon_container")
        run(host, "holder", *take)
    eventually(lambda: host.engine.docker("start", "mon_container"), within=5)
    assert is_running(host, "mon_container")
    assert addresses_inside(host, "holder") == {address}
    mapper.wait_for_log(r"mon_container is not mapped.*\[address-held\]")
    assert not host.proxy_entries(MAPPER_PROTOCOL)


@on_one_engine
def test_missing_cap_net_raw_prevents_only_the_announcement(host: Host) -> None:
    """Containers are mapped; one warning of it names the missing capability."""
    with Mapper(host, wrapper=("setpriv", "--bounding-set=-net_raw")) as mapper:
        run_labelled(host, "mon_container")
        wait_until_mapped(host)
        run_labelled(host, "nginx")
        wait_until_mapped(host, "nginx", 0xEE_0043_0040)
        warnings = re.findall("WARNING announcing addresses.*CAP_NET_RAW", mapper.log())
        assert len(warnings) == 1
