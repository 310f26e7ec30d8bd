"""Refused moves: each try takes a container off its network, so that there are few, and enough.

The real controller on the engine of the model. The stranger in the way is one of whom nothing was heard.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import pytest

from dockeripv6mapper.actions import Reconnect
from dockeripv6mapper.controller.queue import Message, Overflowed, ResyncNow
from dockeripv6mapper.controller.workqueue import InspectContainer, ListFirewall, ListImages, TakeSnapshot
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
    """A container at an address of the engine's choice, and a daemon that is about to move it."""

    def __init__(self, state_dir: Path) -> None:
        self.engine = FakeEngine()
        self.box = self.engine.create(NAME, LABEL, {HE_IPV6: all_settings(1)})
        self.engine.start(self.box)
        self.engine.pending_events.clear()
        self.daemon = SimulatedDaemon(self.engine, World(), state_dir)
        self.daemon.do(ListImages)
        self.daemon.do(TakeSnapshot)
        # Before the firewall was looked at, an address may have ports open.
        self.daemon.do(ListFirewall)
        assert self.is_planned

    @property
    def is_planned(self) -> bool:
        """Whether the move is all that the daemon is about to do to anybody."""
        return [type(action) for action in self.daemon.actions] == [Reconnect]

    @property
    def is_done(self) -> bool:
        """Whether the container has its address."""
        return self.box.networks[HE_IPV6].ipv6 == str(ADDRESS)

    def stranger(self) -> FakeContainer:
        """Somebody who takes the address, unheard of."""
        stranger = self.engine.create("stranger", {}, {HE_IPV6: all_settings(2, ADDRESS)})
        self.engine.start(stranger)
        self._unheard(stranger)
        return stranger

    def leave(self, stranger: FakeContainer) -> None:
        """Let the stranger be gone, unheard of."""
        self.engine.remove(stranger)
        self._unheard(stranger)

    def plug(self, at: IPv6Address | None = None) -> None:
        """Have the container's user attach it anew."""
        self.engine.unplug(self.box)
        self.engine.plug(self.box, all_settings(1, at))

    def refuse_once(self) -> None:
        """Have the move refused because of a stranger who is gone before anybody has looked."""
        stranger = self.stranger()
        self.daemon.do(Reconnect)
        self.leave(stranger)

    def _unheard(self, stranger: FakeContainer) -> None:
        news = self.engine.pending_events
        news[:] = (each for each in news if getattr(each, "container_id", None) != stranger.id)


@pytest.fixture
def move(tmp_path: Path) -> PendingMove:
    """One for a test."""
    return PendingMove(tmp_path)


def test_a_move_is_tried_again_after_everything_was_listed(move: PendingMove) -> None:
    """Who was in the way is gone, and no event will tell of it."""
    move.refuse_once()
    move.daemon.settle()
    assert move.is_done


def test_a_list_that_was_made_before_the_refusal_has_no_move_tried_again(move: PendingMove) -> None:
    """It does not show who was in the way: only the list that is asked for then would."""
    move.daemon.full_pass()
    move.daemon.make(TakeSnapshot)
    stranger = move.stranger()
    move.daemon.do(Reconnect)
    move.daemon.report(0)
    move.daemon.wait()
    move.daemon.do(InspectContainer)
    assert not move.daemon.actions
    move.leave(stranger)
    move.daemon.settle()
    assert move.is_done


@pytest.mark.parametrize("by_hand", [False, True], ids=["by the daemon", "by its user"])
def test_a_refusal_is_forgotten_when_the_container_is_where_it_is_to_be(
    move: PendingMove, by_hand: bool
) -> None:
    """Whoever has attached it there: the next one is the first again."""
    move.refuse_once()
    if by_hand:
        move.plug(at=ADDRESS)
    move.daemon.settle()
    assert move.is_done
    move.plug()
    move.daemon.settle(act=False)
    assert move.is_planned
    move.refuse_once()
    move.daemon.settle()
    assert move.is_done


def test_a_move_that_was_ruled_out_is_not_any_more_when_the_container_was_where_it_is_to_be(
    move: PendingMove,
) -> None:
    """The engine has found its way again, and was asked to connect the container meanwhile."""
    with refusing(move.engine) as tries:
        move.daemon.settle()
        assert len(tries) == 2
    move.engine.unplug(move.box)
    move.daemon.settle()
    assert move.is_done
    move.plug()
    move.daemon.settle()
    assert move.is_done


ALL_NEWS = [Subscribed(), Overflowed(), ResyncNow(), NetworksChanged()]
"""After each of them, somebody who was in the way may have gone, of whom no event tells."""


@pytest.mark.parametrize("news", ALL_NEWS)
def test_a_move_that_is_refused_for_ever_is_tried_twice_and_then_once_for_all_that_may_help(
    move: PendingMove, news: Message
) -> None:
    """As by an engine that has lost track of who holds the address."""
    with refusing(move.engine) as tries:
        for _ in range(3):
            move.daemon.settle()
            move.daemon.full_pass()
        assert len(tries) == 2
        for number in range(1, 11):
            move.daemon.receive(news)
            move.daemon.settle()
            assert len(tries) == 2 + number


@pytest.mark.parametrize("news", ALL_NEWS)
def test_a_move_that_was_refused_once_before_such_news_is_tried_twice_after_it(
    move: PendingMove, news: Message
) -> None:
    """Others may be in its way for a moment then, as after a restart of the engine."""
    move.refuse_once()
    move.daemon.receive(news)
    move.daemon.settle(act=False)
    move.daemon.settle(act=False)
    assert move.is_planned
    move.refuse_once()
    move.daemon.settle()
    assert move.is_done


def test_who_wants_a_refused_address_too_costs_a_try_at_each_start_and_each_stop(move: PendingMove) -> None:
    """It may have been in the way, and cannot have the address before."""
    suffix = ":".join(f"{int(ADDRESS) >> shift & 0xFFFF:x}" for shift in (32, 16, 0))
    other = move.engine.create("other", {**LABEL, "ipv6.mapper.suffix": suffix})
    with refusing(move.engine) as tries:
        move.daemon.settle()
        before = len(tries)
        for number in range(1, 11):
            move.engine.start(other)
            move.daemon.settle()
            move.engine.stop(other)
            move.daemon.settle()
            assert len(tries) == before + 2 * number


def test_who_comes_and_goes_with_a_refused_address_costs_two_tries(move: PendingMove) -> None:
    """One for either; while it is there, nothing is tried."""
    with refusing(move.engine) as tries:
        move.daemon.settle()
        before = len(tries)
        for number in range(1, 11):
            holder = move.engine.create("holder", {}, {HE_IPV6: all_settings(2, ADDRESS)})
            move.engine.start(holder)
            move.daemon.settle()
            assert len(tries) == before + 2 * (number - 1)
            move.engine.remove(holder)
            move.daemon.settle()
            assert len(tries) == before + 2 * number


@contextmanager
def refusing(engine: FakeEngine) -> Iterator[list[Mapping[str, Any]]]:
    """Have the engine not give the address away; what it was asked for is in the list."""
    tries: list[Mapping[str, Any]] = []
    connect = engine.connect

    def refuse(
        container_id: str,
        network_id: str,
        endpoint: Mapping[str, Any],
        doing: str,
        **version: tuple[int, int] | None,
    ) -> None:
        if endpoint.get("IPAMConfig", {}).get("IPv6Address") == str(ADDRESS):
            tries.append(endpoint)
            raise EngineRefusedError(f"{doing}: address already in use")
        connect(container_id, network_id, endpoint, doing, **version)

    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(engine, "connect", refuse)
        yield tries
