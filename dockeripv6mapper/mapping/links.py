"""Links: which of the host's links are the engine's or a guest's, and which one a name means. Pure.

A guest is a container or a virtual machine. One that is attached to a bridge of the host can send router
advertisements to the host, and so become its router.
"""

from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.networks import is_named_by_engine
from dockeripv6mapper.model import Host, Link

BRIDGE, VETH, TAP = "bridge", "veth", "tun"
"""Kinds of links. A virtual machine's tap is of the kind `tun`."""
GUEST_KINDS = (VETH, TAP)
"""Kinds of the links to guests."""


def find_link(host: Host, name: str) -> Link | None:
    """The link with a name or an alternative name; None: there is none."""
    if link := host.links.get(name):
        return link
    return next((link for link in host.links.values() if name in link.altnames), None)


def is_engine_bridge(link: Link, facts: Facts) -> bool:
    """Whether a link is the bridge of one of the engine's networks."""
    return link.name in facts.networks.bridges or is_named_by_engine(link.name)


def is_engine_veth(name: str) -> bool:
    """Whether a link is called as the engine calls a container's `veth`."""
    return name.startswith(VETH)


def engine_links(facts: Facts) -> frozenset[int]:
    """The indexes of the engine's bridges and their ports."""
    links = facts.host.links.values()
    bridges = {link.index for link in links if link.kind not in GUEST_KINDS and is_engine_bridge(link, facts)}
    return frozenset(link.index for link in links if link.index in bridges or link.master in bridges)


def guest_links(host: Host) -> frozenset[int]:
    """The indexes of the links that lead to guests: bridges whose ports are all guests', and such ports.

    A bridge with a physical port, a VLAN or a bond leads to other hosts as well. A link of `GUEST_KINDS` that
    is no bridge's port leads to a guest where this network namespace has a physical link. Elsewhere it may
    lead to the outside: this may be a guest itself.
    """
    physical = False
    bridges, to_others, guest_ends = set[int](), set[int](), list[Link]()
    for link in host.links.values():
        if link.kind in GUEST_KINDS:
            guest_ends.append(link)
            continue
        physical |= link.kind is None and not link.loopback
        if link.kind == BRIDGE:
            bridges.add(link.index)
        if link.master is not None:
            to_others.add(link.master)
    ends = (link.index for link in guest_ends if link.master in bridges or (not link.master and physical))
    return frozenset(bridges - to_others).union(ends)
