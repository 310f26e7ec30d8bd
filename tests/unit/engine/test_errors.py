"""An engine that misbehaves: each error becomes a `MapperError`, and an interrupted change stays noted."""

import threading
from collections.abc import Callable
from contextlib import closing

import pytest

from dockeripv6mapper.actions import Connect, EndpointAction, Reconnect, Restore
from dockeripv6mapper.engine import config
from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.engine.endpoints import Endpoints
from dockeripv6mapper.engine.errors import refused_error
from dockeripv6mapper.engine.events import (
    Change,
    ContainerChanged,
    EventMessage,
    EventReader,
    StreamLost,
    Subscribed,
)
from dockeripv6mapper.engine.journal import Journal, Unfinished
from dockeripv6mapper.errors import (
    AddressNotAcceptedError,
    EngineRefusedError,
    EngineUnavailableError,
    MapperError,
    NoAnswerError,
    NoRequestedAddressError,
    NotAttachableError,
)
from tests.lab.waiting import eventually
from tests.unit.builders import HE_IPV6, HE_IPV6_ID, MON_CONTAINER
from tests.unit.engine.wire import HANG, Wire, answer

CONNECT = Connect("6ba2", "mon_container", HE_IPV6_ID, HE_IPV6, MON_CONTAINER)

REFUSALS = {
    "500": answer(500, '{"message": "server error"}'),
    "409": answer(409, '{"message": "conflict"}'),
}
OTHER_REFUSALS = {
    "500 with other words": answer(500, "<html>"),
    "500 without a message": answer(500, "{}"),
    "500 with a list": answer(500, "[]"),
    "500 with nothing": answer(500, ""),
}
BROKEN = {
    "hangs up": b"\n",
    "closes in the middle of the body": answer(200, '[{"Id":', length=1000),
    "closes in the middle of a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n[{",
    "does not speak HTTP": b"\0\1\2\r\n\r\n",
    "claims a chunk of no size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n[]",
}
UNREADABLE = {
    f"answers {body}": answer(200, body)
    for body in (
        "",
        "{",
        "nonsense",
        "null",
        "5",
        '"text"',
        "{}",
        "[1]",
        "[[]]",
        '[{"Id": 5}]',
        '{"State": 5}',
    )
}
ALL = {**REFUSALS, **OTHER_REFUSALS, **BROKEN, **UNREADABLE, "hangs": HANG}


def read_events(client: Client) -> list[object]:
    """All events of a stream that ends."""
    with client.session("reading events"), closing(client.events()) as stream:
        return list(stream)


CALLS: dict[str, tuple[str, Callable[[Client], object]]] = {
    "version": ("/version", Client.api_version),
    "ping": ("/_ping", Client.ping),
    "containers": ("/containers/json", Client.snapshot),
    "networks": ("/networks", Client.networks),
    "images": ("/images/json", Client.images),
    "container": ("/6ba2/json", lambda client: client.container("6ba2")),
    "image": ("/nginx/json", lambda client: client.image_labels("nginx")),
    "events": ("/events", read_events),
    "connect": ("/connect", lambda client: client.connect("6ba2", "net", {}, "connecting")),
    "disconnect": ("/disconnect", lambda client: client.disconnect("6ba2", "net", "disconnecting")),
    "info": ("/info", config.engine_info),
    "network configs": ("/networks", config.network_configs),
    "container configs": ("/containers/json", config.container_configs),
}


def attempt(call: Callable[[], object]) -> MapperError | None:
    """The `MapperError` that a call raises; any other exception fails the test."""
    try:
        call()
    except MapperError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("end", "call", "fault"),
    [
        pytest.param(*each, fault, id=f"{call}-{name}")
        for call, each in CALLS.items()
        for name, fault in ALL.items()
    ],
)
def test_no_exception_but_mapper_error_leaves_the_client(
    wire: Wire, client: Client, end: str, call: Callable[[Client], object], fault: bytes
) -> None:
    """None of a library and none of parsing; and the next call succeeds."""
    wire.spoils = {end: fault}
    attempt(lambda: call(client))
    wire.spoils = {}
    assert attempt(lambda: call(client)) is None


@pytest.mark.parametrize(
    ("faults", "kind"),
    [
        (REFUSALS, EngineRefusedError),
        (BROKEN, EngineUnavailableError),
        ({"hangs": HANG}, NoAnswerError),
        ({key: UNREADABLE[key] for key in ("answers {", "answers 5", "answers {}")}, NoAnswerError),
    ],
)
def test_each_kind_of_failure_has_its_own_error(
    wire: Wire, client: Client, faults: dict[str, bytes], kind: type[MapperError]
) -> None:
    """A refusal, an engine that is unreachable, a call without a readable answer."""
    for fault in faults.values():
        wire.spoils = {"/6ba2/json": fault}
        error = attempt(lambda: client.container("6ba2"))
        assert type(error) is kind, f"{error!r} after {fault!r}"


@pytest.mark.parametrize("fault", [*BROKEN.values(), HANG], ids=[*BROKEN, "hangs"])
@pytest.mark.parametrize("call", ["/connect", "/disconnect"])
def test_a_change_without_an_answer_stays_in_the_journal(
    wire: Wire, client: Client, journal: Journal, call: str, fault: bytes
) -> None:
    """The engine may have carried the call out: the next attempt has to look first."""
    wire.spoils = {call: fault}
    if call == "/connect":
        action: EndpointAction = CONNECT
    else:
        wire.inspected = endpoint_elsewhere()
        action = Reconnect("6ba2", "mon_container", HE_IPV6_ID, HE_IPV6, MON_CONTAINER)
    error = attempt(lambda: Endpoints(client, journal).apply(action))
    assert isinstance(error, EngineUnavailableError)
    assert journal.has("6ba2")


def endpoint_elsewhere() -> dict[str, object]:
    """An endpoint at another address, as an inspection shows it."""
    unset = dict.fromkeys(("Links", "Aliases", "DriverOpts", "GlobalIPv6Address"))
    requested = {"NetworkID": HE_IPV6_ID, "IPAMConfig": {"IPv6Address": "2001:db8::5"}}
    return {HE_IPV6: {**unset, **requested}}


@pytest.mark.parametrize("fault", REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refused_connect_leaves_nothing_in_the_journal(
    wire: Wire, client: Client, journal: Journal, fault: bytes
) -> None:
    """An inspection shows that there is nothing to undo."""
    wire.spoils = {"/connect": fault}
    assert isinstance(attempt(lambda: Endpoints(client, journal).apply(CONNECT)), EngineRefusedError)
    assert not journal.has("6ba2")


@pytest.mark.parametrize("fault", ALL.values(), ids=ALL.keys())
def test_a_failed_inspection_keeps_the_note_in_the_journal(
    wire: Wire, client: Client, journal: Journal, fault: bytes
) -> None:
    """The change cannot be finished without knowing the container's endpoints."""
    journal.write("6ba2", Unfinished(HE_IPV6_ID, HE_IPV6, None))
    wire.spoils = {"/6ba2/json": fault}
    assert isinstance(attempt(lambda: Endpoints(client, journal).apply(Restore("6ba2", "x"))), MapperError)
    assert journal.has("6ba2")


@pytest.mark.parametrize("fault", [*BROKEN.values(), HANG], ids=[*BROKEN, "hangs"])
def test_a_connect_without_an_answer_keeps_its_note(
    wire: Wire, client: Client, journal: Journal, fault: bytes
) -> None:
    """The engine may have carried it out. The error is a `MapperError`."""
    wire.spoils = {"/connect": fault}
    error = attempt(lambda: Endpoints(client, journal).apply(CONNECT))
    assert isinstance(error, EngineUnavailableError)
    assert isinstance(error, NoAnswerError) == (fault == HANG)
    assert journal.has("6ba2")


@pytest.mark.parametrize("fault", {**REFUSALS, **OTHER_REFUSALS, **BROKEN, **UNREADABLE}.values())
def test_an_unreadable_event_stream_is_subscribed_to_again(
    wire: Wire, client: Client, fault: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread survives, and reports each loss with a `MapperError`."""
    monkeypatch.setattr("dockeripv6mapper.engine.events.LONGEST_RETRY_SECONDS", 0.01)
    wire.spoils = {"/events": fault}
    messages: list[EventMessage] = []
    reader = EventReader(client, messages.append)
    reader.start()
    try:
        eventually(lambda: len([each for each in messages if isinstance(each, StreamLost)]) > 1)
        begin = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        wire.spoils = {"/events": begin + chunk(b"5") + chunk(b'{"Type": "container", "Actor": 7}')}
        wire.spoils["/events"] += chunk(b'{"Type": "container", "Action": "die", "Actor": {"ID": "6ba2"}}')
        eventually(lambda: ContainerChanged("6ba2", Change.DIED) in messages)
    finally:
        reader.stop()
    losses = [each.error for each in messages if isinstance(each, StreamLost)]
    assert all(isinstance(each, MapperError) for each in losses), losses
    assert Subscribed() in messages


def chunk(body: bytes) -> bytes:
    """A line of an answer with chunked transfer encoding."""
    return f"{len(body) + 1:x}\r\n".encode() + body + b"\n\r\n"


def test_a_reader_that_has_stopped_delivers_nothing_more(wire: Wire, client: Client) -> None:
    """Its thread has ended, and a second stop does nothing."""
    wire.spoils = {"/events": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"}
    reader = EventReader(client, lambda _: None)
    reader.start()
    eventually(lambda: any(each.endswith("/events") for each in wire.asked))
    reader.stop()
    reader.stop()
    assert not [each for each in threading.enumerate() if each.name == "events"]


NO_SUBNET = (
    "user specified IP address is supported only when connecting to networks with user configured subnets"
)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (NO_SUBNET, NoRequestedAddressError),
        (f"invalid endpoint settings:\n{NO_SUBNET}", NoRequestedAddressError),
        ("User specified IP address is supported on user defined networks only", NoRequestedAddressError),
        ("no configured subnet or ip-range contain the IP address 2001:db8::1", AddressNotAcceptedError),
        ("no configured subnet contains IP address 2001:db8::1", AddressNotAcceptedError),
        ("Could not attach to network n: […] network n not manually attachable", NotAttachableError),
        ("Address already in use", EngineRefusedError),
    ],
)
def test_an_answer_that_will_not_change_has_an_error_of_its_own(
    text: str, kind: type[EngineRefusedError]
) -> None:
    """As engines 20.10 to 29 word it."""
    assert type(refused_error("connecting", text)) is kind
