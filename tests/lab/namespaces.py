"""Namespaces: network namespaces by name, and the links between them.

Nothing here is ever made in the machine's own namespace: a link is created inside the namespace
that it belongs to, both ends at once.
"""

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Interface
from pathlib import Path
from typing import IO

from tests.lab.commands import DEFAULT_TIMEOUT, run

DIRECTORY = Path("/run/netns")
"""Where iproute2 keeps a namespace's name, as a bind mount of the namespace."""

BRIDGE_MAC = "02:00:00:00:00:01"


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace, known to `ip netns` by its name."""

    name: str

    @property
    def path(self) -> Path:
        """The file that names it, for `nsenter --net=`."""
        return DIRECTORY / self.name

    def create(self) -> None:
        """Create it with its loopback up."""
        run("ip", "netns", "add", self.name)
        self.run("ip", "link", "set", "lo", "up")

    def delete(self) -> None:
        """Remove the name; the kernel ends the namespace with its last process. May be repeated."""
        if self.path.exists():
            done = run("ip", "netns", "delete", self.name, check=False)
            if self.path.exists():
                raise OSError(f"deleting namespace {self.name}: {done.stderr.strip()}")

    def nsenter(self, *argv: str) -> tuple[str, ...]:
        """Return the command that runs `argv` inside.

        `ip netns exec` is no substitute: it remounts /sys, which hides the cgroups from an engine.
        """
        return ("nsenter", f"--net={self.path}", *argv)

    def run(
        self, *argv: str, check: bool = True, timeout: float = DEFAULT_TIMEOUT, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `argv` inside to its end; see `commands.run`."""
        return run(*self.nsenter(*argv), check=check, timeout=timeout, stdin=stdin)

    @contextlib.contextmanager
    def popen(
        self, *argv: str, stdout: int | IO[str] = subprocess.PIPE, stderr: int | IO[str] = subprocess.PIPE
    ) -> Iterator[subprocess.Popen[str]]:
        """Run `argv` inside, in the background, for as long as the context lasts."""
        with subprocess.Popen(self.nsenter(*argv), stdout=stdout, stderr=stderr, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    def add_bridge(self, name: str, address: IPv6Interface) -> None:
        """Make a bridge that is up and holds `address`.

        Its MAC address is set, since it would follow the ports' otherwise, and be another for each new one.
        """
        self.run("ip", "link", "add", name, "address", BRIDGE_MAC, "type", "bridge")
        self.run("ip", "link", "set", name, "up")
        self.add_address(name, address)

    def add_veth(self, name: str, other: "Namespace", port: str, bridge: str) -> None:
        """Make a veth `name` here whose other end is `port` of `bridge` in `other`; both up."""
        self.run("ip", "link", "add", name, "type", "veth", "peer", "name", port, "netns", other.name)
        other.run("ip", "link", "set", port, "master", bridge, "up")
        self.run("ip", "link", "set", name, "up")

    def add_address(self, link: str, address: IPv6Interface) -> None:
        """Give `link` an address that may be used at once, without duplicate address detection."""
        self.run("ip", "address", "add", str(address), "dev", link, "nodad")

    def sysctl(self, key: str) -> str:
        """Read `net.ipv6.conf.up0.proxy_ndp` and the like, as seen in this namespace."""
        return self.run("cat", str(_sysctl_path(key))).stdout.strip()

    def set_sysctl(self, key: str, value: str) -> None:
        """Write a sysctl of this namespace."""
        self.run("tee", str(_sysctl_path(key)), stdin=value)


def _sysctl_path(key: str) -> Path:
    return Path("/proc/sys") / key.replace(".", "/")
