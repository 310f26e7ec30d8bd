"""The model: the frozen types that all packages share, of what was observed and what is desired.

No behaviour beyond what a value says of itself, and nothing of a library's types.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv6Address, IPv6Network

# --- observed: the engine ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A container's attachment to one network."""

    network: str
    """The key in the engine's answers: the network's name, or its ID where the user gave that."""
    network_id: str
    """Empty until the container's first start."""
    address: IPv6Address | None = None
    """The address that the engine has allocated. None unless the container runs, or died a moment ago."""
    requested: IPv6Address | None = None
    """The configured address, which the engine allocates at each start. None: it chooses one."""
    ours: bool | None = None
    """Whether the mapper requested the address, and not the user. None: not known, since only an inspection
    shows it."""
    moved: bool = False
    """The user attached the container, and the mapper moved the endpoint. Only an inspection shows it."""
    priority: int = 0
    """`GwPriority`, since engine 28: the network with the highest one gives the default route."""
    temporary: bool = False
    """A move was interrupted, and the endpoint lacks settings of its user. Only an inspection shows it."""
    refused: bool = False
    """The engine refused the settings that such an endpoint lacks: with them the container might not
    start."""


@dataclass(frozen=True, slots=True)
class Container:
    """One of the engine's containers."""

    id: str
    name: str
    """Without the leading slash."""
    labels: Mapping[str, str]
    image: str
    """The image's ID, and its platform where the ID may stand for several; its name where only the create
    event is known."""
    created: int
    """Seconds since the epoch."""
    running: bool
    in_transition: bool = False
    """The engine is restarting or removing it. Actions fail half-way then."""
    network_mode: str | None = None
    """`HostConfig.NetworkMode`; None while only the create event is known."""
    endpoints: tuple[Endpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class Network:
    """One of the engine's networks."""

    id: str
    name: str
    driver: str
    ipv6: bool = True
    """Whether the network has IPv6 switched on."""
    subnets: tuple[IPv6Network, ...] = ()
    """Its IPv6 subnets, in the engine's order."""
    gateways: frozenset[IPv6Address] = frozenset()
    auxiliary: frozenset[IPv6Address] = frozenset()
    internal: bool = False
    default_bridge: bool = False
    """The engine's predefined bridge, which takes no requested address."""
    ipvlan_mode: str | None = None
    bridge: str | None = None
    """The bridge's name on the host; None: of another driver, or not of this host."""
    ipv4: bool = False
    gateway_mode: str | None = None
    """How a bridge of engine 28 or later treats IPv6 from outside: `nat`, `nat-unprotected`, `routed`."""
    labels: Mapping[str, str] = field(default_factory=dict)
    takes_services_only: bool = False
    """A Swarm network to which only its services may be attached."""
    config_only: bool = False
    """A configuration from which networks are made (`--config-only`). Nothing can be attached to it."""


# --- observed: the kernel ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface."""

    name: str
    index: int
    neighbour_discovery: bool
    """False on point-to-point and NOARP links, and on the loopback: no neighbour is solicited there."""
    mac: bytes = b""
    """Its link-layer address, six bytes on Ethernet; empty where there is none."""
    carrier_ups: int = 0
    """How many times it has got a carrier, by the kernel's count."""
    peer_notifications: int = 0
    """How many times the kernel has asked to announce its addresses, as after a live migration (event
    `NETDEV_NOTIFY_PEERS`), since this process observes it."""
    loopback: bool = False
    master: int | None = None
    """The index of the bridge or bond that it is a port of, if of any."""
    altnames: tuple[str, ...] = ()
    """Its alternative names (`ip link property add dev LINK altname NAME`)."""
    kind: str | None = None
    """The kind of a virtual link: `bridge`, `veth`, `tun` (also a virtual machine's tap), `vlan`, …; None
    for a physical one."""


@dataclass(frozen=True, slots=True, order=True)
class ProxyEntry:
    """A kernel NDP proxy neighbour: `ip -6 neigh add proxy ADDRESS dev UPLINK`."""

    address: IPv6Address
    uplink: str

    def __str__(self) -> str:
        return f"{self.address} on {self.uplink}"


@dataclass(frozen=True, slots=True)
class BridgeAddress:
    """A container's address, and the bridge of its network on this host."""

    address: IPv6Address
    bridge: str


@dataclass(frozen=True, slots=True, order=True)
class Opening:
    """Ports of an address, first to last, that new connections from outside may reach."""

    address: IPv6Address
    protocol: str
    """`tcp`, `udp` or `sctp`."""
    first: int
    last: int

    @property
    def ports(self) -> str:
        """As a label names them: `80/tcp`, `8000-8100/udp`."""
        ports = f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"
        return f"{ports}/{self.protocol}"

    def __str__(self) -> str:
        return f"{self.ports} of {self.address}"


@dataclass(frozen=True, slots=True)
class Host:
    """The host, as last observed."""

    links: Mapping[str, Link] = field(default_factory=dict)
    default_route_links: tuple[str, ...] = ()
    """Names of the links that carry an IPv6 default route of any kind (see `kernel.routes`)."""
    default_routers: frozenset[tuple[IPv6Address, str]] = frozenset()
    """The gateways of those routes, each with its link's name. An on-link default route has none."""
    addresses: frozenset[IPv6Address] = frozenset()
    """The host's own addresses, on any link."""
    next_hops: frozenset[IPv6Address] = frozenset()
    """The gateways of the host's IPv6 routes."""
    on_link: frozenset[tuple[IPv6Network, str]] = frozenset()
    """On-link prefixes (RFC 4861 §2.1), each with the link's name."""
    entries: Mapping[ProxyEntry, bool] = field(default_factory=dict)
    """Every NDP proxy entry, and whether it carries our mark."""
    openings: frozenset[Opening] = frozenset()
    """The ports that our nft table opens."""
    closed: frozenset[IPv6Address] = frozenset()
    """The addresses at which our nft table closes all other ports."""


class Forwarded(Enum):
    """Which packets the host forwards between its links."""

    BY_RULES = "by rules"
    """Packets that a rule accepts; others are dropped."""
    ANYTHING = "anything"


@dataclass(frozen=True, slots=True)
class FirewallRules:
    """The contents of our nft table."""

    mark: int = 0
    """One bit of the packet mark. It is set on packets that may pass."""
    openings: frozenset[Opening] = frozenset()
    closed: frozenset[IPv6Address] = frozenset()
    """Addresses at which only `openings` may be reached from `uplinks`."""
    uplinks: tuple[str, ...] = ()

    @property
    def closes(self) -> bool:
        """Whether any address is closed on any uplink."""
        return bool(self.closed and self.uplinks)

    def __bool__(self) -> bool:
        return bool(self.openings or self.closes)


# --- wanted -----------------------------------------------------------------------------------------------


class Reason(Enum):
    """Why a container is not mapped. `report.status` has a remedy for each that is a fault."""

    INVALID_LABEL = "invalid-label"
    IMAGE_GONE = "image-gone"
    NETWORK_NOT_FOUND = "network-not-found"
    NETWORK_AMBIGUOUS = "network-ambiguous"
    NETWORK_NOT_ALLOWED = "network-not-allowed"
    NETWORK_WITHOUT_IPV6 = "network-without-ipv6"
    NETWORK_PREDEFINED = "network-predefined"
    NETWORK_ACCEPTS_NO_ADDRESS = "network-accepts-no-address"
    """The engine chose the subnet itself, and accepts no requested address there (engines before 29)."""
    NETWORK_UNSUPPORTED = "network-unsupported"
    """An overlay network, one that takes only Swarm services, or a mere configuration."""
    ADDRESS_NOT_ACCEPTED = "address-not-accepted"
    """The engine takes requested addresses on the network, but not this one."""
    MAC_ADDRESS = "mac-address"
    """The container cannot be moved to the address and keep the MAC address that its user chose."""
    NOT_CONNECTABLE = "not-connectable"
    SUFFIX_TOO_WIDE = "suffix-too-wide"
    SUBNET_ROUTER_ANYCAST = "subnet-router-anycast"
    GATEWAY = "gateway"
    AUXILIARY = "auxiliary-address"
    HOST_ADDRESS = "host-address"
    NEXT_HOP = "next-hop"
    ADDRESS_HELD = "address-held"
    PREDECESSOR_HOLDS = "predecessor-holds"
    """No fault: the identity's older container still has the address, and will be removed."""
    SUPERSEDED = "superseded"
    """No fault: the identity's newer container has replaced this one."""

    @property
    def is_fault(self) -> bool:
        """Whether the user should do something about it."""
        return self not in (Reason.PREDECESSOR_HOLDS, Reason.SUPERSEDED)


@dataclass(frozen=True, slots=True)
class AddressMapping:
    """A container's labels, resolved: its network and its address there."""

    network_id: str
    network: str
    address: IPv6Address
    identity: str
    default_route: bool = True
    """Whether the container's IPv6 default route is to go over this network, where the engine can be told."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A mapping that is not made now."""

    reason: Reason
    detail: str
    """A sentence for the user, with the label's value."""
    address: IPv6Address | None = None
    """The address that was refused, if one was worked out."""
    by_running: bool = False
    """Whether a running container has the address."""
    gives_up: IPv6Address | None = None
    """The address that the container itself has to give up first, to break a cycle (see `mapping.claims`)."""


@dataclass(frozen=True, slots=True)
class Undecided:
    """Nothing can be decided before more is known. The container's endpoint, entries and ports stay."""


@dataclass(frozen=True, slots=True)
class ImageWanted(Undecided):
    """The labels of the image are not known."""

    image: str


@dataclass(frozen=True, slots=True)
class MarkWanted(Undecided):
    """It is not known whether the mapper requested the container's address."""


@dataclass(frozen=True, slots=True)
class NetworkUnreadable(Undecided):
    """The network may be one of those that could not be read."""


Decision = AddressMapping | Refusal | Undecided | None
"""What is desired of a container. None: its labels ask for nothing."""


@dataclass(frozen=True, slots=True)
class EngineRefusal:
    """The engine refuses an endpoint, and will do so until the network or the engine is another one."""

    reason: Reason
    detail: str
    """A sentence for the user."""
    network_id: str
    address: IPv6Address | None = None
    """None: it refuses every address on this network."""

    def concerns(self, network_id: str, address: IPv6Address) -> bool:
        """Whether an endpoint at this address of this network is refused."""
        return network_id == self.network_id and self.address in (None, address)


class RefusedError(Exception):
    """Raised inside `mapping/` where a rule refuses; it becomes a `Refusal` before it leaves."""

    def __init__(self, reason: Reason, detail: str, address: IPv6Address | None = None) -> None:
        super().__init__(detail)
        self.refusal = Refusal(reason, detail, address)
