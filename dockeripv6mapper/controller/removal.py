"""Removal: whether a pass removes everything of ours that no container needs, and where it removes nothing.

At an address of which too little is known, nothing is removed: `mapping.spared` says which these are.
"""

from dockeripv6mapper.mapping.desired import Affected, Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.spared import NOTHING, spared


class Removal:
    """The addresses that the last full pass spared, without those that became known since."""

    def __init__(self, desired: Desired) -> None:
        self._desired = desired
        self.spared = NOTHING
        """Nothing of ours is removed at these addresses."""
        self._on_hold: set[str] = set()
        """IDs of the containers that were on hold in the last full pass, and still are."""

    def update(self, facts: Facts, scope: Affected, *, whole: bool) -> bool:
        """Update the spared addresses. Returns whether to remove everything of ours that no container needs.

        True in a full pass, and again once none of the containers that were on hold in it still is.
        """
        on_hold = self._desired.on_hold
        were_on_hold = self._on_hold
        self._on_hold = on_hold.copy() if whole else were_on_hold & on_hold
        if whole or (were_on_hold and not self._on_hold):
            self.spared = spared(facts, on_hold)
            return True
        known = (facts.containers[each] for each in scope.containers - on_hold if each in facts.containers)
        self.spared = self.spared.without(
            endpoint.address for each in known for endpoint in each.endpoints if endpoint.address
        )
        return False
