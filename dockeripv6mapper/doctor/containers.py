"""Containers: their labels, what was refused and why, and how likely two names come to one address."""

import math
from collections.abc import Iterator
from functools import partial
from ipaddress import IPv6Address, IPv6Network

from dockeripv6mapper.doctor import fixes
from dockeripv6mapper.doctor.facts import Examined
from dockeripv6mapper.doctor.finding import Finding, fail, ok, warn
from dockeripv6mapper.engine_config import NetworkConfig
from dockeripv6mapper.mapping import labels
from dockeripv6mapper.mapping.addressing import hash_bits
from dockeripv6mapper.mapping.image_labels import labels_of_the_image
from dockeripv6mapper.mapping.ports import ALL, parse_ports
from dockeripv6mapper.model import Container, Mapping, Network, Reason, Refusal, RefusedError
from dockeripv6mapper.settings import Scheme

SOME_ADDRESS = IPv6Address(0)
"""For a label that is only to be read."""
TWO = 2
LIKELY = 0.01
"""A chance of a collision that is worth a word."""

SAID_OF_THE_NETWORK = (
    Reason.NETWORK_NOT_FOUND,
    Reason.NETWORK_AMBIGUOUS,
    Reason.NETWORK_WITHOUT_IPV6,
    Reason.NETWORK_PREDEFINED,
)
"""Refusals that `networks` has said already."""

ANOTHER_SUFFIX = "with another --label ipv6.mapper.suffix=…"
REMEDIES = {
    Reason.INVALID_LABEL: "with a label that can be read",
    Reason.IMAGE_GONE: "from an image that is there",
    Reason.NOT_CONNECTABLE: "without --network host, none or container:…",
    Reason.SUFFIX_TOO_WIDE: "with a shorter --label ipv6.mapper.suffix=…",
}
"""How a container that is refused has to be run instead; where nothing is said, with another suffix."""


def check(examined: Examined) -> Iterator[Finding]:
    """Every container that carries a label of the mapper's, and the networks that they share."""
    for container in sorted(examined.facts.containers.values(), key=lambda each: each.name):
        yield from _labels(examined, container)
        yield from _refusal(examined, container)
    for network in examined.networks():
        yield from _collisions(examined, network)


def _labels(examined: Examined, container: Container) -> Iterator[Finding]:
    subject, given = f"container {container.name}", examined.given(container)
    for oddity in labels.oddities(given, labels.CONTAINER_LABELS):
        yield warn(
            "label",
            subject,
            oddity,
            why="the label does nothing",
            fix=fixes.run_again(examined, [container], "with the label that was meant"),
        )
    for label in labels_of_the_image(container, examined.facts, examined.settings):
        yield ok("label", subject, f"label {labels.shown(label)} is its image's own, and does not count")
    try:
        parse_ports(given.get(labels.PORTS, ALL), SOME_ADDRESS)
    except RefusedError as no:
        yield fail(
            "ports",
            subject,
            no.refusal.detail,
            why="none of its ports is opened",
            fix=fixes.run_again(examined, [container], "with a label that can be read"),
        )


def _refusal(examined: Examined, container: Container) -> Iterator[Finding]:
    decision = examined.desired.decision(container.id)
    if isinstance(decision, Mapping):
        yield ok("mapping", f"container {container.name}", f"is to be at {decision.address}")
    if not isinstance(decision, Refusal) or not decision.reason.is_fault:
        return
    if decision.reason in SAID_OF_THE_NETWORK or _is_of_the_network(examined, container, decision):
        return
    if decision.reason is Reason.NETWORK_NOT_ALLOWED:
        fix = fixes.with_options(_allowing(examined, container))
    else:
        fix = fixes.run_again(examined, [container], REMEDIES.get(decision.reason, ANOTHER_SUFFIX))
    yield fail(
        "mapping",
        f"container {container.name}",
        f"{decision.detail} [{decision.reason.value}]",
        why="the container is not mapped",
        fix=fix,
    )


def _is_of_the_network(examined: Examined, container: Container, refusal: Refusal) -> bool:
    """Whether it is the network's label that cannot be read."""
    if refusal.reason is not Reason.INVALID_LABEL:
        return False
    given = examined.given(container)
    try:
        network = examined.facts.networks.find(given.get(labels.NETWORK, "").strip())
        labels.request(given)
    except RefusedError:
        return False
    return labels.SCHEME in network.labels


def _allowing(examined: Examined, container: Container) -> str:
    """The options that allow the networks that are allowed already, and a container's."""
    network = examined.facts.networks.find(examined.given(container)[labels.NETWORK].strip())
    names = [*sorted(examined.settings.allow_networks), network.name]
    return " ".join(f"--allow-network {fixes.quoted(each)}" for each in names)


def _collisions(examined: Examined, network: Network) -> Iterator[Finding]:
    """The chance that two of so many names hash to one address (the birthday problem)."""
    identities = set()
    for container in examined.facts.containers.values():
        decision = examined.desired.decision(container.id)
        if not isinstance(decision, Mapping) or decision.network_id != network.id:
            continue
        if labels.SUFFIX not in examined.given(container):
            identities.add(decision.identity)
    if len(identities) < TWO:
        return
    scheme = labels.scheme(network.labels, examined.settings.scheme)
    bits = hash_bits(network.subnets[0], scheme)
    count = len(identities)
    chance = -math.expm1(-count * (count - 1) / 2 / 2**bits)
    found = f"the chance that two of {count} names come to the same {bits} bits is {chance:.1g}"
    if chance < LIKELY:
        yield ok("collisions", f"network {network.name}", found)
        return
    yield warn(
        "collisions",
        f"network {network.name}",
        found,
        why="of two containers of one address, the later one is refused",
        fix=f"# this changes its containers' addresses; labels {labels.SUFFIX}=… would do as well:\n"
        + fixes.recreate(examined, network, partial(_with_more_bits, examined, network.subnets[0])),
    )


def _with_more_bits(examined: Examined, subnet: IPv6Network, recipe: NetworkConfig) -> NetworkConfig:
    """The same network, with room for more addresses: by the scheme, if that leaves any out."""
    if hash_bits(subnet, Scheme.WIDE) > hash_bits(subnet, Scheme.MD5_24):
        return fixes.with_scheme(recipe, Scheme.WIDE)
    return fixes.with_another_subnet(recipe, examined)
