"""Containers: their labels, what was refused and why, and how likely two names come to one address."""

import math
from collections.abc import Iterator
from ipaddress import IPv6Address

from dockeripv6mapper.checks import fixes
from dockeripv6mapper.checks.examined import Examined
from dockeripv6mapper.checks.finding import Finding, fail, ok, warn
from dockeripv6mapper.mapping import labels
from dockeripv6mapper.mapping.addressing import hash_bits
from dockeripv6mapper.mapping.ports import ALL, parse_ports
from dockeripv6mapper.mapping.trust import labels_of_the_image
from dockeripv6mapper.model import Container, Mapping, Network, Reason, Refusal, RefusedError

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
    subject = f"container {container.name}"
    for oddity in labels.oddities(container.labels, labels.CONTAINER_LABELS):
        yield warn(
            "label",
            subject,
            oddity,
            why="the label does nothing",
            fix=fixes.run_again([container], "with the label that was meant"),
        )
    for label in labels_of_the_image(container, examined.facts, examined.settings):
        yield ok("label", subject, f"label {labels.shown(label)} is its image's own, and does not count")
    try:
        parse_ports(container.labels.get(labels.PORTS, ALL), SOME_ADDRESS)
    except RefusedError as no:
        yield fail(
            "ports",
            subject,
            no.refusal.detail,
            why="none of its ports is opened",
            fix=fixes.run_again([container], "with a label that can be read"),
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
        name = container.labels.get(labels.NETWORK, "")
        fix = f"{fixes.PROGRAM} {allowing(examined, name)} doctor"
    else:
        fix = fixes.run_again([container], REMEDIES.get(decision.reason, ANOTHER_SUFFIX))
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
    try:
        network = examined.facts.networks.find(container.labels.get(labels.NETWORK, "").strip())
        labels.request(container.labels)
    except RefusedError:
        return False
    return labels.SCHEME in network.labels


def allowing(examined: Examined, name: str) -> str:
    """The options that allow the networks that are allowed already, and one more."""
    names = [*sorted(examined.settings.allow_networks), name.strip()]
    return " ".join(f"--allow-network {fixes.quoted(each)}" for each in names)


def _collisions(examined: Examined, network: Network) -> Iterator[Finding]:
    """The chance that two of so many names hash to one address (the birthday problem)."""
    identities = set()
    for container in examined.facts.containers.values():
        decision = examined.desired.decision(container.id)
        if not isinstance(decision, Mapping) or decision.network_id != network.id:
            continue
        if labels.SUFFIX not in container.labels:
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
    recipe = examined.surroundings.recipes.get(network.id)
    yield warn(
        "collisions",
        f"network {network.name}",
        found,
        why="of two containers of one address, the later one is refused",
        fix=fixes.recreate(examined, network, fixes.with_another_subnet(recipe, examined))
        + "\n# which changes the addresses; or give the containers suffixes of their own"
        if recipe
        else "",
    )
