"""Partial failures: engine calls that hang, connections that are cut, proxy entries refused by the kernel."""

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
from tests.lab.chaos.relay import Connection, Relay
from tests.lab.containers import LABEL, MAPPER_PROTOCOL, run_labelled, suffix_of, wait_until_mapped
from tests.lab.hosts import UPLINK, Host
from tests.lab.mapper import CHECKOUT, Mapper
from tests.lab.namespaces import Namespace
from tests.lab.runs import Run
from tests.lab.waiting import eventually
from tests.unit.controller.world import World

CUTS = 100
CONTROLLERS = 20
ENTRY, OTHER = "2001:db8:103:1::1", "2001:db8:103:1::2"


class StallingRelay(Relay):
    """A relay that stalls the requests whose first line matches `pattern`, until `release`."""

    def __init__(self, path: Path, engine: Path) -> None:
        super().__init__(path, engine)
        self.pattern: re.Pattern[bytes] | None = None
        self.stalled = 0
        self._released = threading.Event()

    def release(self) -> None:
        """Forward the stalled requests, and stall no more."""
        self.pattern = None
        self._released.set()

    def _request(self, line: Connection, chunk: bytes) -> None:
        if self.pattern is not None and self.pattern.search(chunk.partition(b"\r\n")[0]):
            self.stalled += 1
            self._released.wait(timeout=120)
        super()._request(line, chunk)


@pytest.fixture
def relay(host: Host) -> Iterator[StallingRelay]:
    """A relay in front of the host's engine."""
    with StallingRelay(host.workdir / "faults.sock", host.engine.socket) as relay:
        yield relay
        relay.release()


@pytest.fixture
def mapper(host: Host, relay: StallingRelay) -> Iterator[Mapper]:
    """The daemon, connected to the engine through the relay, with a resync of one day."""
    with Mapper(host, "--docker-host", relay.url, "--resync", "86400") as mapper:
        mapper.wait_for_log("proxying neighbour discovery")
        yield mapper
    assert "Traceback" not in mapper.log(), mapper.log()


def test_hanging_inspections_delay_no_other_container_and_no_shutdown(
    host: Host, relay: StallingRelay, mapper: Mapper
) -> None:
    """Six inspections hang; another container is mapped, and the daemon stops within 5 s."""
    names = [f"hung{number}" for number in range(6)]
    hung = [host.engine.docker("create", "--name", name, *LABEL, "busybox:lab") for name in names]
    eventually(lambda: all(f"done: connect container {name}" in mapper.log() for name in names))
    relay.pattern = re.compile(rf"GET .*/containers/({'|'.join(hung)})/json".encode())
    for each in hung:
        host.engine.docker("start", each)
    eventually(lambda: relay.stalled >= len(hung))
    run_labelled(host, "mon_container")
    wait_until_mapped(host)
    began = time.monotonic()
    assert mapper.stop() == 0
    assert time.monotonic() - began < 5


def test_hanging_list_delays_no_container(host: Host, relay: StallingRelay, mapper: Mapper) -> None:
    """Its timeout is logged, and the next list succeeds."""
    relay.pattern = re.compile(rb"GET .*/containers/json")
    os.kill(mapper.pid, signal.SIGHUP)
    eventually(lambda: relay.stalled)
    run_labelled(host, "mon_container")
    wait_until_mapped(host)
    mapper.wait_for_log("listing containers at .*: the engine does not answer", within=35)
    relay.release()
    mapper.wait_for_log("no longer failing: listing containers")


def test_shutdown_waits_for_a_hanging_connect_only_until_its_timeout(
    host: Host, relay: StallingRelay, mapper: Mapper
) -> None:
    """Other containers are connected meanwhile, and the next process finishes the connect."""
    relay.pattern = re.compile(rb"POST .*/connect")
    host.engine.docker("create", "--name", "hung", *LABEL, "busybox:lab")
    eventually(lambda: relay.stalled)
    relay.pattern = None
    run_labelled(host, "mon_container")
    wait_until_mapped(host)
    os.kill(mapper.pid, signal.SIGTERM)
    mapper.wait_for_log("stopping while the engine still works on container hung", within=12)
    eventually(lambda: mapper.exit_code == 0)
    relay.release()
    host.engine.docker("start", "hung")
    mapper.start()
    wait_until_mapped(host, "hung", suffix_of("hung"))


def test_cut_connections_leak_no_thread_and_no_descriptor_in_the_daemon(
    host: Host, relay: StallingRelay, mapper: Mapper
) -> None:
    """Each reconnect takes less than 5 s."""
    run_labelled(host, "mon_container")
    wait_until_mapped(host)

    def cut() -> None:
        connected = mapper.log().count("connected to the engine")
        relay.cut()
        eventually(lambda: mapper.log().count("connected to the engine") > connected, within=5)

    cut()
    before = stable_usage(mapper.pid)
    for _ in range(10):
        cut()
    eventually(lambda: has_not_grown(mapper.pid, before))
    assert host.proxy_entries(MAPPER_PROTOCOL)


def test_stopped_readers_controllers_and_clients_leak_no_thread_and_no_descriptor(
    host: Host,
    relay: StallingRelay,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After 100 reconnects of one controller, and after 20 controllers were started and stopped."""
    # Captured log records would keep exceptions, and with them their frames and sockets.
    caplog.set_level(logging.CRITICAL, "dockeripv6mapper")
    monkeypatch.setattr("dockeripv6mapper.engine.events.LONGEST_RETRY_SECONDS", 0.01)
    run_controller(relay, tmp_path, cuts=1)
    before = stable_usage(os.getpid())
    run_controller(relay, tmp_path, cuts=CUTS)
    for _ in range(CONTROLLERS):
        run_controller(relay, tmp_path, cuts=0)

    def nothing_leaked() -> bool:
        # A controller stopped during a call leaves its client to the garbage collector.
        gc.collect()
        return has_not_grown(os.getpid(), before)

    eventually(nothing_leaked)
    assert host.engine.running


def run_controller(relay: Relay, state_dir: Path, *, cuts: int) -> None:
    """Start and stop a controller with a real engine and a fake kernel; cut its connections `cuts` times."""
    messages: list[EventMessage] = []
    client, journal = Client(relay.url), Journal(state_dir)
    world = World()

    def deliver(message: EventMessage) -> None:
        messages.append(message)
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
            eventually(lambda expected=number: count(messages, Subscribed) > expected)  # type: ignore[misc]
            if number < cuts:
                relay.cut()
                eventually(lambda expected=number: count(messages, StreamLost) > expected)  # type: ignore[misc]


def count(messages: list[EventMessage], kind: type[EventMessage]) -> int:
    """Return the number of messages of a kind."""
    return len([each for each in messages if isinstance(each, kind)])


def usage(pid: int) -> tuple[int, int]:
    """Return the number of file descriptors and of threads of a process."""
    process = Path("/proc") / str(pid)
    return len(list((process / "fd").iterdir())), len(list((process / "task").iterdir()))


def stable_usage(pid: int) -> tuple[int, int]:
    """Wait until `usage` is the same 20 times in a row, and return it."""
    samples: list[tuple[int, int]] = []

    def is_stable() -> bool:
        samples.append(usage(pid))
        return len(samples) > 20 and len(set(samples[-20:])) == 1

    eventually(is_stable)
    return samples[-1]


def has_not_grown(pid: int, before: tuple[int, int]) -> bool:
    """Assert that a process has no more descriptors and threads than before."""
    descriptors, threads = usage(pid)
    assert descriptors <= before[0], f"{descriptors} descriptors, {before[0]} before"
    assert threads <= before[1], f"{threads} threads, {before[1]} before"
    return True


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A new namespace with two links."""
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
    """Return a function that adds proxy entries in the namespace (`proxy_entry_writer`)."""

    def add_entries(*args: str, wrapper: tuple[str, ...] = ()) -> dict[str, object]:
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

    return add_entries


def test_proxy_entry_on_a_deleted_link_fails_alone(add: Add) -> None:
    """ENODEV; the other entries are added."""
    outcome = add("--without", "up1", f"{ENTRY},{UPLINK}", f"{OTHER},up1")
    assert outcome["done"] == [ENTRY]
    assert "No such device" in str(outcome["failed"])
    assert OTHER in str(outcome["failed"])


def test_foreign_proxy_entry_is_kept_and_reported(add: Add, namespace: Namespace) -> None:
    """The table reads before it writes, so EEXIST does not occur; the other entries are added."""
    namespace.run("ip", "-6", "neigh", "add", "proxy", ENTRY, "dev", UPLINK)
    outcome = add(f"{ENTRY},{UPLINK}", f"{OTHER},{UPLINK}")
    assert outcome["existing"] == [ENTRY]
    assert outcome["done"] == [OTHER]


def test_missing_cap_net_admin_fails_every_proxy_entry_with_a_hint(add: Add) -> None:
    """EPERM for each entry; the hint names the capability."""
    outcome = add(f"{ENTRY},{UPLINK}", f"{OTHER},{UPLINK}", wrapper=("setpriv", "--bounding-set=-net_admin"))
    assert outcome["done"] == []
    assert str(outcome["failed"]).count("Operation not permitted") == 2
    assert "CAP_NET_ADMIN" in str(outcome["hints"])
