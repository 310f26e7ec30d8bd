"""Containers: checks their labels, reports refusals, and computes how likely two names get one address."""

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
from dockeripv6mapper.model import AddressMapping, Container, Network, Reason, Refusal, RefusedError
from dockeripv6mapper.settings import Scheme

ANY_ADDRESS = IPv6Address(0)
"""An address for `parse_ports` where only its errors matter."""
TWO = 2
LIKELY = 0.01
"""From this probability of a collision on, there is a warning."""

NETWORK_REASONS = (
    Reason.NETWORK_NOT_FOUND,
    Reason.NETWORK_AMBIGUOUS,
    Reason.NETWORK_WITHOUT_IPV6,
    Reason.NETWORK_PREDEFINED,
    Reason.NETWORK_ACCEPTS_NO_ADDRESS,
    Reason.NETWORK_UNSUPPORTED,
)
"""Refusals that `network_checks` reports."""

ANOTHER_SUFFIX = "with another --label ipv6.mapper.suffix=…"
CHANGES = {
    Reason.INVALID_LABEL: "with a valid label",
    Reason.IMAGE_GONE: "from an image that exists",
    Reason.NOT_CONNECTABLE: "without --network host, none or container:…",
    Reason.MAC_ADDRESS: "without --network of that network, or without its MAC address",
    Reason.SUFFIX_TOO_WIDE: "with a shorter --label ipv6.mapper.suffix=…",
}
"""With which change a refused container is to be run again, by reason; otherwise with `ANOTHER_SUFFIX`."""


def check(facts: DoctorFacts) -> Iterator[Finding]:
    """Findings on each container that carries a label of the mapper, and on collisions on their networks."""
    for container in sorted(facts.system.containers.values(), key=lambda each: each.name):
        yield from _labels(facts, container)
        yield from _refusal(facts, container)
    for network in facts.relevant_networks():
        yield from _collisions(facts, network)


def _labels(facts: DoctorFacts, container: Container) -> Iterator[Finding]:
    subject, effective = f"container {container.name}", facts.effective_labels(container)
    for sentence in labels.ineffective_labels(effective, labels.CONTAINER_LABELS):
        yield warn(
            "label",
            subject,
            sentence,
            why="the label does nothing",
            fix=fixes.run_again(facts, [container], "with the label that was meant"),
        )
    for label in labels_of_the_image(container, facts.system, facts.settings):
        yield ok("label", subject, f"label {labels.shown(label)} comes from the image, and is ignored")
    try:
        parse_ports(effective.get(labels.PORTS, ALL), ANY_ADDRESS)
    except RefusedError as error:
        yield fail(
            "ports",
            subject,
            error.refusal.detail,
            why="none of its ports is opened",
            fix=fixes.run_again(facts, [container], "with a valid label"),
        )


def _refusal(facts: DoctorFacts, container: Container) -> Iterator[Finding]:
    decision = facts.desired.decision(container.id)
    if isinstance(decision, AddressMapping):
        yield ok("mapping", f"container {container.name}", f"gets the address {decision.address}")
    if not isinstance(decision, Refusal) or not decision.reason.is_fault:
        return
    if decision.reason in NETWORK_REASONS or _is_network_label(facts, container, decision):
        return
    if decision.reason is Reason.NETWORK_NOT_ALLOWED:
        fix = fixes.with_options(_allowing(facts, container))
    else:
        fix = fixes.run_again(facts, [container], CHANGES.get(decision.reason, ANOTHER_SUFFIX))
    yield fail(
        "mapping",
        f"container {container.name}",
        f"{decision.detail} [{decision.reason.value}]",
        why="the container is not mapped",
        fix=fix,
    )


def _is_network_label(facts: DoctorFacts, container: Container, refusal: Refusal) -> bool:
    """Whether the invalid label is the network's, not the container's."""
    if refusal.reason is not Reason.INVALID_LABEL:
        return False
    effective = facts.effective_labels(container)
    try:
        network = facts.system.networks.find(effective.get(labels.NETWORK, "").strip())
        labels.request(effective)
    except RefusedError:
        return False
    return labels.SCHEME in network.labels


def _allowing(facts: DoctorFacts, container: Container) -> str:
    """The options that allow a container's network besides those that are allowed now."""
    network = facts.system.networks.find(facts.effective_labels(container)[labels.NETWORK].strip())
    names = [*sorted(facts.settings.allow_networks), network.name]
    return " ".join(f"--allow-network {fixes.quoted(each)}" for each in names)


def _collisions(facts: DoctorFacts, network: Network) -> Iterator[Finding]:
    """The probability that two of the names on a network hash to one address (the birthday problem)."""
    identities = set()
    for container in facts.system.containers.values():
        decision = facts.desired.decision(container.id)
        if not isinstance(decision, AddressMapping) or decision.network_id != network.id:
            continue
        if labels.SUFFIX not in facts.effective_labels(container):
            identities.add(decision.identity)
    if len(identities) < TWO:
        return
    scheme = labels.scheme(network.labels, facts.settings.scheme)
    bits = hash_bits(network.subnets[0], scheme)
    count = len(identities)
    chance = -math.expm1(-count * (count - 1) / 2 / 2**bits)
    found = f"the chance that two of {count} names hash to the same {bits} bits is {chance:.1g}"
    if chance < LIKELY:
        yield ok("collisions", f"network {network.name}", found)
        return
    yield warn(
        "collisions",
        f"network {network.name}",
        found,
        why="of two containers with one address, the later one is refused",
        fix=f"# this changes its containers' addresses; labels {labels.SUFFIX}=… would do as well:\n"
        + fixes.recreate(facts, network, partial(_with_more_bits, facts, network.subnets[0])),
    )


def _with_more_bits(facts: DoctorFacts, subnet: IPv6Network, config: NetworkConfig) -> NetworkConfig:
    """The same network with more bits for addresses: by the scheme if that helps, else by another subnet."""
    if hash_bits(subnet, Scheme.WIDE) > hash_bits(subnet, Scheme.MD5_24):
        return fixes.with_scheme(config, Scheme.WIDE)
    return fixes.with_another_subnet(config, facts)
