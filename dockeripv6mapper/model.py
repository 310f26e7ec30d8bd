"""The frozen types that every room shares: what was observed, and what is wanted.

No behaviour beyond what a value says of itself, and nothing of a library's types.
"""

from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv6Address, IPv6Network

# --- observed: the engine ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A container's attachment to one network."""

    network: str
    """What the engine lists it under: the network's name, or its ID where the user gave that."""
    network_id: str
    """Empty until the container's first start."""
    address: IPv6Address | None = None
    """The address that the engine has allocated now; None unless the container runs, or died just now."""
    requested: IPv6Address | None = None
    """The address that is applied at every start; None: the engine chooses one."""
    ours: bool | None = None
    """The address was requested by the mapper, not by the user; None: not known, since a list does not show
    it (see `engine.endpoints`)."""
    moved: bool = False
    """The user attached the container, and the mapper moved the endpoint. Only an inspection shows it."""
    for_a_moment: bool = False
    """The endpoint has less than its user set: a move of ours was cut off. Only an inspection shows it."""
    refused: bool = False
    """What such an endpoint lacks was refused: a stopped container that was given it might not start."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container, as far as it matters here."""

    id: str
    name: str
    """Without the leading slash."""
    labels: MappingOf[str, str]
    image: str
    """The image's ID; its name where only the create event is known."""
    created: int
    """Seconds since the epoch."""
    running: bool
    in_transition: bool = False
    """The engine is restarting or removing it: it takes no action well then."""
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
    labels: MappingOf[str, str] = field(default_factory=dict)


# --- observed: the kernel ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface."""

    name: str
    index: int
    neighbour_discovery: bool
    """False on point-to-point and NOARP links, and on the loopback: nobody asks for addresses there."""
    mac: bytes = b""
    """Its link-layer address, six bytes on Ethernet; empty where there is none."""
    loopback: bool = False
    master: int | None = None
    """The index of the bridge or bond that it is a port of; None: of none."""


@dataclass(frozen=True, slots=True, order=True)
class ProxyEntry:
    """A kernel NDP proxy neighbour: `ip -6 neigh add proxy ADDRESS dev UPLINK`."""

    address: IPv6Address
    uplink: str

    def __str__(self) -> str:
        return f"{self.address} on {self.uplink}"


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
    """The host's side of the picture."""

    links: MappingOf[str, Link] = field(default_factory=dict)
    default_route_links: tuple[str, ...] = ()
    """Names of the links that carry an IPv6 default route."""
    addresses: frozenset[IPv6Address] = frozenset()
    """The host's own addresses, on any link."""
    next_hops: frozenset[IPv6Address] = frozenset()
    """The gateways of the host's IPv6 routes."""
    on_link: frozenset[tuple[IPv6Network, str]] = frozenset()
    """The prefixes whose addresses are looked for on a link, with that link's name."""
    entries: MappingOf[ProxyEntry, bool] = field(default_factory=dict)
    """Every NDP proxy entry, and whether it carries our mark."""
    openings: frozenset[Opening] = frozenset()
    """The ports that our table in the firewall opens; seen only where a command looks once."""
    closed: frozenset[IPv6Address] = frozenset()
    """The addresses that our table closes to all else; seen only there, too."""


class Forwarded(Enum):
    """What passes through the host between its links."""

    BY_RULES = "by rules"
    """What rules accept; all else is dropped."""
    ANYTHING = "anything"


@dataclass(frozen=True, slots=True)
class FirewallRules:
    """What our table in the kernel's firewall is to hold, or holds."""

    mark: int = 0
    """One bit of the packet mark: set on what may pass."""
    openings: frozenset[Opening] = frozenset()
    closed: frozenset[IPv6Address] = frozenset()
    """Addresses that nothing but `openings` may reach from `uplinks`."""
    uplinks: tuple[str, ...] = ()

    @property
    def closes(self) -> bool:
        """Whether anything is closed at all."""
        return bool(self.closed and self.uplinks)

    def __bool__(self) -> bool:
        return bool(self.openings or self.closes)


# --- wanted -----------------------------------------------------------------------------------------------


class Reason(Enum):
    """Why a mapping may not be made now."""

    INVALID_LABEL = "invalid-label"
    IMAGE_GONE = "image-gone"
    NETWORK_NOT_FOUND = "network-not-found"
    NETWORK_AMBIGUOUS = "network-ambiguous"
    NETWORK_NOT_ALLOWED = "network-not-allowed"
    NETWORK_WITHOUT_IPV6 = "network-without-ipv6"
    NETWORK_PREDEFINED = "network-predefined"
    NOT_CONNECTABLE = "not-connectable"
    SUFFIX_TOO_WIDE = "suffix-too-wide"
    SUBNET_ROUTER_ANYCAST = "subnet-router-anycast"
    GATEWAY = "gateway"
    AUXILIARY = "auxiliary-address"
    HOST_ADDRESS = "host-address"
    NEXT_HOP = "next-hop"
    ADDRESS_HELD = "address-held"
    PREDECESSOR_HOLDS = "predecessor-holds"
    """Not a fault: the same identity's older container still has the address, and will give it up."""
    SUPERSEDED = "superseded"
    """Not a fault: the same identity's newer container has taken the container's place."""

    @property
    def is_fault(self) -> bool:
        """Whether somebody should do something about it."""
        return self not in (Reason.PREDECESSOR_HOLDS, Reason.SUPERSEDED)


@dataclass(frozen=True, slots=True)
class Mapping:
    """What a label asks for, once resolved: this container, on this network, at this address."""

    network_id: str
    network: str
    address: IPv6Address
    identity: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A mapping that may not be made now."""

    reason: Reason
    detail: str
    """A sentence with the label's value, for people."""
    address: IPv6Address | None = None
    """The address that was refused, where it came to one."""
    by_running: bool = False
    """Whether it is a running container that has the address."""
    gives_up: IPv6Address | None = None
    """The address that the container itself has to give up first: it is one of several that hold each
    other's."""


@dataclass(frozen=True, slots=True)
class Undecided:
    """Nothing can be decided before more is known: what the container has stays as it is."""


@dataclass(frozen=True, slots=True)
class ImageWanted(Undecided):
    """The image's own labels are not known."""

    image: str


@dataclass(frozen=True, slots=True)
class MarkWanted(Undecided):
    """It is not known whether the container's address was requested by the mapper."""


@dataclass(frozen=True, slots=True)
class NetworkUnreadable(Undecided):
    """The network is not among those that could be read, and not all could be."""


Decision = Mapping | Refusal | Undecided | None
"""What is wanted of a container; None: its labels ask for nothing."""


class RefusedError(Exception):
    """Raised inside `mapping/` where a rule says no; it becomes a `Refusal` before it leaves."""

    def __init__(self, reason: Reason, detail: str, address: IPv6Address | None = None) -> None:
        super().__init__(detail)
        self.refusal = Refusal(reason, detail, address)
