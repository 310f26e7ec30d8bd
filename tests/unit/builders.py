"""Builders of facts for tests. Every argument has a default, so a test names only what matters to it."""

from collections.abc import Mapping
from ipaddress import IPv6Address, IPv6Network

from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.networks import Networks
from dockeripv6mapper.model import Container, Endpoint, Host, Link, Network, ProxyEntry

HE_IPV6 = "he_ipv6"
HE_IPV6_ID = "24113567e27783941ab89f9968568b4e80b32e297928cada0c5a9bc5800ee34b"
SUBNET = IPv6Network("2001:470:b080:103:1::/80")
MON_CONTAINER = IPv6Address("2001:470:b080:103:1:3d:7a:30")
NGINX = IPv6Address("2001:470:b080:103:1:ee:43:40")
UPLINK = Link("eth0", 2, neighbour_discovery=True)
TUNNEL = Link("he-ipv6", 7, neighbour_discovery=False)
IMAGE = "sha256:1234"


def network(
    name: str = HE_IPV6,
    subnet: IPv6Network | None = SUBNET,
    *,
    network_id: str | None = None,
    driver: str = "bridge",
    labels: Mapping[str, str] | None = None,
    auxiliary: frozenset[IPv6Address] = frozenset(),
    internal: bool = False,
    default_bridge: bool = False,
    ipvlan_mode: str | None = None,
    bridge: str | None = None,
    ipv4: bool = False,
    gateway_mode: str | None = None,
) -> Network:
    """Return a user-defined IPv6 network; its gateway is the subnet's first address."""
    return Network(
        id=network_id or (HE_IPV6_ID if name == HE_IPV6 else f"id-of-{name}"),
        name=name,
        driver=driver,
        ipv6=subnet is not None,
        subnets=(subnet,) if subnet else (),
        gateways=frozenset({subnet[1]}) if subnet and subnet.num_addresses > 1 else frozenset(),
        auxiliary=auxiliary,
        internal=internal,
        default_bridge=default_bridge,
        ipvlan_mode=ipvlan_mode,
        bridge=bridge,
        ipv4=ipv4,
        gateway_mode=gateway_mode,
        labels=labels or {},
    )


def container(
    name: str = "mon_container",
    *,
    container_id: str | None = None,
    running: bool = False,
    created: int = 1000,
    network_mode: str | None = "bridge",
    endpoints: tuple[Endpoint, ...] = (),
    other_labels: Mapping[str, str] | None = None,
    **labels: str,
) -> Container:
    """Return a container; `network="he_ipv6"` sets the label `ipv6.mapper.network=he_ipv6`."""
    given = {f"ipv6.mapper.{label}": value for label, value in labels.items()}
    return Container(
        id=container_id or f"id-of-{name}",
        name=name,
        labels={**given, **(other_labels or {})},
        image=IMAGE,
        created=created,
        running=running,
        network_mode=network_mode,
        endpoints=endpoints,
    )


def endpoint(
    address: IPv6Address | None = None,
    requested: IPv6Address | None = None,
    *,
    of: Network | None = None,
    ours: bool | None = None,
) -> Endpoint:
    """Return an endpoint on the network `of`, by default `he_ipv6`."""
    on = of or network()
    return Endpoint(on.name, on.id, address, requested, ours)


def host(
    *links: Link,
    addresses: frozenset[IPv6Address] = frozenset(),
    next_hops: frozenset[IPv6Address] = frozenset(),
    entries: Mapping[ProxyEntry, bool] | None = None,
    on_link: frozenset[tuple[IPv6Network, str]] = frozenset(),
) -> Host:
    """Return a host on which each link has a default route; by default its only link is `UPLINK`."""
    links = links or (UPLINK,)
    return Host(
        links={link.name: link for link in links},
        default_route_links=tuple(link.name for link in links),
        addresses=addresses,
        next_hops=next_hops,
        entries=entries or {},
        on_link=on_link,
    )


def facts(
    *containers: Container,
    networks: tuple[Network, ...] | None = None,
    images: Mapping[str, Mapping[str, str] | None] | None = None,
    of_host: Host | None = None,
) -> Facts:
    """Return facts; by default with the network `he_ipv6` and an image without labels."""
    return Facts(
        containers={each.id: each for each in containers},
        networks=Networks((network(),) if networks is None else networks),
        images={IMAGE: {}} if images is None else images,
        host=of_host or host(),
    )
