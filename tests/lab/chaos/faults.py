"""Faults of a host's links, routes, kernel tables and engine, and how each is injected."""

from collections.abc import Callable
from ipaddress import IPv6Interface

from tests.lab.chaos.steps import Fault
from tests.lab.chaos.user_settings import UserSettings
from tests.lab.hosts import KERNEL_DEFAULTS, UPLINK, Host
from tests.lab.namespaces import Namespace
from tests.lab.router import BRIDGE
from tests.lab.topology import LINK, Lab

SECOND_LINK = "up1"
DEFAULT_VIA = ("default", "via", str(LINK[1]))
SECOND_ADDRESS = 0x100
"""Added to the host's address, it gives the second link's."""
PREFIX_LENGTH = LINK.prefixlen
TABLE = ("ip6", "dockeripv6mapper")
ACCEPT_CHAIN = "DOCKER-USER"
DISABLE_IPV6 = f"net.ipv6.conf.{UPLINK}.disable_ipv6"

SILENT = frozenset(
    {
        Fault.LOSE_EVENTS,
        Fault.FLUSH_PROXIES,
        Fault.RESET_SYSCTLS,
        Fault.DELETE_TABLE,
        Fault.FLUSH_ACCEPT_CHAIN,
    }
)
"""Faults without a notification or event: the daemon finds them at its next full pass."""


class FaultInjector:
    """Injects faults on one host of a lab, and gives it a second link to the router for that."""

    def __init__(self, lab: Lab, host: Host, user_settings: UserSettings) -> None:
        self._host, self._user_settings = host, user_settings
        self._router: Namespace = lab.router.namespace
        self._number = lab.hosts.index(host) + 1
        self._default_link = UPLINK

    def set_up(self) -> None:
        """Give the host its second link."""
        self._add_link(SECOND_LINK)

    def take_down(self) -> None:
        """Remove the second link, and recreate the uplink."""
        self._ip("link", "del", SECOND_LINK)
        self._default_link = UPLINK
        self._recreate(UPLINK)

    def inject(self, fault: Fault) -> None:
        """Inject a fault, but not one of the daemon's: these are the runner's."""
        engine, run = self._host.engine, self._host.namespace.run
        injections: dict[Fault, Callable[[], object]] = {
            Fault.FLUSH_PROXIES: self._flush_proxies,
            Fault.LINK_DOWN: self._link_down,
            Fault.LINK_UP: self._link_up,
            Fault.RECREATE_LINK: lambda: self._recreate(UPLINK),
            Fault.IPV6_OFF: self._ipv6_off,
            Fault.IPV6_ON: self._ipv6_on,
            Fault.RESET_SYSCTLS: self._reset_sysctls,
            Fault.MOVE_ROUTE: self._move_route,
            Fault.DELETE_TABLE: lambda: run("nft", "delete", "table", *TABLE, check=False),
            Fault.FLUSH_ACCEPT_CHAIN: lambda: run("ip6tables", "-F", ACCEPT_CHAIN, check=False),
            Fault.RESTART_ENGINE: engine.restart,
            Fault.RESTART_ENGINE_LIVE: lambda: engine.restart(live_restore=True),
            Fault.KILL_ENGINE: self._kill_engine,
        }
        injections[fault]()

    def _link_down(self) -> None:
        self._ip("link", "set", UPLINK, "down")
        self._record_lost_entries(UPLINK)

    def _link_up(self) -> None:
        self._ip("link", "set", UPLINK, "up")
        self._add_address(UPLINK)

    def _ipv6_off(self) -> None:
        self._host.namespace.set_sysctl(DISABLE_IPV6, "1")
        self._record_lost_entries(UPLINK)

    def _ipv6_on(self) -> None:
        self._host.namespace.set_sysctl(DISABLE_IPV6, "0")
        self._add_address(UPLINK)

    def _reset_sysctls(self) -> None:
        for key, value in KERNEL_DEFAULTS.items():
            self._host.namespace.set_sysctl(key, value)

    def _kill_engine(self) -> None:
        self._host.engine.kill()
        self._host.engine.start()

    def _flush_proxies(self) -> None:
        for address, link in self._host.proxy_entries():
            self._ip("-6", "neigh", "del", "proxy", str(address), "dev", link)
        self._user_settings.entries.clear()

    def _move_route(self) -> None:
        before = self._default_link
        self._default_link = SECOND_LINK if before == UPLINK else UPLINK
        self._ip("-6", "route", "del", *DEFAULT_VIA, "dev", before)
        self._ip("-6", "route", "replace", *DEFAULT_VIA, "dev", self._default_link)

    def _recreate(self, link: str) -> None:
        self._ip("link", "del", link)
        self._record_lost_entries(link)
        self._add_link(link)

    def _add_link(self, link: str) -> None:
        port = f"port{self._number}" if link == UPLINK else f"second{self._number}"
        self._host.namespace.add_veth(link, self._router, port, BRIDGE)
        self._add_address(link)

    def _add_address(self, link: str) -> None:
        """Add a link's address, and the default route if it uses this link."""
        address = self._host.address + (0 if link == UPLINK else SECOND_ADDRESS)
        interface = str(IPv6Interface((address, PREFIX_LENGTH)))
        self._ip("-6", "address", "replace", interface, "dev", link, "nodad")
        if self._default_link == link:
            self._ip("-6", "route", "replace", *DEFAULT_VIA, "dev", link)

    def _record_lost_entries(self, link: str) -> None:
        """Update the record: the kernel drops all proxy entries of a link that goes down or is removed."""
        self._user_settings.entries = {entry for entry in self._user_settings.entries if entry[1] != link}

    def _ip(self, *args: str) -> None:
        """Run `ip`, and ignore a failure: the command may not fit the link's present state."""
        self._host.namespace.run("ip", *args, check=False)
