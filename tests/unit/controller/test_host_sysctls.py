"""The host's own routes and rules survive what is set for the containers' sake."""

import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from dockeripv6mapper.actions import SysctlChange
from dockeripv6mapper.controller.host_sysctls import SOLICITATION_SECONDS, SOLICITATIONS, HostSysctls
from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.controller.workqueue import CloseForwarding
from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.model import Forwarded, Host
from dockeripv6mapper.settings import Settings
from tests.unit import builders
from tests.unit.builders import UPLINK, facts
from tests.unit.controller.world import World

FORWARDING, ACCEPT_RA = "conf/all/forwarding", "conf/eth0/accept_ra"
WITHOUT_ROUTE = Host(links={UPLINK.name: UPLINK})


def sysctls(
    world: World, settings: Settings | None = None, clock: Callable[[], float] = time.monotonic
) -> HostSysctls:
    """What keeps the sysctls of a world's host."""
    kept = HostSysctls(
        world,
        settings or Settings(),
        LogChanges(),
        ask=lambda _: kept.forwarding_closed(world.close_forwarding(), None),
        clock=clock,
    )
    return kept


def observed(kept: HostSysctls, host: Host) -> None:
    """Have it take in the host."""
    uplinks = (UPLINK,) if host.default_route_links else ()
    kept.observed(facts(of_host=host), uplinks)


def test_forwarding_is_left_alone_before_anything_needs_it() -> None:
    """The engine switches it on, and closes what has to be closed then."""
    world = World(sysctls={ACCEPT_RA: "1"})
    observed(sysctls(world), builders.host())
    assert world.sysctls[ACCEPT_RA] == "2"
    assert FORWARDING not in world.written


def test_what_the_engine_would_have_closed_is_closed_before_forwarding_is_switched_on() -> None:
    """After accept_ra, and before any packet may pass."""
    world = World(sysctls={ACCEPT_RA: "1"})
    kept = sysctls(world)
    observed(kept, builders.host())
    kept.need(routing=True, proxying=True)
    order = [world.written.index(each) for each in (ACCEPT_RA, "policy of FORWARD", FORWARDING)]
    assert order == sorted(order)


def test_a_host_that_nothing_filters_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """It routes between all its links from then on."""
    world = World(forwarded=Forwarded.ANYTHING)
    kept = sysctls(world)
    observed(kept, builders.host())
    kept.need(routing=True, proxying=True)
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "routing between its links" in record.message
    assert "doctor" in record.message


def test_forwarding_is_not_switched_on_where_accept_ra_cannot_be_set() -> None:
    """The host would lose its own default route."""
    world = World(sysctls={ACCEPT_RA: "1"})

    def refuse(change: SysctlChange) -> None:
        if change.key == ACCEPT_RA:
            raise KernelRefusedError("setting accept_ra: read-only file system")

    world.writing = refuse
    kept = sysctls(world)
    observed(kept, builders.host())
    kept.need(routing=True, proxying=True)
    assert world.written == []


def test_a_router_is_asked_for_where_forwarding_has_cost_a_link_its_default_route(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A few times, and one line says what happened and when the route comes back."""
    world = World(sysctls={FORWARDING: "1", ACCEPT_RA: "1"})
    seconds = itertools.count(0, SOLICITATION_SECONDS)
    kept = sysctls(world, clock=lambda: next(seconds))
    for _ in range(SOLICITATIONS + 2):
        observed(kept, WITHOUT_ROUTE)
    assert world.solicited == [UPLINK.name] * SOLICITATIONS
    assert not kept.soliciting
    (line,) = [each.message for each in caplog.records if "no default route by eth0" in each.message]
    assert "accept_ra=1" in line
    assert "next router advertisement" in line


def test_a_host_that_is_looked_at_often_asks_for_a_router_no_more_often() -> None:
    """Each news of a link is a reason to look, and none to ask again."""
    world = World(sysctls={FORWARDING: "1", ACCEPT_RA: "1"})
    kept = sysctls(world, clock=lambda: 1000.0)
    for _ in range(SOLICITATIONS):
        observed(kept, WITHOUT_ROUTE)
    assert world.solicited == [UPLINK.name]
    assert kept.soliciting


def test_a_sysctl_that_is_refused_is_failing_until_it_is_right() -> None:
    """Whoever sets it right."""
    world = World(sysctls={ACCEPT_RA: "1"})

    def refuse(change: SysctlChange) -> None:
        raise KernelRefusedError(f"setting {change.key}: read-only file system")

    world.writing = refuse
    kept = sysctls(world)
    observed(kept, builders.host())
    assert kept.failing
    world.sysctls[ACCEPT_RA] = "2"
    world.writing = lambda _: None
    observed(kept, builders.host())
    assert not kept.failing


def test_forwarding_that_somebody_switched_on_meanwhile_is_closed_again_the_next_time() -> None:
    """What was closed then may be open by the time that forwarding is off again."""
    world = World(sysctls={ACCEPT_RA: "2"})
    asked: list[CloseForwarding] = []
    kept = HostSysctls(world, Settings(), LogChanges(), asked.append)
    observed(kept, builders.host())
    kept.need(routing=True, proxying=True)
    assert len(asked) == 1
    world.sysctls[FORWARDING] = "1"
    kept.forwarding_closed(Forwarded.BY_RULES, None)
    world.sysctls[FORWARDING] = "0"
    observed(kept, builders.host())
    assert len(asked) == 2
    assert world.sysctls[FORWARDING] == "0"


def test_no_router_is_asked_for_once_there_is_a_default_route() -> None:
    """One answer is enough."""
    world = World(sysctls={FORWARDING: "1", ACCEPT_RA: "1"})
    kept = sysctls(world)
    observed(kept, WITHOUT_ROUTE)
    observed(kept, replace(WITHOUT_ROUTE, default_route_links=(UPLINK.name,)))
    assert world.solicited == [UPLINK.name]
    assert not kept.soliciting


@pytest.mark.parametrize(
    ("settings", "level"),
    [(Settings(dry_run=True), logging.INFO), (Settings(sysctl=False), logging.WARNING)],
)
def test_a_host_that_must_not_be_changed_is_only_told_of(
    settings: Settings, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Each sysctl that is wrong, once: a warning where nobody is going to set it."""
    caplog.set_level(logging.INFO)
    world = World(sysctls={FORWARDING: "1", ACCEPT_RA: "1"})
    kept = sysctls(world, settings)
    for _ in range(2):
        observed(kept, WITHOUT_ROUTE)
    assert (world.written, world.solicited) == ([], [])
    wrong = "sysctl net/ipv6/conf/eth0/accept_ra is 1, and has to be 2"
    assert [each.levelno for each in caplog.records if each.message == wrong] == [level]
