"""Needs: what containers need of the host, kept container by container.

Pure. One container's event changes only that container's needs, and touches only its own proxy entries.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from ipaddress import IPv6Address

from dockeripv6mapper.model import Opening, ProxyEntry, Refusal


@dataclass(frozen=True, slots=True)
class Needs:
    """What one container needs of the host."""

    entries: frozenset[ProxyEntry] = frozenset()
    """Proxy entries."""
    openings: tuple[Opening, ...] = ()
    """Ports that a label opens at its address."""
    closed: IPv6Address | None = None
    """Its address, where all other ports are to be closed there."""
    unjudged: IPv6Address | None = None
    """Its address, where the image is gone, so the ports label cannot be judged. Open ports stay open."""
    ports_refused: Refusal | None = None
    """Why the ports label opens nothing."""
    routed: bool = False
    """Whether its packets are routed by this host, which must forward then."""


NONE = Needs()


class HostNeeds:
    """The needs of all containers."""

    def __init__(self) -> None:
        self._needs: dict[str, Needs] = {}
        """By container ID; only those that need anything."""
        self._containers: dict[ProxyEntry, set[str]] = {}
        """The containers that need each entry: an address may pass from one container to the next."""
        self.routing = False
        """Whether this host routes packets of a container, or did: forwarding is not switched off again."""
        self.proxying = False
        """Whether any container needs a proxy entry, or did."""
        self._rules: tuple[frozenset[Opening], frozenset[IPv6Address], frozenset[IPv6Address]] | None = None
        """All openings, closed and unjudged addresses; None: not collected since a container's changed."""

    def of(self, container_id: str) -> Needs:
        """What one container needs."""
        return self._needs.get(container_id, NONE)

    def put(self, container_id: str, needs: Needs) -> frozenset[ProxyEntry]:
        """Replace the needs of one container. Returns the entries that it needed or needs."""
        before = self.of(container_id)
        for entry in before.entries - needs.entries:
            self._containers[entry].discard(container_id)
            if not self._containers[entry]:
                del self._containers[entry]
        for entry in needs.entries:
            self._containers.setdefault(entry, set()).add(container_id)
        self.routing |= needs.routed
        self.proxying |= bool(needs.entries)
        if _rules(before) != _rules(needs):
            self._rules = None
        if needs == NONE:
            self._needs.pop(container_id, None)
        else:
            self._needs[container_id] = needs
        return before.entries | needs.entries

    @property
    def entries(self) -> AbstractSet[ProxyEntry]:
        """All proxy entries that any container needs."""
        return self._containers.keys()

    @property
    def openings(self) -> frozenset[Opening]:
        """All ports that labels open."""
        return self._collected()[0]

    @property
    def closed(self) -> frozenset[IPv6Address]:
        """All addresses at which the other ports are to be closed."""
        return self._collected()[1]

    @property
    def unjudged(self) -> frozenset[IPv6Address]:
        """All addresses whose ports label cannot be judged."""
        return self._collected()[2]

    def _collected(self) -> tuple[frozenset[Opening], frozenset[IPv6Address], frozenset[IPv6Address]]:
        if self._rules is None:
            needs = self._needs.values()
            self._rules = (
                frozenset(opening for each in needs for opening in each.openings),
                frozenset(each.closed for each in needs if each.closed is not None),
                frozenset(each.unjudged for each in needs if each.unjudged is not None),
            )
        return self._rules


def _rules(needs: Needs) -> tuple[object, ...]:
    return needs.openings, needs.closed, needs.unjudged
