"""The fast path: what the thread of the events begins, and leaves to the passes."""

import logging
import threading
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial

import pytest

from dockeripv6mapper.actions import Connect, Restore
from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.engine.connect_early import EarlyConnects
from dockeripv6mapper.engine.journal import Journal, Unfinished
from dockeripv6mapper.engine.spares import SPARES
from dockeripv6mapper.engine.under_way import UnderWay
from dockeripv6mapper.errors import MapperError
from tests.lab.waiting import eventually
from tests.unit import builders
from tests.unit.builders import HE_IPV6, HE_IPV6_ID, MON_CONTAINER
from tests.unit.engine.fast_paths import CREATED, begun, fast_path
from tests.unit.engine.wire import HANG, Wire, answer

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


def test_an_address_is_handed_out_once_before_the_outlook_accounts_for_it(
    wire: Wire, client: Client, journal: Journal
) -> None:
    """Two containers of one suffix may be created before the controller has heard of the first."""
    path = fast_path(client, journal)
    another = replace(CREATED, id="7ba2", name=CREATED.name)
    sent = path.connect(CREATED, 0)
    assert sent is not None
    assert path.connect(another, 0) is None
    path.close()
    sent.exchange.close()
    assert not journal.has(another.id)
    eventually(lambda: [each.rpartition("/")[2] for each in wire.asked].count("connect") == 1)


def test_a_connect_that_could_not_be_asked_for_leaves_no_note(
    wire: Wire, client: Client, journal: Journal
) -> None:
    """The engine has ended the connections meanwhile, and takes no others."""
    under_way = UnderWay()
    path = fast_path(client, journal, under_way)
    wire.spoils = {"_ping": answer(503, "{}")}
    wire.hang_up()
    assert path.connect(CREATED, 0) is None
    path.close()
    assert not journal.has(CREATED.id)
    assert not under_way.all()


def test_a_connect_that_could_not_be_begun_is_not_under_way(
    wire: Wire, client: Client, journal: Journal
) -> None:
    """Neither where no note can be made, nor without a connection to spare; the passes do it then."""
    under_way = UnderWay()
    path = fast_path(client, journal, under_way)
    journal.directory.parent.mkdir(exist_ok=True)
    journal.directory.touch()
    wire.spoils = {"_ping": answer(503, "{}")}
    for _ in range(SPARES):
        assert path.connect(CREATED, 0) is None
        assert not under_way.all()
    journal.directory.unlink()
    assert path.connect(CREATED, 0) is None
    assert not under_way.all()
    path.close()


def connect_each(path: EarlyConnects, *numbers: int) -> None:
    """Have these new containers connected, one after the other, each as soon as it can be."""
    for number in numbers:
        created = builders.container(f"web{number}", container_id=f"6ba{number}", network="he_ipv6")
        sent = eventually(partial(path.connect, created, 0))
        assert sent is not None
        with suppress(MapperError):
            sent.exchange.result("connecting")


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged of the early connect, but for who asks for everything."""
    about = (each for each in caplog.records if each.levelno > logging.DEBUG)
    return [each.message for each in about if "connected" in each.message]


@pytest.mark.parametrize("spoilt", [answer(200, "{}"), HANG], ids=["closes", "times out"])
def test_a_connection_that_was_used_up_is_replaced(
    wire: Wire, client: Client, journal: Journal, spoilt: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A proxy may close it after its answer; connects may time out, more often than there are spares."""
    wire.spoils = {"/connect": spoilt}
    path = fast_path(client, journal)
    connect_each(path, *range(SPARES + 2))
    path.close()
    assert not said(caplog)


def test_a_connection_that_the_engine_closed_is_neither_used_nor_missed(
    wire: Wire, client: Client, journal: Journal
) -> None:
    """A proxy may close what is idle: the next container is connected early all the same."""
    path = fast_path(client, journal)
    wire.hang_up()
    eventually(lambda: wire.asked.count("/_ping") >= SPARES)
    connect_each(path, 1, 2)
    path.close()


def test_what_cannot_be_opened_is_said_once_and_opened_later(
    wire: Wire, client: Client, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    """New containers are connected by the passes meanwhile."""
    caplog.set_level(logging.INFO)
    path = fast_path(client, journal)
    wire.spoils = {"/connect": answer(200, "{}"), "_ping": answer(503, "{}")}
    connect_each(path, *range(SPARES))
    assert path.connect(CREATED, 0) is None
    eventually(lambda: said(caplog))
    pings = wire.asked.count("/_ping")
    eventually(lambda: wire.asked.count("/_ping") > pings + 1)
    assert len(said(caplog)) == 1
    assert "connected by the passes" in said(caplog)[0]
    wire.spoils = {}
    eventually(lambda: len(said(caplog)) == 2)
    assert "connected at once again" in said(caplog)[1]
    connect_each(path, *range(SPARES, 2 * SPARES))
    path.close()


def test_a_path_that_is_closed_opens_nothing_any_more(wire: Wire, client: Client, journal: Journal) -> None:
    """Neither in place of what is used up, nor when an answer comes late; no connection is left open."""
    before = threading.enumerate()
    path = fast_path(client, journal)
    (opener,) = (each for each in threading.enumerate() if each.name == "spares" and each not in before)
    sent = path.connect(CREATED, 0)
    assert sent is not None
    path.close()
    sent.exchange.result("connecting")
    opener.join(timeout=10)
    assert not opener.is_alive()
    assert wire.asked.count("/_ping") == SPARES
