"""Jobs: what workers do for the loop, and what comes back.

A question reads from the engine, a command runs nft or iptables, an action changes an endpoint. A count reads
all rules, and nothing waits for it.
"""

from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from dockeripv6mapper.actions import EndpointAction
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.model import Container, Decision, FirewallRules
from dockeripv6mapper.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TakeSnapshot:
    """List containers and networks. Result: a `Snapshot`."""


@dataclass(frozen=True, slots=True)
class ListNetworks:
    """List the networks. Result: a `Listed[Network]`."""


@dataclass(frozen=True, slots=True)
class ListImages:
    """List the images. Result: their labels, by ID and name.

    After a subscription and when images change, not at every pass: engine 29 takes 0.5 s of CPU for it.
    """


@dataclass(frozen=True, slots=True)
class InspectContainer:
    """Inspect one container. Result: a `Container`, or None where it is gone."""

    container_id: str


@dataclass(frozen=True, slots=True)
class InspectImage:
    """Inspect an image. Result: its labels, or None where it is gone."""

    image: str


@dataclass(frozen=True, slots=True)
class ListFirewall:
    """List our nft table. Result: its `FirewallRules`; None where it cannot be listed."""


@dataclass(frozen=True, slots=True)
class WriteFirewall:
    """Replace our nft table's contents by `rules`."""

    rules: FirewallRules


@dataclass(frozen=True, slots=True)
class PutAcceptRules:
    """Add our accept rules where they are missing. Result: a list of the places."""

    mark: int


@dataclass(frozen=True, slots=True)
class CloseForwarding:
    """Set the policy that the engine sets when it switches forwarding on. Result: a `Forwarded`."""


@dataclass(frozen=True, slots=True, eq=False)
class CountInbound:
    """Read all firewall rules, and count containers by what gets in. Result: a mapping from `Access`.

    For the metrics. On a worker's thread: with many containers, the rules take seconds to read and to trace.
    """

    decisions: tuple[tuple[Container, Decision], ...]
    facts: Facts
    settings: Settings


Question: TypeAlias = TakeSnapshot | ListNetworks | ListImages | InspectContainer | InspectImage
FirewallJob: TypeAlias = ListFirewall | WriteFirewall | PutAcceptRules
Command: TypeAlias = FirewallJob | CloseForwarding
"""nft and iptables, which may wait ten seconds for a lock."""
Job: TypeAlias = Question | Command | CountInbound | EndpointAction
"""An action's result is the container afterwards, unless it was attached just as asked."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a job."""

    asked: int
    """The cache's epoch when the job began: an answer may be older than a later event."""
    value: Any
    changed: bool = False
    """Whether an action changed anything."""


@dataclass(frozen=True, slots=True)
class Finished(Generic[T]):
    """A job has ended, with a result or an error."""

    job: T
    result: Any = None
    error: Exception | None = None
    seconds: float = 0.0
    """Run time, without the time in the queue."""
