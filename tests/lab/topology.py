"""The lab as a whole: router, hosts and engines; see the drawing in `tests.lab`.

with Lab(Flavour.OLDEST, Flavour.MODERN) as lab:
    host = lab.hosts[0]
    host.create_network()
    host.engine.docker("run", "-d", "--network", "he_ipv6", "busybox:lab")
    assert lab.client.ping(host.address)
"""

import signal
from contextlib import ExitStack
from ipaddress import IPv6Interface, IPv6Network
from types import TracebackType
from typing import Self

from tests.lab.engines import IMAGE, Engine, Flavour
from tests.lab.hosts import UPLINK, Host
from tests.lab.nodes import Node
from tests.lab.prerequisites import Progress, busybox_image, no_progress
from tests.lab.router import BRIDGE, CLIENT_LINK, Neighbour, Router
from tests.lab.runs import Run, sweep_dead_runs
from tests.lab.waiting import eventually

__all__ = ["UPLINK", "Host", "Lab", "Neighbour", "Router", "eventually"]

LINK = IPv6Network("2001:db8:103::/64")
"""Prefix of the segment of router and uplinks; from the documentation prefix (RFC 3849)."""

CLIENT = IPv6Network("2001:db8:c::/64")
"""Prefix of the link between router and client."""

MAX_HOSTS = 4
"""Maximum number of hosts of a lab: a two-core machine bears no more."""

TEARDOWN_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
"""Signals that tear the lab down, like Ctrl-C. After SIGKILL the next run removes it."""


def describe_host(run: Run, number: int, flavour: Flavour) -> Host:
    """Return host `number` (from 1) of a run. Host 1 has `::2` and `2001:db8:103:0:1::/80`."""
    label = f"{flavour.value}{number}"
    namespace = run.namespace(label)
    workdir = run.workdir / label
    subnet = IPv6Network((int(LINK.network_address) | number << 48, 80))
    return Host(namespace, Engine(flavour, namespace, workdir / "engine"), workdir, LINK[number + 1], subnet)


def hosts_of(run: Run) -> list[Host]:
    """Return the running hosts of a run, which may belong to another process."""
    hosts = (describe_host(run, number, flavour) for flavour in Flavour for number in range(1, MAX_HOSTS + 1))
    return [host for host in hosts if host.namespace.path.exists()]


class Lab:
    """A client, a router, and a host for each of `flavours`; running from `__enter__` to `__exit__`.

    Only for the main thread: SIGTERM and SIGHUP raise KeyboardInterrupt meanwhile.
    """

    def __init__(self, *flavours: Flavour, purpose: str = "tests", progress: Progress = no_progress) -> None:
        self.run = Run.of_this_process(purpose)
        self.progress = progress
        self.router = Router(self.run.namespace("router"), LINK[1])
        self.client = Node(self.run.namespace("client"), CLIENT[2])
        self.hosts = [describe_host(self.run, number, each) for number, each in enumerate(flavours, start=1)]
        self._teardown = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for number in TEARDOWN_SIGNALS:
                stack.callback(signal.signal, number, signal.signal(number, signal.default_int_handler))
            for each in sweep_dead_runs():
                self.progress(f"removed what process {each.pid} had left")
            for host in self.hosts:
                host.engine.flavour.ensure_files(self.progress)
            stack.callback(self.run.sweep)
            self.run.create()
            self._connect()
            self._start_engines(stack)
            self._teardown = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._teardown.__exit__(kind, error, trace)

    def host(self, flavour: Flavour) -> Host:
        """Return the first host whose engine is of `flavour`."""
        return next(host for host in self.hosts if host.engine.flavour is flavour)

    def _connect(self) -> None:
        """Create the namespaces, the links and the default routes."""
        length = LINK.prefixlen
        self.router.namespace.create()
        self.router.namespace.add_bridge(BRIDGE, IPv6Interface((self.router.address, length)))
        self._connect_client()
        for number, host in enumerate(self.hosts, start=1):
            host.namespace.create()
            host.namespace.add_veth(UPLINK, self.router.namespace, f"port{number}", BRIDGE)
            host.namespace.add_address(UPLINK, IPv6Interface((host.address, length)))
            host.namespace.run("ip", "-6", "route", "add", "default", "via", str(self.router.address))

    def _connect_client(self) -> None:
        """Create the client, and let the router forward between it and the hosts."""
        router, client, length = self.router.namespace, self.client.namespace, CLIENT.prefixlen
        client.create()
        router.add_link_to(client, CLIENT_LINK, "eth0")
        router.add_address(CLIENT_LINK, IPv6Interface((CLIENT[1], length)))
        client.add_address("eth0", IPv6Interface((self.client.address, length)))
        client.run("ip", "-6", "route", "add", "default", "via", str(CLIENT[1]))
        router.set_sysctl("net.ipv6.conf.all.forwarding", "1")

    def _start_engines(self, stack: ExitStack) -> None:
        """Start all engines in parallel, and import the image into each."""
        image = self.run.workdir / "busybox.tar"
        image.write_bytes(busybox_image())
        for host in self.hosts:
            self.progress(f"starting Docker Engine {host.engine.flavour.release} in {host.namespace.name}")
            stack.callback(host.engine.kill_all)
            host.engine.launch()
        for host in self.hosts:
            host.engine.await_ready()
            changes = ("--change=ENV PATH=/bin", '--change=CMD ["sleep","infinity"]')
            host.engine.docker("import", *changes, str(image), IMAGE)
