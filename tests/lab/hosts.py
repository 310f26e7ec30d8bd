"""A Docker host of the lab: its namespace, its uplink, its engine."""

import json
import os
import shutil
import sys
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path

from tests.lab.commands import CommandError
from tests.lab.engines import Engine
from tests.lab.namespaces import Namespace
from tests.lab.waiting import eventually

UPLINK = "up0"

KEPT_TABLES = {"filter", "nat", "raw", "mangle", "security", "docker-bridges"}
"""Names of the nft tables of iptables and of an engine."""
NO_RULES = """
*raw
COMMIT
*nat
COMMIT
*filter
:INPUT ACCEPT
:FORWARD ACCEPT
:OUTPUT ACCEPT
COMMIT
"""
"""Input of iptables-restore: removes the engine's chains and all rules."""

KERNEL_DEFAULTS = {
    f"net.ipv6.conf.{UPLINK}.accept_ra": "1",
    f"net.ipv6.conf.{UPLINK}.proxy_ndp": "0",
    "net.ipv6.conf.default.accept_ra": "1",
    "net.ipv6.conf.all.proxy_ndp": "0",
    f"net.ipv6.neigh.{UPLINK}.proxy_delay": "80",
}
"""Kernel defaults of the sysctls that the mapper sets. Not forwarding, which the engine enables too."""


@dataclass(frozen=True, slots=True)
class Host:
    """A Docker host: a network namespace with one uplink and one engine."""

    namespace: Namespace
    engine: Engine
    workdir: Path
    address: IPv6Address
    subnet: IPv6Network
    """The containers' /80, inside the router's /64."""

    @property
    def state_dir(self) -> Path:
        """Default state directory of a mapper on this host."""
        return self.workdir / "mapper-state"

    def network_command(
        self, name: str = "he_ipv6", *options: str, gateway_mode: str | None = "routed"
    ) -> tuple[str, ...]:
        """Return the arguments of `docker` that create a network on this host's subnet.

        `options`: more options of `docker network create`. `gateway_mode` is passed to engines that
        know it; its default, `nat`, accepts no new connection from outside.
        """
        if gateway_mode and self.engine.flavour.filters_ipv6:
            options = ("-o", f"com.docker.network.bridge.gateway_mode_ipv6={gateway_mode}", *options)
        return ("network", "create", "--ipv6", "--subnet", str(self.subnet), *options, name)

    def create_network(
        self, name: str = "he_ipv6", *options: str, gateway_mode: str | None = "routed"
    ) -> None:
        """Create a network; see `network_command`."""
        self.engine.docker(*self.network_command(name, *options, gateway_mode=gateway_mode))

    def proxy_entries(self, protocol: str | None = None) -> set[tuple[IPv6Address, str]]:
        """Return the kernel's proxy entries as (address, interface).

        With `protocol` (a number as text), only those with that protocol number. An entry added with `ip`
        without `protocol` has none.
        """
        shown = json.loads(
            self.namespace.run("ip", "-6", "-N", "-j", "neigh", "show", "proxy").stdout or "[]"
        )
        return {
            (IPv6Address(each["dst"]), each["dev"])
            for each in shown
            if protocol is None or each.get("protocol") == protocol
        }

    def add_proxy_entry(self, address: IPv6Address) -> None:
        """Add a proxy entry on the uplink without a protocol number: foreign to the mapper."""
        self.namespace.run("ip", "-6", "neigh", "add", "proxy", str(address), "dev", UPLINK)

    def restore_uplink(self, router: IPv6Address) -> None:
        """Restore the uplink's address and default route, which the kernel removes with IPv6."""
        prefix = f"{self.address}/64"
        self.namespace.run("ip", "-6", "address", "replace", prefix, "dev", UPLINK, "nodad")
        self.namespace.run("ip", "-6", "route", "replace", "default", "via", str(router), "dev", UPLINK)

    def sysctl(self, key: str) -> str:
        """Read a sysctl of this host, such as `net.ipv6.conf.up0.proxy_ndp`."""
        return self.namespace.sysctl(key)

    def reset(self) -> None:
        """Remove containers, networks, proxy entries and the mapper's state; restore sysctls and the socket.

        Starts the engine if it is down, so a test may leave the host in any state.
        """
        if self.engine.ip6tables or self.engine.legacy:
            self.engine.stop()
            self._flush_firewall()
            self.engine.ip6tables = self.engine.legacy = False
        if not self.engine.running:
            self.engine.start()
        os.chown(self.engine.socket, 0, 0)
        docker = self.engine.docker
        info = "{{.Swarm.LocalNodeState}} {{.LiveRestoreEnabled}}"
        swarm, live_restore = docker("info", "--format", info).split()
        if swarm != "inactive":
            docker("swarm", "leave", "--force")
        eventually(self._has_no_containers, within=30)
        self._remove_networks()
        if live_restore == "true":
            self.engine.restart()
        self._remove_tables()
        if self._has_mapper_rules():
            options = ("--docker-host", self.engine.url, "--state-dir", str(self.state_dir))
            self.namespace.run(sys.executable, "-m", "dockeripv6mapper", *options, "cleanup")
        for address, interface in self.proxy_entries():
            self.namespace.run("ip", "-6", "neigh", "del", "proxy", str(address), "dev", interface)
        for key, value in KERNEL_DEFAULTS.items():
            self.namespace.set_sysctl(key, value)
        shutil.rmtree(self.state_dir, ignore_errors=True)
        (self.workdir / "mapper.pid").unlink(missing_ok=True)

    def _remove_tables(self) -> None:
        """Remove the nft tables of the mapper, and of a test that failed or that played another program."""
        for line in self.namespace.run("nft", "list", "tables").stdout.splitlines():
            _, family, name = line.split()
            if name not in KEPT_TABLES:
                self.namespace.run("nft", "delete", "table", family, name)

    def _has_mapper_rules(self) -> bool:
        """Whether a rule of the mapper is in ip6tables: removing it by `cleanup` takes a second or two."""
        saves = ("ip6tables-save", "ip6tables-legacy-save")
        return any("DockerIPV6Mapper" in self.namespace.run(each).stdout for each in saves)

    def _has_no_containers(self) -> bool:
        """Remove all containers; return whether there were none. Fails if Swarm removes one meanwhile."""
        if containers := self.engine.docker("ps", "-aq").split():
            self.engine.docker("rm", "-f", "-v", *containers)
        return not containers

    def _remove_networks(self) -> None:
        """Remove all user-defined networks.

        If many containers end at once, engine 20.10 may miscount the endpoints of a network ("has active
        endpoints") and refuses to remove it until the engine is restarted.
        """
        networks = self.engine.docker("network", "ls", "-q", "--filter", "type=custom").split()
        try:
            if networks:
                self.engine.docker("network", "rm", *networks)
        except CommandError as error:
            if "has active endpoints" not in str(error):
                raise
            self.engine.restart()
            self._remove_networks()

    def _flush_firewall(self) -> None:
        """Flush the rules of both iptables backends, which a stopped engine leaves."""
        self.namespace.run("nft", "flush", "ruleset")
        for restore in ("iptables-legacy-restore", "ip6tables-legacy-restore") if self.engine.legacy else ():
            self.namespace.run(restore, stdin=NO_RULES)
