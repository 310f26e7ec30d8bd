"""The outlook: what a create event can be answered by at once, without looking at anything first.

It is made by the controller, handed over whole and never changed, so that another thread may decide by it.
Whatever is not plain from it is left to the passes, which may look closer: a connect that makes a start
fail is worse than one that comes late.
"""

from collections.abc import Container as Collection
from collections.abc import Mapping as MappingOf
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from ipaddress import IPv6Address

from dockeripv6mapper.actions import Connect
from dockeripv6mapper.mapping.desired import resolve
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.networks import Networks
from dockeripv6mapper.mapping.planner import plan_endpoint
from dockeripv6mapper.model import Container, Host, Mapping
from dockeripv6mapper.settings import Settings


@dataclass(frozen=True, slots=True)
class Outlook:
    """What was known when it was made."""

    settings: Settings
    networks: Networks
    images: MappingOf[str, MappingOf[str, str] | None]
    host: Host
    taken: AbstractSet[IPv6Address]
    """Every address that a container has, asked for, or is to have."""
    exposed: Collection[IPv6Address]
    """Addresses at which more may be let through than is wanted: no container is to get one now."""
    images_as_of: int
    """How many changes of images `images` accounts for: after another one, a name may mean another image."""
    connects: int
    """How many of the connects that were begun by such an outlook `taken` accounts for."""

    def connect(self, created: Container) -> Connect | None:
        """What to ask the engine for, for a container that was just created; None: that is not plain."""
        facts = Facts({}, self.networks, self.images, self.host)
        decision = resolve(created, facts, self.settings)
        if not isinstance(decision, Mapping) or decision.address in self.taken:
            return None
        if decision.address in self.exposed:
            return None
        action = plan_endpoint(created, decision, facts)
        return action if isinstance(action, Connect) else None
