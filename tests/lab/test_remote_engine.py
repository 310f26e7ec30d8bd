"""An engine reached over TCP, as through a tunnel or from another machine."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab.hosts import Host
from tests.lab.mapper import Mapper
from tests.lab.namespaces import Namespace
from tests.lab.topology import Lab
from tests.lab.waiting import eventually

"""One engine is enough, because only the connection is tested."""

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
"""Read the event stream as the daemon does, with shorter keepalive timeouts."""


@contextmanager
def relayed(host: Host, router: Namespace, address: str) -> Iterator[str]:
    """Relay the host's engine to a TCP port of the router; yield its URL."""
    relay = (sys.executable, "-c", RELAY, address, str(PORT), str(host.engine.socket))
    with router.popen(*relay, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield f"tcp://[{address}]:{PORT}"


@contextmanager
def dropped(namespace: Namespace) -> Iterator[None]:
    """Drop all packets from the relay, without any error to the sender or the receiver."""
    chain = f"type filter hook input priority -500; tcp sport {PORT} drop;"
    rules = f"table inet vanished {{ chain arriving {{ {chain} }}; }}"
    namespace.run("nft", "-f", "-", stdin=rules)
    try:
        yield
    finally:
        namespace.run("nft", "delete", "table", "inet", "vanished")


def test_keepalive_probes_detect_an_unreachable_engine(lab: Lab, host: Host) -> None:
    """The event stream may be silent for days, so only the kernel's probes can detect it."""
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
    """Return the host's connections to the relay, with their timers. Raises `AssertionError` without any."""
    lines = host.namespace.run("ss", "-tnoH", "dport", "=", f":{PORT}").stdout.splitlines()
    assert lines
    return lines


def test_the_daemon_enables_keepalive_on_every_connection(lab: Lab, host: Host) -> None:
    """After 30 s of silence the kernel probes the other end."""
    with (
        relayed(host, lab.router.namespace, str(lab.router.address)) as url,
        Mapper(host, "--docker-host", url) as mapper,
    ):
        mapper.wait_for_log("connected to the engine")
        # A connection has a retransmission timer for a moment after a write.
        eventually(lambda: all("timer:(keepalive" in line for line in connections(host)))
