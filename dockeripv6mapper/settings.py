"""The daemon's settings, as one frozen record. How options and environment fill it stands in `cli/`."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class Scheme(Enum):
    """How an identity becomes a suffix (see `mapping.addressing`)."""

    MD5_24 = "md5-24"
    WIDE = "wide"


class ProxyMode(Enum):
    """Whose addresses are proxied on the uplinks."""

    MAPPED = "mapped"
    ALL = "all"
    OFF = "off"


class FirewallMode(Enum):
    """What is done about new connections to mapped addresses."""

    ENGINE = "engine"
    """The engine's rules stand, and what labels ask for is let through them."""
    CLOSED = "closed"
    """Besides, whatever no label opened is dropped where it comes in from an uplink."""
    OFF = "off"
    """The firewall is never touched."""


DEFAULT_FWMARK = 0x01000000
"""One bit of the packet mark; other software on the host may use others."""
DEFAULT_STATE_DIR = Path("/run/dockeripv6mapper")
DEFAULT_SYSCTL_DIR = Path("/proc/sys/net/ipv6")
DEFAULT_RESYNC_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user chose. Every field has the default of the option of the same name."""

    docker_host: str | None = None
    """The engine's URL; None: the environment's `DOCKER_HOST`, else the local socket."""
    uplinks: tuple[str, ...] = ()
    """Interface names; empty: every interface that carries an IPv6 default route."""
    proxy: ProxyMode = ProxyMode.MAPPED
    scheme: Scheme = Scheme.MD5_24
    allow_networks: frozenset[str] = frozenset()
    """Names or IDs of the networks that a label may name; empty: any."""
    trust_image_labels: bool = False
    firewall: FirewallMode = FirewallMode.ENGINE
    fwmark: int = DEFAULT_FWMARK
    sysctl: bool = True
    """Set the sysctls that proxying needs; else only say which are wrong."""
    sysctl_dir: Path = DEFAULT_SYSCTL_DIR
    resync: float = DEFAULT_RESYNC_SECONDS
    """Seconds between two full passes."""
    state_dir: Path = DEFAULT_STATE_DIR
    """Where what must outlive the process is kept until the next boot."""
    metrics: tuple[str, int] | None = None
    """Address and port at which metrics are served; None: nowhere."""
    dry_run: bool = False
