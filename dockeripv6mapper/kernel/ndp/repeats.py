"""Repeated solicitations: a sign that the kernel's answers do not reach the solicitor. Pure.

Some providers drop Neighbour Discovery from link-local addresses, against address spoofing; some accept an
advertisement from its target only. A router that forwards solicits from a link-local address, and the kernel
answers for a proxy entry from one too (`ndisc_send_na` in `net/ipv6/ndisc.c`). The router does not receive
the answer, and repeats its solicitation.
"""

from ipaddress import IPv6Address

LEAST_SECONDS = 0.2
"""A sooner solicitation is a copy, or was sent before an answer to the first could arrive."""
MOST_SECONDS = 5.0
"""A solicitor repeats after RetransTimer, 1 s by default. One that has its answer does not probe again for
15 s, the least ReachableTime by default (RFC 4861 §6.3.2, §10)."""
MAX_REMEMBERED = 1024
"""The oldest solicitation is forgotten then: anyone on the link can send them from any number of sources."""


class Repeats:
    """The latest solicitation of each solicitor for each target."""

    def __init__(self) -> None:
        self._latest: dict[tuple[int, IPv6Address, IPv6Address], float] = {}

    def is_repeat(self, index: int, source: IPv6Address, target: IPv6Address, now: float) -> bool:
        """Whether a solicitor asks again, though the kernel has answered it. Remembers the solicitation.

        `index`: of the interface that it arrived on. `now`: seconds, of a monotonic clock.
        """
        key = (index, source, target)
        latest = self._latest.get(key)
        if latest is not None and now - latest < LEAST_SECONDS:
            return False
        self._latest.pop(key, None)
        if len(self._latest) >= MAX_REMEMBERED:
            del self._latest[next(iter(self._latest))]
        self._latest[key] = now
        return latest is not None and now - latest <= MOST_SECONDS
