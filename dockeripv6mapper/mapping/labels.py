"""Labels: what a container's or a network's labels ask for, and the identity in a container's name.

Every value is untrusted text. `resolution` and `desired` decide whether a request is granted.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from dockeripv6mapper.model import Reason, RefusedError
from dockeripv6mapper.settings import Scheme

Labels: TypeAlias = Mapping[str, str]

PREFIX = "ipv6.mapper."
NETWORK = PREFIX + "network"
SUFFIX = PREFIX + "suffix"
PORTS = PREFIX + "ports"
PROXY = PREFIX + "proxy"
DEFAULT_ROUTE = PREFIX + "default-route"
UPLINK = PREFIX + "uplink"
SCHEME = PREFIX + "scheme"

CONTAINER_LABELS = (NETWORK, SUFFIX, PORTS, PROXY, DEFAULT_ROUTE)
NETWORK_LABELS = (UPLINK, SCHEME)

SWARM_TASK_ID = "com.docker.swarm.task.id"
COMPOSE_PROJECT = "com.docker.compose.project"

KNOWN = (*CONTAINER_LABELS, *NETWORK_LABELS, SWARM_TASK_ID, COMPOSE_PROJECT)
"""The labels whose values are read."""

_SUFFIX = re.compile(r"(?:::)?([0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{1,4}){0,7})")
_COMPOSE_RECREATED = re.compile(r"[0-9a-f]{12}_(?P<name>.+)", re.DOTALL)
_BOOLEANS = {"true": True, "false": False}
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Request:
    """A container's request for an address."""

    network: str
    """A name or an ID."""
    suffix: int | None
    """The host part as a number; None: it is computed from the identity."""


def identity(name: str, labels: Labels) -> str:
    """The string that is hashed: the container's name, without the parts that change at a recreation.

    A Swarm task `service.slot.taskid` is `service.slot`. While Compose replaces `<name>`, one of the two
    containers is called `<12 hex>_<name>`: its identity is `<name>`. This needs Compose's own label, since a
    user may choose such a name as well.
    """
    task = labels.get(SWARM_TASK_ID)
    if task and name.endswith(f".{task}"):
        return name.removesuffix(f".{task}")
    if COMPOSE_PROJECT in labels and (recreated := _COMPOSE_RECREATED.fullmatch(name)):
        return recreated["name"]
    return name


def user_labels(labels: Labels, image_labels: Labels) -> dict[str, str]:
    """The labels whose value is not the image's own.

    The engine merges an image's labels into those of its containers. If an image's labels counted,
    its publisher could expose its containers on any host, or choose their addresses.
    """
    return {label: value for label, value in labels.items() if image_labels.get(label) != value}


def request(labels: Labels) -> Request | None:
    """The request that `labels` make; None where they name no network.

    Raises `RefusedError(INVALID_LABEL)` where any value is invalid. Then all of the request is refused: the
    invalid part may be the one that makes the rest safe.
    """
    for override in (proxy_override, default_route_override):
        override(labels)  # raises where its label is invalid
    if (network := labels.get(NETWORK)) is None:
        return None
    if not network.strip():
        raise invalid(NETWORK, network, "a network's name or ID")
    suffix = labels.get(SUFFIX)
    return Request(network.strip(), None if suffix is None else parse_suffix(suffix))


def proxy_override(labels: Labels) -> bool | None:
    """Whether the container's address is to be proxied; None: the label is not set.

    Raises `RefusedError(INVALID_LABEL)`.
    """
    return _boolean(labels, PROXY)


def default_route_override(labels: Labels) -> bool | None:
    """Whether the IPv6 default route is to go over the mapped network; None: the label is not set.

    Raises `RefusedError(INVALID_LABEL)`.
    """
    return _boolean(labels, DEFAULT_ROUTE)


def _boolean(labels: Labels, label: str) -> bool | None:
    """The value of a label, `true` or `false`; None: not set. Raises `RefusedError(INVALID_LABEL)`."""
    if (text := labels.get(label)) is None:
        return None
    if (value := _BOOLEANS.get(text.strip().lower())) is None:
        raise invalid(label, text, "true or false")
    return value


def parse_suffix(text: str) -> int:
    """`ab:cd:56`, `5`, `::a:1` → a number: 1 to 8 hextets, right-aligned.

    Raises `RefusedError(INVALID_LABEL)`.
    """
    if (match := _SUFFIX.fullmatch(text.strip())) is None:
        raise invalid(SUFFIX, text, "1 to 8 groups of up to 4 hexadecimal digits, as in ab:cd:56")
    value = 0
    for hextet in match[1].split(":"):
        value = value << 16 | int(hextet, 16)
    return value


def scheme(labels: Labels, default: Scheme) -> Scheme:
    """The address scheme of a network with these labels. Raises `RefusedError(INVALID_LABEL)`."""
    if (text := labels.get(SCHEME)) is None:
        return default
    try:
        return Scheme(text.strip().lower())
    except ValueError:
        known = " or ".join(each.value for each in Scheme)
        raise invalid(SCHEME, text, known) from None


def ineffective_labels(labels: Labels, known: tuple[str, ...]) -> list[str]:
    """A warning for each `ipv6.mapper.*` label without effect: not among `known`, or without a network."""
    sentences = []
    for label in sorted(labels):
        if not label.startswith(PREFIX) or label in known:
            continue
        nearest = difflib.get_close_matches(label, known, n=1, cutoff=0.0)
        meant = f"; did you mean {nearest[0]}?" if nearest else ""
        sentences.append(f"label {shown(label)} is not known{meant}")
    if NETWORK not in labels:
        needing_network = (SUFFIX, PORTS, DEFAULT_ROUTE)
        without_network = (label for label in needing_network if label in labels and label in known)
        sentences += [f"label {label} does nothing without {NETWORK}" for label in without_network]
    return sentences


def shown(text: str) -> str:
    """Untrusted `text` for a log line: quoted, escaped and shortened."""
    return ascii(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…")


def plain(text: str) -> str:
    """`text` without quotes where it is printable and short, else as `shown` writes it."""
    return text if text.isprintable() and len(text) <= _SHOWN_CHARACTERS else shown(text)


def invalid(label: str, value: str, expected: str) -> RefusedError:
    """The error for an invalid value, or for one invalid item of it."""
    return RefusedError(Reason.INVALID_LABEL, f"label {label}={shown(value)}: expected {expected}")
