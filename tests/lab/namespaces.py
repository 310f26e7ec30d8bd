"""Network namespaces, the veth links between them, and their sysctls.

Nothing is created in the machine's own namespace: both ends of a veth pair are created inside the
namespaces that they belong to.
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
"""Directory of iproute2 with one bind mount for each named namespace."""

BRIDGE_MAC = "02:00:00:00:00:01"


@dataclass(frozen=True, slots=True)
class Namespace:
    """A named network namespace (ip-netns(8))."""

    name: str

    @property
    def path(self) -> Path:
        """The bind mount of the namespace, for `nsenter --net=`."""
        return DIRECTORY / self.name

    def create(self) -> None:
        """Create the namespace and set its loopback up."""
        run("ip", "netns", "add", self.name)
        self.run("ip", "link", "set", "lo", "up")

    def delete(self) -> None:
        """Remove the name. The kernel removes the namespace with its last process. May be repeated."""
        if self.path.exists():
            done = run("ip", "netns", "delete", self.name, check=False)
            if self.path.exists():
                raise OSError(f"deleting namespace {self.name}: {done.stderr.strip()}")

    def nsenter(self, *argv: str) -> tuple[str, ...]:
        """Return the command that runs `argv` inside.

        Not `ip netns exec`: it remounts /sys, which hides the cgroups from an engine.
        """
        return ("nsenter", f"--net={self.path}", *argv)

    def run(
        self, *argv: str, check: bool = True, timeout: float = DEFAULT_TIMEOUT, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `argv` inside; see `commands.run`."""
        return run(*self.nsenter(*argv), check=check, timeout=timeout, stdin=stdin)

    @contextlib.contextmanager
    def popen(
        self, *argv: str, stdout: int | IO[str] = subprocess.PIPE, stderr: int | IO[str] = subprocess.PIPE
    ) -> Iterator[subprocess.Popen[str]]:
        """Run `argv` inside in the background; kill it when the context exits."""
        with subprocess.Popen(self.nsenter(*argv), stdout=stdout, stderr=stderr, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    def add_bridge(self, name: str, address: IPv6Interface) -> None:
        """Create a bridge that is up and has `address`.

        The MAC address is fixed: by default a bridge takes the lowest MAC of its ports, so a new port may
        change it.
        """
        self.run("ip", "link", "add", name, "address", BRIDGE_MAC, "type", "bridge")
        self.run("ip", "link", "set", name, "up")
        self.add_address(name, address)

    def add_veth(self, name: str, other: "Namespace", port: str, bridge: str) -> None:
        """Create a veth `name` here with its peer `port` on `bridge` in `other`; set both up."""
        self.run("ip", "link", "add", name, "type", "veth", "peer", "name", port, "netns", other.name)
        other.run("ip", "link", "set", port, "master", bridge, "up")
        self.run("ip", "link", "set", name, "up")

    def add_link_to(self, other: "Namespace", name: str, other_name: str) -> None:
        """Create a veth pair: `name` here, `other_name` in `other`; set both up."""
        self.run("ip", "link", "add", name, "type", "veth", "peer", "name", other_name, "netns", other.name)
        other.run("ip", "link", "set", other_name, "up")
        self.run("ip", "link", "set", name, "up")

    def add_address(self, link: str, address: IPv6Interface) -> None:
        """Add an address to `link` without duplicate address detection, so that it is usable at once."""
        self.run("ip", "address", "add", str(address), "dev", link, "nodad")

    def sysctl(self, key: str) -> str:
        """Read a sysctl of this namespace, such as `net.ipv6.conf.up0.proxy_ndp`."""
        return self.run("cat", str(_sysctl_path(key))).stdout.strip()

    def set_sysctl(self, key: str, value: str) -> None:
        """Write a sysctl of this namespace."""
        self.run("tee", str(_sysctl_path(key)), stdin=value)


def _sysctl_path(key: str) -> Path:
    return Path("/proc/sys") / key.replace(".", "/")
