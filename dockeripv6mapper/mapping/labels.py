"""Labels and names: what a container or a network asks of the mapper.

Every value is untrusted text. Which of it can be granted is decided in `desired`.
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
UPLINK = PREFIX + "uplink"
SCHEME = PREFIX + "scheme"

CONTAINER_LABELS = (NETWORK, SUFFIX, PORTS, PROXY)
NETWORK_LABELS = (UPLINK, SCHEME)

SWARM_TASK_ID = "com.docker.swarm.task.id"
COMPOSE_PROJECT = "com.docker.compose.project"

KNOWN = (*CONTAINER_LABELS, *NETWORK_LABELS, SWARM_TASK_ID, COMPOSE_PROJECT)
"""The labels that say anything here; of any other, an inventory need not keep the value."""

_SUFFIX = re.compile(r"(?:::)?([0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{1,4}){0,7})")
_COMPOSE_RECREATED = re.compile(r"[0-9a-f]{12}_(?P<name>.+)", re.DOTALL)
_BOOLEANS = {"true": True, "false": False}
_SHOWN_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Request:
    """What a container's labels ask for."""

    network: str
    suffix: int | None
    """The host part as a number; None: from the identity."""


def identity(name: str, labels: Labels) -> str:
    """The string that is hashed: the container's name, without what changes at a recreation.

    A Swarm task `service.slot.taskid` is `service.slot`. What Compose calls `<12 hex>_<name>` while it
    replaces `<name>` is `<name>`; only where Compose's own label is there, since the same name given by
    hand is a name like any other.
    """
    task = labels.get(SWARM_TASK_ID)
    if task and name.endswith(f".{task}"):
        return name.removesuffix(f".{task}")
    if COMPOSE_PROJECT in labels and (recreated := _COMPOSE_RECREATED.fullmatch(name)):
        return recreated["name"]
    return name


def of_the_user(labels: Labels, image_labels: Labels) -> dict[str, str]:
    """The labels without those that merely repeat the image's own.

    The engine merges an image's labels into its containers', so whoever publishes an image could
    otherwise expose it on somebody else's host, or choose which address it gets.
    """
    return {label: value for label, value in labels.items() if image_labels.get(label) != value}


def request(labels: Labels) -> Request | None:
    """What `labels` ask for; None where they name no network.

    Raises `RefusedError(INVALID_LABEL)` where any value cannot be understood: the whole of it is refused
    then, since half of what was asked for may be the dangerous half.
    """
    proxy_override(labels)
    if (network := labels.get(NETWORK)) is None:
        return None
    if not network.strip():
        raise invalid(NETWORK, network, "a network's name or ID")
    suffix = labels.get(SUFFIX)
    return Request(network.strip(), None if suffix is None else parse_suffix(suffix))


def proxy_override(labels: Labels) -> bool | None:
    """The container's own word on proxying; None: not said.

    Raises `RefusedError(INVALID_LABEL)`.
    """
    if (text := labels.get(PROXY)) is None:
        return None
    if (value := _BOOLEANS.get(text.strip().lower())) is None:
        raise invalid(PROXY, text, "true or false")
    return value


def parse_suffix(text: str) -> int:
    """`ab:cd:56`, `5`, `::a:1`: 1 to 8 hextets, right-aligned, as one number.

    Raises `RefusedError(INVALID_LABEL)`.
    """
    if (match := _SUFFIX.fullmatch(text.strip())) is None:
        raise invalid(SUFFIX, text, "1 to 8 groups of up to 4 hexadecimal digits, as in ab:cd:56")
    value = 0
    for hextet in match[1].split(":"):
        value = value << 16 | int(hextet, 16)
    return value


def scheme(labels: Labels, default: Scheme) -> Scheme:
    """The scheme of a network with these labels. Raises `RefusedError(INVALID_LABEL)`."""
    if (text := labels.get(SCHEME)) is None:
        return default
    try:
        return Scheme(text.strip().lower())
    except ValueError:
        known = " or ".join(each.value for each in Scheme)
        raise invalid(SCHEME, text, known) from None


def oddities(labels: Labels, known: tuple[str, ...]) -> list[str]:
    """A sentence for each of the mapper's labels that does nothing: a misspelt one, one without a network."""
    sentences = []
    for label in sorted(labels):
        if not label.startswith(PREFIX) or label in known:
            continue
        nearest = difflib.get_close_matches(label, known, n=1, cutoff=0.0)
        meant = f"; did you mean {nearest[0]}?" if nearest else ""
        sentences.append(f"label {shown(label)} is not known{meant}")
    lonely = (label for label in (SUFFIX, PORTS) if label in labels and label in known)
    if NETWORK not in labels:
        sentences += [f"label {label} does nothing without {NETWORK}" for label in lonely]
    return sentences


def shown(text: str) -> str:
    """`text` as it may stand in a log line: quoted, escaped and not too long, whatever it holds."""
    return ascii(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…")


def plain(text: str) -> str:
    """`text` unquoted where it can stand in a line as it is, else as `shown` has it."""
    return text if text.isprintable() and len(text) <= _SHOWN_CHARACTERS else shown(text)


def invalid(label: str, value: str, expected: str) -> RefusedError:
    """The error for a value, or one item of it, that cannot be understood."""
    return RefusedError(Reason.INVALID_LABEL, f"label {label}={shown(value)}: expected {expected}")
