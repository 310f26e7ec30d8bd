"""The fast path: what the thread of the events begins, and leaves to the passes."""

import time

import pytest

from dockeripv6mapper.actions import Connect, Restore
from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.engine.journal import Journal, Unfinished
from dockeripv6mapper.engine.raw_socket import SPARES
from dockeripv6mapper.engine.under_way import UnderWay
from tests.unit.builders import HE_IPV6, HE_IPV6_ID, MON_CONTAINER
from tests.unit.engine.fast_paths import CREATED, begun, fast_path
from tests.unit.engine.wire import Wire

CONNECT = Connect(CREATED.id, CREATED.name, HE_IPV6_ID, HE_IPV6, MON_CONTAINER)


@pytest.mark.usefixtures("wire")
def test_a_connect_begun_at_once_says_when_it_was_posted(client: Client, journal: Journal) -> None:
    """The engine is left a core from then on."""
    before = time.monotonic()
    sent = begun(client, journal)
    assert before <= sent.posted <= time.monotonic()
    sent.exchange.close()


def test_a_container_that_is_being_changed_is_left_to_who_changes_it(
    wire: Wire, client: Client, journal: Journal
) -> None:
    """A list may show it before its create event was read."""
    under_way = UnderWay()
    assert under_way.begin(Restore(CREATED.id, CREATED.name))
    path = fast_path(client, journal, under_way)
    assert path.connect(CREATED, 0) is None
    path.close()
    assert not [each for each in wire.asked if each.endswith("/connect")]
    assert not journal.has(CREATED.id)


@pytest.mark.usefixtures("wire")
def test_the_note_of_who_changes_a_container_stays(client: Client, journal: Journal) -> None:
    """It may say what its user had set."""
    under_way, note = UnderWay(), Unfinished(HE_IPV6_ID, HE_IPV6, {"Aliases": ["chosen"]})
    assert under_way.begin(Restore(CREATED.id, CREATED.name))
    journal.write(CREATED.id, note)
    path = fast_path(client, journal, under_way)
    assert path.connect(CREATED, 0) is None
    path.close()
    assert journal.read(CREATED.id) == note


@pytest.mark.usefixtures("wire")
def test_a_connect_that_was_begun_is_under_way_until_somebody_has_read_its_answer(
    client: Client, journal: Journal
) -> None:
    """The controller does not change the container meanwhile."""
    under_way = UnderWay()
    path = fast_path(client, journal, under_way)
    sent = path.connect(CREATED, 0)
    path.close()
    assert sent is not None
    sent.exchange.close()
    assert under_way.all() == [sent.action]
    assert not under_way.begin(CONNECT)
    under_way.end(CREATED.id)
    assert under_way.begin(CONNECT)


def test_a_connect_that_could_not_be_asked_for_leaves_no_note(
    wire: Wire, client: Client, journal: Journal
) -> None:
    """The engine has ended the connections meanwhile."""
    under_way = UnderWay()
    path = fast_path(client, journal, under_way)
    wire.hang_up()
    assert path.connect(CREATED, 0) is None
    path.close()
    assert not journal.has(CREATED.id)
    assert not under_way.all()


@pytest.mark.usefixtures("wire")
def test_a_connect_that_could_not_be_begun_is_not_under_way(client: Client, journal: Journal) -> None:
    """Neither where no note can be made, nor without a connection to spare; the passes do it then."""
    under_way = UnderWay()
    path = fast_path(client, journal, under_way)
    journal.directory.parent.mkdir(exist_ok=True)
    journal.directory.touch()
    for _ in range(SPARES):
        assert path.connect(CREATED, 0) is None
        assert not under_way.all()
    journal.directory.unlink()
    assert path.connect(CREATED, 0) is None
    assert not under_way.all()
