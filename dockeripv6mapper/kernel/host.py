"""`Kernel`: one object for links, proxy entries, sysctls and the firewall, for the daemon and the commands.

Keeps the links that were read last: a proxy entry names a link, and netlink requests need its index.
"""

from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv6Address
from pathlib import Path

from dockeripv6mapper.actions import SysctlChange
from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.firewall_rules import Ruleset
from dockeripv6mapper.kernel import firewall, ip6tables, sysctls
from dockeripv6mapper.kernel.bridge_neighbours import BridgeNeighbours
from dockeripv6mapper.kernel.ndp.announcements import Announcer, Answer
from dockeripv6mapper.kernel.ndp.responder import ProxiedAddresses, Responder
from dockeripv6mapper.kernel.ndp.sockets import PERMISSION_HINT
from dockeripv6mapper.kernel.proxies import Outcome, ProxyTable
from dockeripv6mapper.kernel.ruleset import observe_ruleset
from dockeripv6mapper.kernel.topology import TopologyObserver
from dockeripv6mapper.model import BridgeAddress, FirewallRules, Forwarded, Host, Link, ProxyEntry
from dockeripv6mapper.settings import NdSource

RECORD = "proxies"
"""The file in the state directory that lists our proxy entries (see `proxies`)."""


class Kernel:
    """The kernel of this process's network namespace. Close it."""

    def __init__(self, state_dir: Path, sysctl_dir: Path = sysctls.ROOT) -> None:
        self._topology = TopologyObserver()
        self._proxies = ProxyTable(state_dir / RECORD)
        self._announcer = Announcer()
        self._neighbours = BridgeNeighbours()
        self._firewall = firewall.Firewall()
        self._sysctl_dir = sysctl_dir
        self._links: Mapping[str, Link] = {}
        self._proxied = ProxiedAddresses()
        self._responder: Responder | None = None

    def observe(self) -> Host:
        """Links, addresses, routes and proxy entries now. Raises `KernelRefusedError`."""
        topology = self._topology.observe()
        self._links = topology.links
        host = Host(
            links=topology.links,
            default_route_links=topology.default_route_links,
            default_routers=topology.default_routers,
            addresses=topology.addresses,
            next_hops=topology.next_hops,
            on_link=topology.on_link,
            entries=self._proxies.observe(topology.links),
        )
        self._proxied.replace(host)
        return host

    def read_sysctls(self, keys: Iterable[str]) -> Mapping[str, str | None]:
        """The current values; None for a key that does not exist."""
        return sysctls.read(keys, self._sysctl_dir)

    def write_sysctl(self, change: SysctlChange) -> None:
        """Change one sysctl. Raises `KernelRefusedError`."""
        sysctls.write(change, self._sysctl_dir)

    def close_forwarding(self) -> Forwarded:
        """Set the policy of FORWARD to DROP, where that is safe. Raises `KernelRefusedError`."""
        return firewall.close_forwarding()

    def solicit_router(self, link: str) -> None:
        """Send a Router Solicitation on a link. Raises `KernelRefusedError`."""
        if (found := self._links.get(link)) is not None:
            self._announcer.solicit_router(found)

    def add_proxies(self, entries: Iterable[ProxyEntry]) -> Outcome:
        """Add the proxy entries that do not exist."""
        outcome = self._proxies.add(entries, self._links)
        self._proxied.add(outcome.done, self._links)
        return outcome

    def remove_proxies(self, entries: Iterable[ProxyEntry]) -> Outcome:
        """Remove proxy entries of ours."""
        outcome = self._proxies.remove(entries, self._links)
        self._proxied.remove(outcome.done, self._links)
        return outcome

    def advertise(self, address: IPv6Address, link: Link, *, override: bool) -> None:
        """Advertise to all nodes that an address is at the link's MAC. Raises `KernelRefusedError`."""
        self._announcer.advertise(address, link, override=override)
        if override:
            self._proxied.claim(address, link)

    def probe(self, address: IPv6Address, link: Link) -> None:
        """Ask whether another node has an address, and receive answers. Raises `KernelRefusedError`."""
        self._announcer.probe(address, link)

    def solicit(self, address: IPv6Address, link: Link, router: IPv6Address) -> None:
        """Solicit a router from an address, so that it learns the link's MAC. Raises `KernelRefusedError`."""
        self._announcer.solicit(address, link, router)

    def answers(self) -> Iterable[Answer]:
        """The answers to probes since the last call. Raises `KernelRefusedError`."""
        return self._announcer.answers()

    def ignore_answers(self) -> None:
        """Receive no answers until the next probe."""
        self._announcer.ignore_answers()

    def start_responder(self, source: NdSource, answered: Callable[[str], None]) -> None:
        """Start to answer solicitations where the kernel's answers do not get through (see `Responder`).

        Raises `KernelRefusedError`. `close` stops it.
        """
        try:
            self._responder = Responder(self._proxied, source, answered)
        except OSError as error:
            hint = PERMISSION_HINT if isinstance(error, PermissionError) else None
            raise KernelRefusedError(
                f"listening for neighbour solicitations: {error.strerror}", hint=hint
            ) from error
        self._responder.start()

    def forget_neighbours(self, addresses: Iterable[BridgeAddress]) -> None:
        """Remove the host's own neighbour entries for some addresses. Raises `KernelRefusedError`."""
        self._neighbours.forget(addresses)

    def observe_firewall(self) -> FirewallRules | None:
        """The contents of our table; None: it cannot be listed. Raises `KernelRefusedError`."""
        return self._firewall.observe()

    def apply_firewall(self, rules: FirewallRules) -> None:
        """Change our table to `rules`, from its state last read or written. Raises `KernelRefusedError`."""
        self._firewall.apply(rules)

    def put_accept_rules(self, mark: int) -> list[str]:
        """Insert our accept rules where they are missing; returns where. Raises `KernelRefusedError`."""
        return [str(rule) for rule in ip6tables.put_accept_rules(mark)]

    def observe_ruleset(self) -> Ruleset:
        """All rules that a forwarded packet meets."""
        return observe_ruleset()

    def close(self) -> None:
        """Stop the responder, and close the sockets."""
        if self._responder is not None:
            self._responder.stop()
        self._announcer.close()
        self._neighbours.close()
        self._proxies.close()
        self._topology.close()
