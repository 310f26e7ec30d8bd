"""The settings as one frozen record. `cli/main.py` fills it from options and environment."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Scheme(StrEnum):
    """How an identity becomes an address suffix (see `mapping.addressing`)."""

    MD5_24 = "md5-24"
    WIDE = "wide"


class ProxyMode(StrEnum):
    """Which containers' addresses are proxied on the uplinks."""

    MAPPED = "mapped"
    ALL = "all"
    OFF = "off"


class FirewallMode(StrEnum):
    """How new connections to mapped addresses are filtered."""

    ENGINE = "engine"
    """The engine's rules apply; ports that labels name are opened in them."""
    CLOSED = "closed"
    """As `ENGINE`; also, new connections from an uplink to any other port are dropped."""
    OFF = "off"
    """The firewall is not changed."""


class NdSource(StrEnum):
    """From which address neighbour solicitations for proxied addresses are answered."""

    AUTO = "auto"
    """As `KERNEL`; and as `TARGET` too on an uplink where solicitations are repeated."""
    TARGET = "target"
    """By the daemon too, from the address itself."""
    KERNEL = "kernel"
    """By the kernel alone: from a link-local address, to a router that solicits from one."""


DEFAULT_FWMARK = 0x01000000
"""One bit of the packet mark, so that other software on the host can use the other bits."""
DEFAULT_STATE_DIR = Path("/run/dockeripv6mapper")
DEFAULT_SYSCTL_DIR = Path("/proc/sys/net/ipv6")
DEFAULT_RESYNC_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Settings:
    """The user's choices. Each field has the default of its option."""

    docker_host: str | None = None
    """The engine's URL; None: `DOCKER_HOST` from the environment, else the local socket."""
    uplinks: tuple[str, ...] = ()
    """Interface names; empty: every interface that carries an IPv6 default route."""
    proxy: ProxyMode = ProxyMode.MAPPED
    scheme: Scheme = Scheme.MD5_24
    allow_networks: frozenset[str] = frozenset()
    """Names or IDs of the networks that a label may name; empty: any."""
    trust_image_labels: bool = False
    default_route: bool = True
    """Make a container's IPv6 default route use its mapped network, on engines that support it."""
    firewall: FirewallMode = FirewallMode.ENGINE
    fwmark: int = DEFAULT_FWMARK
    nd_source: NdSource = NdSource.AUTO
    sysctl: bool = True
    """Set the sysctls that proxying needs; if False, only log which are wrong."""
    sysctl_dir: Path = DEFAULT_SYSCTL_DIR
    resync: float = DEFAULT_RESYNC_SECONDS
    """Seconds between two full passes."""
    state_dir: Path = DEFAULT_STATE_DIR
    """Directory of the state that must survive the process, but not a reboot."""
    metrics: tuple[str, int] | None = None
    """Address and port of the metrics server; None: no server."""
    dry_run: bool = False
