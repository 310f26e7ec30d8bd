"""Refused moves: how often they are retried.

Each attempt detaches the container from its network for a moment, so there must be few attempts, but enough.
The real controller runs on the fake engine. No event reports the container that holds the address.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import pytest

from dockeripv6mapper.actions import Reconnect
from dockeripv6mapper.controller.jobs import InspectContainer, ListFirewall, ListImages, TakeSnapshot
from dockeripv6mapper.controller.queue import Message, Overflowed, ResyncNow
from dockeripv6mapper.engine.events import NetworksChanged, Subscribed
from dockeripv6mapper.errors import EngineRefusedError
from dockeripv6mapper.mapping.resolution import address_of
from dockeripv6mapper.settings import Scheme
from tests.property.fake_containers import FakeContainer
from tests.property.fake_engine import FakeEngine, all_settings
from tests.property.simulated_daemon import SimulatedDaemon
from tests.unit import builders
from tests.unit.builders import HE_IPV6
from tests.unit.controller.world import World

NAME = "a"
LABEL = {"ipv6.mapper.network": HE_IPV6}
ADDRESS = address_of(NAME, builders.network(), None, Scheme.MD5_24)


class PendingMove:
    """A container at an address that the engine chose, and a daemon that plans to move it."""

    def __init__(self, state_dir: Path) -> None:
        self.engine = FakeEngine()
        self.container = self.engine.create(NAME, LABEL, {HE_IPV6: all_settings(1)})
        self.engine.start(self.container)
        self.engine.pending_events.clear()
        self.daemon = SimulatedDaemon(self.engine, World(), state_dir)
        self.daemon.run(ListImages)
        self.daemon.run(TakeSnapshot)
        # Before the firewall is listed, the address may have open ports, so nothing is moved to it.
        self.daemon.run(ListFirewall)
        assert self.is_planned

    @property
    def is_planned(self) -> bool:
        """Whether the move is the only action that the daemon plans."""
        return [type(action) for action in self.daemon.actions] == [Reconnect]

    @property
    def is_done(self) -> bool:
        """Whether the container has its address."""
        return self.container.networks[HE_IPV6].ipv6 == str(ADDRESS)

    def take_address(self) -> FakeContainer:
        """Start another container at the address, without events."""
        holder = self.engine.create("holder", {}, {HE_IPV6: all_settings(2, ADDRESS)})
        self.engine.start(holder)
        self._drop_events(holder)
        return holder

    def free_address(self, holder: FakeContainer) -> None:
        """Remove that container, without events."""
        self.engine.remove(holder)
        self._drop_events(holder)

    def reattach_by_user(self, at: IPv6Address | None = None) -> None:
        """The user detaches the container and attaches it again."""
        self.engine.disconnect_by_user(self.container)
        self.engine.connect_by_user(self.container, all_settings(1, at))

    def refuse_once(self) -> None:
        """Have the move refused because of a container that is removed before the daemon lists again."""
        holder = self.take_address()
        self.daemon.run(Reconnect)
        self.free_address(holder)

    def _drop_events(self, holder: FakeContainer) -> None:
        events = self.engine.pending_events
        events[:] = (each for each in events if getattr(each, "container_id", None) != holder.id)


@pytest.fixture
def move(tmp_path: Path) -> PendingMove:
    """A pending move."""
    return PendingMove(tmp_path)


def test_a_refused_move_is_retried_after_a_full_list(move: PendingMove) -> None:
    """The container that held the address is gone, and no event reports it."""
    move.refuse_once()
    move.daemon.run_until_idle()
    assert move.is_done


def test_a_list_from_before_the_refusal_causes_no_retry(move: PendingMove) -> None:
    """It does not show the container that holds the address; only a later list does."""
    move.daemon.full_pass()
    move.daemon.run_only(TakeSnapshot)
    holder = move.take_address()
    move.daemon.run(Reconnect)
    move.daemon.deliver_result(0)
    move.daemon.advance_clock()
    move.daemon.run(InspectContainer)
    assert not move.daemon.actions
    move.free_address(holder)
    move.daemon.run_until_idle()
    assert move.is_done


@pytest.mark.parametrize("by_hand", [False, True], ids=["by the daemon", "by its user"])
def test_a_refusal_is_forgotten_when_the_container_has_its_address(move: PendingMove, by_hand: bool) -> None:
    """Whether the daemon or the user attached it: the next refusal counts as the first."""
    move.refuse_once()
    if by_hand:
        move.reattach_by_user(at=ADDRESS)
    move.daemon.run_until_idle()
    assert move.is_done
    move.reattach_by_user()
    move.daemon.run_until_idle(act=False)
    assert move.is_planned
    move.refuse_once()
    move.daemon.run_until_idle()
    assert move.is_done


def test_an_abandoned_move_is_possible_again_after_the_container_had_its_address(
    move: PendingMove,
) -> None:
    """The engine no longer refuses, and a connect has succeeded meanwhile."""
    with refusing(move.engine) as attempts:
        move.daemon.run_until_idle()
        assert len(attempts) == 2
    move.engine.disconnect_by_user(move.container)
    move.daemon.run_until_idle()
    assert move.is_done
    move.reattach_by_user()
    move.daemon.run_until_idle()
    assert move.is_done


MISSED_EVENTS = [Subscribed(), Overflowed(), ResyncNow(), NetworksChanged()]
"""Messages before which an event may have been missed: the holder of the address may be gone."""


@pytest.mark.parametrize("message", MISSED_EVENTS)
def test_a_move_that_is_always_refused_is_tried_twice_and_then_once_after_each_possible_change(
    move: PendingMove, message: Message
) -> None:
    """An engine with a leaked address refuses it always."""
    with refusing(move.engine) as attempts:
        for _ in range(3):
            move.daemon.run_until_idle()
            move.daemon.full_pass()
        assert len(attempts) == 2
        for number in range(1, 11):
            move.daemon.receive(message)
            move.daemon.run_until_idle()
            assert len(attempts) == 2 + number


@pytest.mark.parametrize("message", MISSED_EVENTS)
def test_a_move_that_was_refused_once_before_missed_events_is_tried_twice_after_them(
    move: PendingMove, message: Message
) -> None:
    """Another container may hold the address for a moment, as after a restart of the engine."""
    move.refuse_once()
    move.daemon.receive(message)
    move.daemon.run_until_idle(act=False)
    move.daemon.run_until_idle(act=False)
    assert move.is_planned
    move.refuse_once()
    move.daemon.run_until_idle()
    assert move.is_done


def test_a_move_is_retried_at_each_start_and_stop_of_a_rival_for_the_refused_address(
    move: PendingMove,
) -> None:
    """The rival may have held the address; it cannot get it before the retry."""
    suffix = ":".join(f"{int(ADDRESS) >> shift & 0xFFFF:x}" for shift in (32, 16, 0))
    rival = move.engine.create("rival", {**LABEL, "ipv6.mapper.suffix": suffix})
    with refusing(move.engine) as attempts:
        move.daemon.run_until_idle()
        before = len(attempts)
        for number in range(1, 11):
            move.engine.start(rival)
            move.daemon.run_until_idle()
            move.engine.stop(rival)
            move.daemon.run_until_idle()
            assert len(attempts) == before + 2 * number


def test_a_move_is_tried_twice_for_each_container_that_comes_and_goes_with_the_refused_address(
    move: PendingMove,
) -> None:
    """Its start and its removal allow one retry each. Both are made after the removal."""
    with refusing(move.engine) as attempts:
        move.daemon.run_until_idle()
        before = len(attempts)
        for number in range(1, 11):
            holder = move.engine.create("holder", {}, {HE_IPV6: all_settings(2, ADDRESS)})
            move.engine.start(holder)
            move.daemon.run_until_idle()
            assert len(attempts) == before + 2 * (number - 1)
            move.engine.remove(holder)
            move.daemon.run_until_idle()
            assert len(attempts) == before + 2 * number


@contextmanager
def refusing(engine: FakeEngine) -> Iterator[list[Mapping[str, Any]]]:
    """Have the engine refuse the address; yields the refused requests."""
    attempts: list[Mapping[str, Any]] = []
    connect = engine.connect

    def refuse(
        container_id: str,
        network_id: str,
        endpoint: Mapping[str, Any],
        doing: str,
        **version: tuple[int, int] | None,
    ) -> None:
        if endpoint.get("IPAMConfig", {}).get("IPv6Address") == str(ADDRESS):
            attempts.append(endpoint)
            raise EngineRefusedError(f"{doing}: address already in use")
        connect(container_id, network_id, endpoint, doing, **version)

    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(engine, "connect", refuse)
        yield attempts
