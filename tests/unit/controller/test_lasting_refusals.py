"""Refusals that the engine will repeat: one try, a reason in `status`, and another try when it may help."""

import logging
import threading
from dataclasses import replace
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from dockeripv6mapper.actions import Connect, EndpointAction, Reconnect, Release
from dockeripv6mapper.controller.attempts import Attempts
from dockeripv6mapper.controller.queue import Message, ResyncNow
from dockeripv6mapper.engine.events import Change, NetworksChanged, Subscribed
from dockeripv6mapper.engine.refusals import RefusalRecord
from dockeripv6mapper.errors import (
    AddressNotAcceptedError,
    LastingRefusalError,
    MacAddressError,
    NoRequestedAddressError,
)
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.resolution import resolve
from dockeripv6mapper.mapping.state import State, state
from dockeripv6mapper.model import AddressMapping, Container, Endpoint, Reason, Refusal
from dockeripv6mapper.settings import Settings
from tests.lab.waiting import eventually
from tests.unit.builders import HE_IPV6, HE_IPV6_ID, MON_CONTAINER, NGINX, container, endpoint, facts
from tests.unit.controller.world import World, event, running_controller, world_with

RUNNING = container(network="he_ipv6", running=True)
OTHER = container("nginx", network="he_ipv6", running=True)


def refusing(world: World, error: LastingRefusalError) -> list[EndpointAction]:
    """Refuse every action with an error; return the list of attempted actions, which grows."""
    tries: list[EndpointAction] = []

    def refuse(action: EndpointAction) -> None:
        tries.append(action)
        raise error

    world.on_action = refuse
    return tries


def connect(of: Container) -> Connect:
    """The connect of a container to `he_ipv6`."""
    return Connect(of.id, of.name, HE_IPV6_ID, HE_IPV6, MON_CONTAINER)


def passes(world: World, count: int) -> None:
    """Wait for some more full passes."""
    seen: list[object] = []
    world.on_prune = seen.append
    eventually(lambda: len(seen) > count)


def test_a_network_that_takes_no_address_is_not_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """Neither with backoff nor by the next full passes; one warning has the reason."""
    world = world_with(RUNNING)
    tries = refusing(world, NoRequestedAddressError("connecting mon_container: no"))
    with caplog.at_level(logging.INFO), running_controller(world, Settings(resync=0.05)):
        eventually(lambda: tries)
        passes(world, 5)
        assert len(tries) == 1
        world.containers[OTHER.id] = OTHER
        passes(world, 3)
    assert len(tries) == 1
    warnings = [each.message for each in caplog.records if each.levelno == logging.WARNING]
    (first, _) = (each for each in warnings if "[network-accepts-no-address]" in each)
    assert "network he_ipv6 accepts no address: the engine chose its subnet" in first
    assert not [each for each in caplog.messages if "no longer failing" in each]


@pytest.mark.parametrize("change", [ResyncNow(), Subscribed()])
def test_it_is_tried_again_when_the_engine_may_be_another_one(change: Message) -> None:
    """After a restart of the engine, which may be an upgrade, and on SIGHUP. Then it works."""
    world = world_with(RUNNING)
    tries = refusing(world, NoRequestedAddressError("connecting mon_container: no"))
    with running_controller(world, Settings(resync=86400)) as controller:
        eventually(lambda: tries)
        world.on_action = lambda _: None
        controller.post(change)
        eventually(lambda: world.actions)


def test_an_event_of_another_kind_does_not_help_a_network() -> None:
    """A network's configuration never changes. Of its own container, another address may be asked for."""
    world = world_with(RUNNING)
    tries = refusing(world, NoRequestedAddressError("connecting mon_container: no"))
    with running_controller(world, Settings(resync=0.05)) as controller:
        eventually(lambda: tries)
        controller.post(NetworksChanged())
        controller.post(event(RUNNING, Change.OTHER))
        passes(world, 3)
    assert len(tries) == 1


@pytest.mark.parametrize("error", [MacAddressError("moving: no"), AddressNotAcceptedError("connecting: no")])
def test_a_refusal_of_one_container_ends_with_its_next_event(error: LastingRefusalError) -> None:
    """Other containers on the network are mapped meanwhile."""
    world = world_with(RUNNING, OTHER)
    tries: list[EndpointAction] = []
    allowed = threading.Event()

    def refuse_one(action: EndpointAction) -> None:
        if action.container_id == RUNNING.id:
            tries.append(action)
            if not allowed.is_set():
                raise error

    world.on_action = refuse_one
    with running_controller(world, Settings(resync=0.05)) as controller:
        eventually(lambda: tries and world.actions)
        passes(world, 3)
        assert len(tries) == 1
        allowed.set()
        controller.post(event(RUNNING, Change.OTHER))
        eventually(lambda: len(world.actions) == 2)


def test_a_container_that_has_the_address_stays_mapped() -> None:
    """As after a downgrade of the engine."""
    attempts = Attempts()
    action = connect(RUNNING)
    attempts.refused_for_good(action, NoRequestedAddressError("no"))
    mapped = container(network="he_ipv6", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
    for given, kind in ((RUNNING, Refusal), (mapped, AddressMapping)):
        known = replace(facts(given), engine_refusals=attempts.lasting)
        assert isinstance(resolve(given, known, Settings()), kind)
        desired = Desired(Settings())
        desired.update(known, known.containers)
        shown = state(given, desired.decision(given.id))
        assert shown is (State.REFUSED if kind is Refusal else State.MAPPED)


def test_a_refused_move_to_the_address_that_a_container_has_is_not_repeated(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its network was created again, so its endpoint has the address, but on the old network."""
    old = Endpoint(HE_IPV6, "id-of-the-old-network", requested=MON_CONTAINER)
    world = world_with(replace(RUNNING, endpoints=(old,)))
    tries = refusing(world, MacAddressError("moving mon_container: no"))
    with running_controller(world, Settings(resync=0.05)) as controller:
        eventually(lambda: tries)
        passes(world, 5)
        assert len(tries) == 1
        controller.post(event(RUNNING, Change.OTHER))
        eventually(lambda: len(tries) == 2)
        passes(world, 3)
    assert len(tries) == 2
    warnings = [each.message for each in caplog.records if each.levelno == logging.WARNING]
    assert warnings.count("not retrying: moving mon_container: no") == 1


@pytest.mark.parametrize(
    ("kind", "network_id", "address", "refused"),
    [
        (Connect, HE_IPV6_ID, MON_CONTAINER, True),
        (Reconnect, HE_IPV6_ID, MON_CONTAINER, True),
        (Reconnect, HE_IPV6_ID, NGINX, False),
        (Reconnect, "another", MON_CONTAINER, False),
        (Release, HE_IPV6_ID, MON_CONTAINER, False),
    ],
)
def test_what_is_not_tried_again(
    kind: type[Connect | Reconnect | Release], network_id: str, address: IPv6Address, refused: bool
) -> None:
    """To be attached on this network at this address; taking an address back is another call."""
    attempts = Attempts()
    attempts.refused_for_good(connect(RUNNING), AddressNotAcceptedError("no"))
    assert (kind(RUNNING.id, RUNNING.name, network_id, HE_IPV6, address) in attempts) is refused


def test_a_release_that_the_engine_refuses_is_retried(caplog: pytest.LogCaptureFixture) -> None:
    """With backoff, and logged as any failure. Only a connect and a move are refused for good."""
    gone = Endpoint(HE_IPV6, HE_IPV6_ID, requested=NGINX, ours=True)
    world = world_with(replace(RUNNING, running=False, endpoints=(gone,), labels={"ipv6.mapper.x": ""}))
    tries = refusing(world, AddressNotAcceptedError("releasing: no"))
    world.engine_networks = ()
    with running_controller(world, Settings(resync=0.05)):
        eventually(lambda: len(tries) > 1)
    warnings = [each.message for each in caplog.records if each.levelno == logging.WARNING]
    assert "releasing: no" in warnings


def test_the_record_has_what_is_refused_now(tmp_path: Path) -> None:
    """It is empty once the engine may be another one, and after its network is gone."""
    record = RefusalRecord(tmp_path)
    attempts = Attempts(record)
    attempts.refused_for_good(connect(RUNNING), AddressNotAcceptedError("no"))
    attempts.refused_for_good(connect(OTHER), NoRequestedAddressError("no"))
    found = {subject: (each.reason, each.address) for subject, each in record.read().items()}
    assert found == {
        RUNNING.id: (Reason.ADDRESS_NOT_ACCEPTED, MON_CONTAINER),
        HE_IPV6_ID: (Reason.NETWORK_ACCEPTS_NO_ADDRESS, None),
    }
    attempts.network_gone("another")
    assert len(record.read()) == 2
    attempts.network_gone(HE_IPV6_ID)
    assert record.read() == {}
    attempts.refused_for_good(connect(OTHER), NoRequestedAddressError("no"))
    Attempts(record).engine_changed()
    assert record.read() == {}


def test_the_reason_of_a_mac_address_has_the_command_that_keeps_it() -> None:
    """Only the mapper knows the address that has to be requested with it."""
    attempts = Attempts()
    attempts.refused_for_good(connect(RUNNING), MacAddressError("moving web: no", hint="docker run …"))
    assert attempts.lasting[RUNNING.id].detail.endswith(" (try: docker run …)")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', '{"a": {"reason": "nonsense"}}'])
def test_a_record_that_cannot_be_read_is_empty(tmp_path: Path, text: str) -> None:
    """It is a record for `status`, not a source of truth."""
    record = RefusalRecord(tmp_path)
    record.path.write_text(text)
    assert record.read() == {}
