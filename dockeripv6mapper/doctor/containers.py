"""Containers: their labels, what was refused and why, and how likely two names come to one address."""

import math
from collections.abc import Iterator
from functools import partial
from ipaddress import IPv6Address, IPv6Network

from dockeripv6mapper.doctor import fixes
from dockeripv6mapper.doctor.facts import DoctorFacts
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


def check(facts: DoctorFacts) -> Iterator[Finding]:
    """Every container that carries a label of the mapper's, and the networks that they share."""
    for container in sorted(facts.system.containers.values(), key=lambda each: each.name):
        yield from _labels(facts, container)
        yield from _refusal(facts, container)
    for network in facts.relevant_networks():
        yield from _collisions(facts, network)


def _labels(facts: DoctorFacts, container: Container) -> Iterator[Finding]:
    subject, given = f"container {container.name}", facts.effective_labels(container)
    for oddity in labels.oddities(given, labels.CONTAINER_LABELS):
        yield warn(
            "label",
            subject,
            oddity,
            why="the label does nothing",
            fix=fixes.run_again(facts, [container], "with the label that was meant"),
        )
    for label in labels_of_the_image(container, facts.system, facts.settings):
        yield ok("label", subject, f"label {labels.shown(label)} is its image's own, and does not count")
    try:
        parse_ports(given.get(labels.PORTS, ALL), SOME_ADDRESS)
    except RefusedError as no:
        yield fail(
            "ports",
            subject,
            no.refusal.detail,
            why="none of its ports is opened",
            fix=fixes.run_again(facts, [container], "with a label that can be read"),
        )


def _refusal(facts: DoctorFacts, container: Container) -> Iterator[Finding]:
    decision = facts.desired.decision(container.id)
    if isinstance(decision, Mapping):
        yield ok("mapping", f"container {container.name}", f"is to be at {decision.address}")
    if not isinstance(decision, Refusal) or not decision.reason.is_fault:
        return
    if decision.reason in SAID_OF_THE_NETWORK or _is_of_the_network(facts, container, decision):
        return
    if decision.reason is Reason.NETWORK_NOT_ALLOWED:
        fix = fixes.with_options(_allowing(facts, container))
    else:
        fix = fixes.run_again(facts, [container], REMEDIES.get(decision.reason, ANOTHER_SUFFIX))
    yield fail(
        "mapping",
        f"container {container.name}",
        f"{decision.detail} [{decision.reason.value}]",
        why="the container is not mapped",
        fix=fix,
    )


def _is_of_the_network(facts: DoctorFacts, container: Container, refusal: Refusal) -> bool:
    """Whether it is the network's label that cannot be read."""
    if refusal.reason is not Reason.INVALID_LABEL:
        return False
    given = facts.effective_labels(container)
    try:
        network = facts.system.networks.find(given.get(labels.NETWORK, "").strip())
        labels.request(given)
    except RefusedError:
        return False
    return labels.SCHEME in network.labels


def _allowing(facts: DoctorFacts, container: Container) -> str:
    """The options that allow the networks that are allowed already, and a container's."""
    network = facts.system.networks.find(facts.effective_labels(container)[labels.NETWORK].strip())
    names = [*sorted(facts.settings.allow_networks), network.name]
    return " ".join(f"--allow-network {fixes.quoted(each)}" for each in names)


def _collisions(facts: DoctorFacts, network: Network) -> Iterator[Finding]:
    """The chance that two of so many names hash to one address (the birthday problem)."""
    identities = set()
    for container in facts.system.containers.values():
        decision = facts.desired.decision(container.id)
        if not isinstance(decision, Mapping) or decision.network_id != network.id:
            continue
        if labels.SUFFIX not in facts.effective_labels(container):
            identities.add(decision.identity)
    if len(identities) < TWO:
        return
    scheme = labels.scheme(network.labels, facts.settings.scheme)
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
        + fixes.recreate(facts, network, partial(_with_more_bits, facts, network.subnets[0])),
    )


def _with_more_bits(facts: DoctorFacts, subnet: IPv6Network, config: NetworkConfig) -> NetworkConfig:
    """The same network, with room for more addresses: by the scheme, if that leaves any out."""
    if hash_bits(subnet, Scheme.WIDE) > hash_bits(subnet, Scheme.MD5_24):
        return fixes.with_scheme(config, Scheme.WIDE)
    return fixes.with_another_subnet(config, facts)
