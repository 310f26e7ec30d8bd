"""Ports: what a container serves, and which of its ports are reached from where."""

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from ipaddress import IPv6Address

from tests.lab.engines import IMAGE
from tests.lab.hosts import Host
from tests.lab.mapper import CHECKOUT
from tests.lab.topology import Lab

EnterNamespace = Callable[..., tuple[str, ...]]
"""Makes a command one that runs in some network namespace."""


def serve(host: Host, name: str, *options: str) -> None:
    """Run a container that echoes on TCP ports 80 and 8050, and refuses what else reaches it."""
    servers = "nc -ll -p 8050 -e cat & exec nc -ll -p 80 -e cat"
    host.engine.docker("run", "-d", "--name", name, *options, IMAGE, "sh", "-c", servers)


@contextmanager
def udp_echo(host: Host, name: str, *ports: int) -> Iterator[None]:
    """Have a running container echo on UDP ports too, meanwhile."""
    argv = host.engine.nsenter_container(name, sys.executable, "-m", "tests.lab.udp_echo", *map(str, ports))
    with subprocess.Popen(argv, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n", f"no echo on UDP ports {ports}"
            yield
        finally:
            server.kill()


def scan_ports(place: EnterNamespace, address: IPv6Address, protocol: str, ports: Iterable[int]) -> set[int]:
    """The ports that are reached from some place."""
    argv = place(
        sys.executable, "-m", "tests.lab.port_scan", str(address), protocol, ",".join(map(str, ports))
    )
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=60)
    return {int(port) for port in done.stdout.split()}


def from_router(lab: Lab) -> EnterNamespace:
    """The router, and so the world behind it."""
    return lab.router.namespace.nsenter


def from_container(host: Host, name: str) -> EnterNamespace:
    """A running container."""
    return partial(host.engine.nsenter_container, name)
