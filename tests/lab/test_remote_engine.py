"""An engine that is spoken to over TCP, as through a tunnel or from another machine."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab.engines import Flavour
from tests.lab.hosts import Host
from tests.lab.mapper import Mapper
from tests.lab.namespaces import Namespace
from tests.lab.topology import Lab
from tests.lab.waiting import eventually

pytestmark = pytest.mark.parametrize("host", [Flavour.MODERN], indirect=True)
"""It is the connection that matters."""

PORT = 2375
RELAY = """
import asyncio, sys

async def pump(reader, writer):
    try:
        while part := await reader.read(65536):
            writer.write(part)
            await writer.drain()
    except OSError:
        pass
    writer.close()

async def serve(reader, writer):
    engine_reader, engine_writer = await asyncio.open_unix_connection(sys.argv[3])
    await asyncio.gather(pump(reader, engine_writer), pump(engine_reader, writer))

async def main():
    server = await asyncio.start_server(serve, sys.argv[1], int(sys.argv[2]))
    print("ready", flush=True)
    await server.serve_forever()

asyncio.run(main())
"""
FOLLOW = """
import sys
from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.engine.http import Timeouts

client = Client(sys.argv[1], Timeouts(idle=1, interval=1, probes=2))
stream = client.events()
print("subscribed", flush=True)
try:
    with client.session("reading events"):
        for event in stream:
            print(event["Type"], flush=True)
except Exception as error:
    print("lost:", error, flush=True)
"""
"""The event stream as the daemon follows it, only less patiently."""


@contextmanager
def relayed(host: Host, router: Namespace, address: str) -> Iterator[str]:
    """The host's engine on a port of the router; yields its URL."""
    relay = (sys.executable, "-c", RELAY, address, str(PORT), str(host.engine.socket))
    with router.popen(*relay, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield f"tcp://[{address}]:{PORT}"


@contextmanager
def dropped(namespace: Namespace) -> Iterator[None]:
    """Nothing from the relay arrives, and nothing tells of that: it has vanished."""
    chain = f"type filter hook input priority -500; tcp sport {PORT} drop;"
    rules = f"table inet vanished {{ chain arriving {{ {chain} }}; }}"
    namespace.run("nft", "-f", "-", stdin=rules)
    try:
        yield
    finally:
        namespace.run("nft", "delete", "table", "inet", "vanished")


def test_an_engine_that_vanishes_is_noticed(lab: Lab, host: Host) -> None:
    """Nothing is sent on the event stream for days, so that nothing but the kernel's probes can tell."""
    with relayed(host, lab.router.namespace, str(lab.router.address)) as url:
        follow = (sys.executable, "-c", FOLLOW, url)
        with host.namespace.popen(*follow, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            lines: list[str] = []
            reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()))
            assert process.stdout.readline() == "subscribed\n"
            timers = host.namespace.run("ss", "-tno", "dport", "=", f":{PORT}").stdout
            assert "timer:(keepalive" in timers
            reader.start()
            with dropped(host.namespace):
                eventually(lambda: any(line.startswith("lost:") for line in lines), within=10)
            reader.join(timeout=10)


def connections(host: Host) -> list[str]:
    """The host's connections to the relay, each with its timer. Raises `AssertionError` without any."""
    lines = host.namespace.run("ss", "-tnoH", "dport", "=", f":{PORT}").stdout.splitlines()
    assert lines
    return lines


def test_the_daemon_keeps_its_connections_alive(lab: Lab, host: Host) -> None:
    """Within 30 s of silence the kernel asks for the other end."""
    with (
        relayed(host, lab.router.namespace, str(lab.router.address)) as url,
        Mapper(host, "--docker-host", url) as mapper,
    ):
        mapper.wait_for_log("connected to the engine")
        # One that has just been written to has another timer for a moment.
        eventually(lambda: all("timer:(keepalive" in line for line in connections(host)))
