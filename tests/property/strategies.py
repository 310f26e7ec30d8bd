"""Hypothesis strategies: names, labels, subnets, networks, hosts, containers."""

import string
from ipaddress import IPv6Address, IPv6Network

from hypothesis import strategies as st

from dockeripv6mapper.model import Container, Host, Network
from tests.unit import builders


def names() -> st.SearchStrategy[str]:
    """Container names as the engine allows them."""
    first = st.sampled_from(string.ascii_letters + string.digits)
    rest = st.text(string.ascii_letters + string.digits + "_.-", min_size=1, max_size=40)
    return st.builds(str.__add__, first, rest)


def label_text() -> st.SearchStrategy[str]:
    """Any text at all, and often something that looks like a suffix."""
    hextets = st.lists(st.from_regex(r"[0-9a-fA-F]{0,5}", fullmatch=True), max_size=9).map(":".join)
    return st.text(max_size=60) | hextets | hextets.map("::".__add__)


@st.composite
def subnets(draw: st.DrawFn) -> IPv6Network:
    """Subnets of any length, /0 and /128 included."""
    length = draw(st.integers(min_value=0, max_value=128))
    return IPv6Network((draw(st.integers(min_value=0, max_value=2**128 - 1)), length), strict=False)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """A network with an IPv6 subnet, and some of its first addresses as auxiliary addresses."""
    subnet = draw(subnets())
    auxiliary = draw(st.sets(st.integers(min_value=0, max_value=20), max_size=5))
    addresses = frozenset(subnet[each] for each in auxiliary if each < subnet.num_addresses)
    return builders.network(subnet=subnet, auxiliary=addresses)


def hosts() -> st.SearchStrategy[Host]:
    """A host with a few addresses and next hops."""
    addresses = st.frozensets(
        st.builds(IPv6Address, st.integers(min_value=0, max_value=2**128 - 1)), max_size=3
    )
    return st.builds(
        lambda own, hops: builders.host(addresses=own, next_hops=hops), own=addresses, hops=addresses
    )


@st.composite
def containers_on(draw: st.DrawFn, network: Network) -> Container:
    """A container in any state that may ask for one of three addresses."""
    suffixes = st.sampled_from(["5", "6", "7"])
    address = st.sampled_from([network.subnets[0][each] for each in (5, 6, 7)])
    running = draw(st.booleans())
    attached = draw(st.booleans())
    endpoint = builders.endpoint(
        draw(address | st.none()) if running else None, draw(address | st.none()), of=network
    )
    labelled = {"ipv6.mapper.network": network.name, "ipv6.mapper.suffix": draw(suffixes)}
    return builders.container(
        draw(names()),
        container_id=draw(st.uuids()).hex,
        created=draw(st.integers(min_value=1, max_value=3)),
        running=running,
        endpoints=(endpoint,) if attached else (),
        other_labels=labelled if draw(st.booleans()) else {},
    )
