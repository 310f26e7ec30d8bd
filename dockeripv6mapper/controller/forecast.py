"""The forecast: keeps current the outlook by which the thread of the events answers a creation."""

import logging
from collections.abc import Callable
from collections.abc import Container as Collection
from ipaddress import IPv6Address

from dockeripv6mapper.controller.workqueue import Jobs
from dockeripv6mapper.engine.cache import Inventory
from dockeripv6mapper.engine.connect_early import Sent
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.outlook import Outlook
from dockeripv6mapper.settings import Settings

log = logging.getLogger(__name__)


class Forecast:
    """What was published last, and what has been begun by it."""

    def __init__(self, publish: Callable[[Outlook], None], jobs: Jobs, settings: Settings) -> None:
        self._publish = publish
        self._jobs = jobs
        self._settings = settings
        self._connects = 0
        """How many connects were begun by an outlook."""

    def follow(self, sent: Sent) -> None:
        """A container that the inventory may not have yet is being connected."""
        self._connects += 1
        log.debug("asked the engine %.2f ms after the event: %s", sent.lag_ms, sent.action)
        self._jobs.follow(sent)

    def publish(
        self, inventory: Inventory, facts: Facts, desired: Desired, exposed: Collection[IPv6Address]
    ) -> None:
        """Have creations answered by what is known now; in a dry run, by nothing."""
        if self._settings.dry_run:
            return
        outlook = Outlook(
            settings=self._settings,
            networks=facts.networks,
            images=facts.images,
            host=facts.host,
            taken=desired.taken(),
            exposed=exposed,
            images_as_of=inventory.images_as_of,
            connects=self._connects,
        )
        self._publish(outlook)
