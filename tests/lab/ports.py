"""Servers in containers, and port scans from the client or from another container."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from ipaddress import IPv6Address

from tests.lab.engines import IMAGE
from tests.lab.hosts import Host
from tests.lab.mapper import CHECKOUT, run_command
from tests.lab.topology import Lab

EnterNamespace = Callable[..., tuple[str, ...]]
"""Turns a command into one that runs in a network namespace."""


def serve(host: Host, name: str, *options: str) -> None:
    """Run a container with TCP echo servers on ports 80 and 8050; its other ports refuse connections."""
    servers = "nc -ll -p 8050 -e cat & exec nc -ll -p 80 -e cat"
    host.engine.docker("run", "-d", "--name", name, *options, IMAGE, "sh", "-c", servers)


@contextmanager
def udp_echo(host: Host, name: str, *ports: int) -> Iterator[None]:
    """Run a UDP echo server in a running container for the duration of the context."""
    argv = host.engine.nsenter_container(name, sys.executable, "-m", "tests.lab.udp_echo", *map(str, ports))
    with subprocess.Popen(argv, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n", f"no echo on UDP ports {ports}"
            yield
        finally:
            server.kill()


def scan_ports(enter: EnterNamespace, address: IPv6Address, protocol: str, ports: Iterable[int]) -> set[int]:
    """Return the reachable ports of `address`, scanned from the namespace of `enter`."""
    argv = enter(
        sys.executable, "-m", "tests.lab.port_scan", str(address), protocol, ",".join(map(str, ports))
    )
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=60)
    return {int(port) for port in done.stdout.split()}


def from_outside(host: Host, name: str = "mon_container") -> str:
    """Return what `status` shows to get in to a container; checks the exit code where nothing does."""
    done = run_command(host, "status", "--json")
    rows = json.loads(done.stdout)["containers"]
    shown: str = next(row["from_outside"] for row in rows if row["name"] == name)
    assert done.returncode == 3 or not shown.startswith("nothing"), done.stderr
    return shown


def assert_status_agrees(lab: Lab, host: Host, address: IPv6Address, tcp_ports: Iterable[int]) -> None:
    """Assert that `status` shows exactly what the client reaches of these ports, and a ping if it gets in."""
    shown = from_outside(host)
    parts = set(shown.removesuffix(" only").split(", "))
    everything = shown == "everything"
    assert lab.client.ping(address) == (everything or "ping" in parts), shown
    reached = scan_ports(from_client(lab), address, "tcp", tcp_ports)
    assert {each for each in tcp_ports if everything or _is_named(each, "tcp", parts)} == reached, shown


def _is_named(port: int, protocol: str, parts: Iterable[str]) -> bool:
    """Whether a port is among `80/tcp`, `8000-8100/udp`."""
    ranges = (each.removesuffix(f"/{protocol}").partition("-") for each in parts if each.endswith(protocol))
    return any(int(first) <= port <= int(last or first) for first, _, last in ranges)


def from_client(lab: Lab) -> EnterNamespace:
    """Run in the client's namespace, behind the router."""
    return lab.client.namespace.nsenter


def from_container(host: Host, name: str) -> EnterNamespace:
    """Run in a running container's namespace."""
    return partial(host.engine.nsenter_container, name)
