"""Partial failure with real parts: calls that hang, streams that are cut, entries that the kernel refuses."""

import gc
import json
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from dockeripv6mapper.controller.loop import Controller
from dockeripv6mapper.controller.queue import Stop
from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.engine.endpoints import Endpoints
from dockeripv6mapper.engine.events import EventMessage, EventReader, StreamLost, Subscribed
from dockeripv6mapper.engine.journal import Journal
from dockeripv6mapper.settings import Settings
from tests.lab.chaos.relay import Line, Relay
from tests.lab.containers import LABEL, MAPPER_PROTOCOL, run_labelled, suffix_of, wait_until_mapped
from tests.lab.hosts import UPLINK, Host
from tests.lab.mapper import CHECKOUT, Mapper
from tests.lab.namespaces import Namespace
from tests.lab.runs import Run
from tests.lab.waiting import eventually
from tests.unit.controller.world import World

CUTS = 100
LIVES = 20
ENTRY, OTHER = "2001:db8:103:1::1", "2001:db8:103:1::2"


class Holding(Relay):
    """A relay that holds requests back, of which some pattern is the first line, until it is released."""

    def __init__(self, path: Path, engine: Path) -> None:
        super().__init__(path, engine)
        self.held: re.Pattern[bytes] | None = None
        self.holds = 0
        self._released = threading.Event()

    def release(self) -> None:
        """Let go what is held, and hold no more."""
        self.held = None
        self._released.set()

    def _request(self, line: Line, chunk: bytes) -> None:
        if self.held is not None and self.held.search(chunk.partition(b"\r\n")[0]):
            self.holds += 1
            self._released.wait(timeout=120)
        super()._request(line, chunk)


@pytest.fixture
def relay(host: Host) -> Iterator[Holding]:
    """A relay before the host's engine."""
    with Holding(host.workdir / "faults.sock", host.engine.socket) as relay:
        yield relay
        relay.release()


@pytest.fixture
def mapper(host: Host, relay: Holding) -> Iterator[Mapper]:
    """The daemon, which meets the engine through the relay, and looks at everything once in a day."""
    with Mapper(host, "--docker-host", relay.url, "--resync", "86400") as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        yield mapper
    assert "Traceback" not in mapper.log(), mapper.log()


def test_inspections_that_hang_keep_nobody_else_waiting(host: Host, relay: Holding, mapper: Mapper) -> None:
    """Neither the other containers nor the shutdown."""
    names = [f"hung{number}" for number in range(6)]
    hung = [host.engine.docker("create", "--name", name, *LABEL, "busybox:lab") for name in names]
    eventually(lambda: all(f"done: connect container {name}" in mapper.log() for name in names))
    relay.held = re.compile(rf"GET .*/containers/({'|'.join(hung)})/json".encode())
    for each in hung:
        host.engine.docker("start", each)
    eventually(lambda: relay.holds >= len(hung))
    run_labelled(host, "mon_container")
    wait_until_mapped(host)
    began = time.monotonic()
    assert mapper.stop() == 0
    assert time.monotonic() - began < 5


def test_a_list_that_hangs_keeps_nobody_waiting(host: Host, relay: Holding, mapper: Mapper) -> None:
    """It is said when it has taken too long, and the next one succeeds."""
    relay.held = re.compile(rb"GET .*/containers/json")
    os.kill(mapper.pid, signal.SIGHUP)
    eventually(lambda: relay.holds)
    run_labelled(host, "mon_container")
    wait_until_mapped(host)
    mapper.wait_for_log("listing containers at .*: the engine does not answer", within=35)
    relay.release()
    mapper.wait_for_log("no longer failing: listing containers")


def test_a_connect_that_hangs_is_awaited_by_the_shutdown_no_longer_than_promised(
    host: Host, relay: Holding, mapper: Mapper
) -> None:
    """Others are connected meanwhile, and the next process finishes what was begun."""
    relay.held = re.compile(rb"POST .*/connect")
    host.engine.docker("create", "--name", "hung", *LABEL, "busybox:lab")
    eventually(lambda: relay.holds)
    relay.held = None
    run_labelled(host, "mon_container")
    wait_until_mapped(host)
    os.kill(mapper.pid, signal.SIGTERM)
    mapper.wait_for_log("stopping while the engine still works on container hung", within=12)
    eventually(lambda: mapper.exit_code == 0)
    relay.release()
    host.engine.docker("start", "hung")
    mapper.start()
    wait_until_mapped(host, "hung", suffix_of("hung"))


def test_the_daemon_keeps_no_thread_and_no_descriptor_of_connections_that_were_cut(
    host: Host, relay: Holding, mapper: Mapper
) -> None:
    """Nor does it take long to be there again."""
    run_labelled(host, "mon_container")
    wait_until_mapped(host)

    def cut() -> None:
        connected = mapper.log().count("connected to the engine")
        relay.cut()
        eventually(lambda: mapper.log().count("connected to the engine") > connected, within=5)

    cut()
    before = steady(mapper.pid)
    for _ in range(10):
        cut()
    eventually(lambda: no_more(mapper.pid, before))
    assert host.proxy_entries(MAPPER_PROTOCOL)


def test_readers_controllers_and_clients_leave_nothing_behind(
    host: Host,
    relay: Holding,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After a hundred reconnects, and after each has been stopped."""
    # What is captured of the log keeps errors, and with them what they were raised over.
    caplog.set_level(logging.CRITICAL, "dockeripv6mapper")
    monkeypatch.setattr("dockeripv6mapper.engine.events.LONGEST_RETRY_SECONDS", 0.01)
    live(relay, tmp_path, cuts=1)
    before = steady(os.getpid())
    live(relay, tmp_path, cuts=CUTS)
    for _ in range(LIVES):
        live(relay, tmp_path, cuts=0)

    def nothing_is_left() -> bool:
        # A life that ends in the middle of a call leaves its client to the collector.
        gc.collect()
        return no_more(os.getpid(), before)

    eventually(nothing_is_left)
    assert host.engine.running


def live(relay: Relay, state_dir: Path, *, cuts: int) -> None:
    """One life of a controller that maps nothing, with a real engine before it; its kernel is not asked."""
    heard: list[EventMessage] = []
    client, journal = Client(relay.url), Journal(state_dir)
    world = World()

    def deliver(message: EventMessage) -> None:
        heard.append(message)
        controller.post(message)

    reader = EventReader(client, deliver)
    controller = Controller(
        *(client, Endpoints(client, journal), world, Settings()),
        stop_events=reader.stop,
    )
    thread = threading.Thread(target=controller.run)
    with ExitStack() as stack:
        stack.callback(client.close)
        stack.callback(thread.join)
        stack.callback(controller.post, Stop())
        thread.start()
        reader.start()
        for number in range(cuts + 1):
            eventually(lambda expected=number: count(heard, Subscribed) > expected)  # type: ignore[misc]
            if number < cuts:
                relay.cut()
                eventually(lambda expected=number: count(heard, StreamLost) > expected)  # type: ignore[misc]


def count(heard: list[EventMessage], kind: type[EventMessage]) -> int:
    """How many of a kind were heard."""
    return len([each for each in heard if isinstance(each, kind)])


def used(pid: int) -> tuple[int, int]:
    """How many descriptors and how many threads a process has."""
    process = Path("/proc") / str(pid)
    return len(list((process / "fd").iterdir())), len(list((process / "task").iterdir()))


def steady(pid: int) -> tuple[int, int]:
    """The same, once it has been the same twenty times in a row."""
    seen: list[tuple[int, int]] = []

    def is_steady() -> bool:
        seen.append(used(pid))
        return len(seen) > 20 and len(set(seen[-20:])) == 1

    eventually(is_steady)
    return seen[-1]


def no_more(pid: int, before: tuple[int, int]) -> bool:
    """Whether a process has no more of either than before."""
    descriptors, threads = used(pid)
    assert descriptors <= before[0], f"{descriptors} descriptors, {before[0]} before"
    assert threads <= before[1], f"{threads} threads, {before[1]} before"
    return True


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A namespace of this test's alone, with two links."""
    namespace = Run.of_this_process("faults").namespace("entries")
    namespace.create()
    for link in (UPLINK, "up1"):
        namespace.run("ip", "link", "add", link, "type", "veth", "peer", "name", f"{link}peer")
        namespace.run("ip", "link", "set", link, "up")
    yield namespace
    namespace.delete()


Add = Callable[..., dict[str, object]]


@pytest.fixture
def add(namespace: Namespace, tmp_path: Path) -> Add:
    """Adds entries in the namespace."""

    def added(*args: str, wrapper: tuple[str, ...] = ()) -> dict[str, object]:
        program = (
            "env",
            "-C",
            str(CHECKOUT),
            sys.executable,
            "-m",
            "tests.lab.proxy_entry_writer",
            str(tmp_path),
        )
        outcome: dict[str, object] = json.loads(namespace.run(*wrapper, *program, *args).stdout)
        return outcome

    return added


def test_an_entry_whose_link_is_gone_fails_alone(add: Add) -> None:
    """ENODEV: the others are added."""
    outcome = add("--without", "up1", f"{ENTRY},{UPLINK}", f"{OTHER},up1")
    assert outcome["done"] == [ENTRY]
    assert "No such device" in str(outcome["failed"])
    assert OTHER in str(outcome["failed"])


def test_an_entry_of_somebody_elses_is_found_and_left(add: Add, namespace: Namespace) -> None:
    """EEXIST is never met: it is looked for first, and the others are added."""
    namespace.run("ip", "-6", "neigh", "add", "proxy", ENTRY, "dev", UPLINK)
    outcome = add(f"{ENTRY},{UPLINK}", f"{OTHER},{UPLINK}")
    assert outcome["found"] == [ENTRY]
    assert outcome["done"] == [OTHER]


def test_without_the_right_to_every_entry_says_so(add: Add) -> None:
    """EPERM, each with the hint what is missing."""
    outcome = add(f"{ENTRY},{UPLINK}", f"{OTHER},{UPLINK}", wrapper=("setpriv", "--bounding-set=-net_admin"))
    assert outcome["done"] == []
    assert str(outcome["failed"]).count("Operation not permitted") == 2
    assert "CAP_NET_ADMIN" in str(outcome["hints"])
