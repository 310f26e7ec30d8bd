"""The ways in which an engine may filter IPv6, and a host set to one of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.lab.engines import Flavour
from tests.lab.hosts import Host
from tests.lab.topology import Lab


@dataclass(frozen=True)
class FirewallMode:
    """An engine version and its filter settings."""

    name: str
    flavour: Flavour
    gateway_mode: str | None = None
    ip6tables: bool = False
    legacy: bool = False
    """Whether the engine uses the legacy backend of iptables, while the machine uses nft's."""
    filters: bool = True
    """Whether the engine drops new connections from outside by default."""
    lets_in: str = "everything"
    """The beginning of what `status` shows to get in by default."""


BY_POLICY = "nothing: dropped by the policy of FORWARD"
ENGINE_20_10 = FirewallMode("20.10", Flavour.OLDEST, filters=False)
ENGINE_28_ROUTED = FirewallMode("28-routed", Flavour.MODERN, gateway_mode="routed", lets_in="ping")
RECOMMENDED = {
    Flavour.OLDEST: ENGINE_20_10,
    Flavour.STABLE: FirewallMode("26.1", Flavour.STABLE, filters=False),
    Flavour.MODERN: ENGINE_28_ROUTED,
}
"""For each engine the mode that docs/firewall.md recommends."""
ALL_MODES = (
    ENGINE_20_10,
    FirewallMode("20.10-ip6tables", Flavour.OLDEST, ip6tables=True, lets_in=BY_POLICY),
    FirewallMode("20.10-ip6tables-legacy", Flavour.OLDEST, ip6tables=True, legacy=True, lets_in=BY_POLICY),
    FirewallMode("26.1-ip6tables", Flavour.STABLE, ip6tables=True, lets_in=BY_POLICY),
    FirewallMode("28-nat", Flavour.MODERN, gateway_mode="nat", lets_in="nothing: gateway mode nat"),
    FirewallMode("28-nat-unprotected", Flavour.MODERN, gateway_mode="nat-unprotected", filters=False),
    ENGINE_28_ROUTED,
)
MODES = [
    mode
    for mode in ALL_MODES
    # Nothing opens a port of a network in this mode if the engine filters with nftables.
    if not (mode.gateway_mode == "nat" and mode.flavour.filters_with_nftables)
]
"""The modes in which labelled ports can be opened."""


@contextmanager
def host_in_mode(lab: Lab, mode: FirewallMode) -> Iterator[Host]:
    """Set the engine and the network `he_ipv6` of a host to a mode; reset the host afterwards."""
    host = lab.host(mode.flavour)
    host.reset()
    lab.router.flush_neighbours()
    if mode.ip6tables:
        host.engine.ip6tables = True
        host.engine.legacy = mode.legacy
        host.engine.restart()
    host.create_network("he_ipv6", gateway_mode=mode.gateway_mode)
    assert (":DOCKER " in host.namespace.run("iptables-legacy-save").stdout) == mode.legacy
    try:
        yield host
    finally:
        host.reset()
