"""Fast paths: what the thread of the events has begun, for the tests of what becomes of it."""

from ipaddress import IPv6Address

from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.engine.connect_early import EarlyConnects, Sent
from dockeripv6mapper.engine.journal import Journal
from dockeripv6mapper.engine.under_way import UnderWay
from dockeripv6mapper.mapping.networks import Networks
from dockeripv6mapper.mapping.outlook import Outlook
from dockeripv6mapper.settings import Settings
from tests.unit import builders
from tests.unit.builders import IMAGE

CREATED = builders.container(container_id="6ba2", network="he_ipv6")


def fast_path(client: Client, journal: Journal, under_way: UnderWay | None = None) -> EarlyConnects:
    """One that may connect anything."""
    path = EarlyConnects(client, journal, under_way or UnderWay())
    path.subscribed()
    host, networks = builders.host(), Networks((builders.network(),))
    nobodys: frozenset[IPv6Address] = frozenset()
    path.publish(
        Outlook(Settings(), networks, {IMAGE: {}}, host, nobodys, nobodys, images_as_of=1, connects=0)
    )
    return path


def begun(client: Client, journal: Journal) -> Sent:
    """A connect that the engine was asked for at once."""
    path = fast_path(client, journal)
    sent = path.connect(CREATED, 0)
    path.close()
    assert sent is not None
    return sent
