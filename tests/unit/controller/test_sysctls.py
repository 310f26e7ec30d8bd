"""The host's own routes and rules survive what is set for the containers' sake."""

import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from dockeripv6mapper.actions import SysctlChange
from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.controller.sysctls import SOLICITATION_SECONDS, SOLICITATIONS, HostSysctls
from dockeripv6mapper.controller.workqueue import CloseForwarding
from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.sysctls import plan_sysctls, sysctls_for
from dockeripv6mapper.model import Container, Forwarded, Host
from dockeripv6mapper.settings import Settings
from tests.unit import builders
from tests.unit.builders import UPLINK, container, facts
from tests.unit.controller.world import World

FORWARDING, ACCEPT_RA = "conf/all/forwarding", "conf/eth0/accept_ra"
WITHOUT_ROUTE = Host(links={UPLINK.name: UPLINK})


ROUTED = container(network="he_ipv6")
"""A container that is reached through the host."""


class Sysctls:
    """The sysctls of a world's host, brought to plans. A command ends at once, unless it is `held`."""

    def __init__(
        self,
        world: World,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        held: bool = False,
    ) -> None:
        self._world, self._settings, self._held = world, settings or Settings(), held
        self.asked: list[CloseForwarding] = []
        self.kept = HostSysctls(world, self._settings, LogChanges(), self.asked.append, clock=clock)

    def observe(self, host: Host, *containers: Container) -> None:
        """Read and apply, as after an observation of the host."""
        self.kept.read(facts(*containers, of_host=host))
        self.apply(host, *containers)
        self.kept.solicit()

    def apply(self, host: Host, *containers: Container) -> None:
        """Apply what the containers need."""
        given = replace(facts(*containers, of_host=host), sysctls=self.kept.current)
        desired = Desired(self._settings)
        desired.update(given, given.containers)
        asked = len(self.asked)
        wanted = sysctls_for(desired, given, self._settings)
        self.kept.apply(plan_sysctls(wanted, self.kept.current), retry=True)
        if len(self.asked) > asked and not self._held:
            self.kept.policy_ended(self._world.close_forwarding(), None)
            self.apply(host, *containers)


def test_forwarding_is_left_alone_before_anything_needs_it() -> None:
    """The engine switches it on, and closes what has to be closed then."""
    world = World(sysctls={ACCEPT_RA: "1"})
    Sysctls(world).observe(builders.host())
    assert world.sysctls[ACCEPT_RA] == "2"
    assert FORWARDING not in world.written


def test_what_the_engine_would_have_closed_is_closed_before_forwarding_is_switched_on() -> None:
    """After accept_ra, and before any packet may pass."""
    world = World(sysctls={ACCEPT_RA: "1"})
    kept = Sysctls(world)
    kept.observe(builders.host(), ROUTED)
    order = [world.written.index(each) for each in (ACCEPT_RA, "policy of FORWARD", FORWARDING)]
    assert order == sorted(order)


def test_a_host_that_nothing_filters_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """It routes between all its links from then on."""
    world = World(forwarded=Forwarded.ANYTHING)
    kept = Sysctls(world)
    kept.observe(builders.host(), ROUTED)
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
    kept = Sysctls(world)
    kept.observe(builders.host(), ROUTED)
    assert world.written == []


def test_a_router_is_asked_for_where_forwarding_has_cost_a_link_its_default_route(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A few times, and one line says what happened and when the route comes back."""
    world = World(sysctls={FORWARDING: "1", ACCEPT_RA: "1"})
    seconds = itertools.count(0, SOLICITATION_SECONDS)
    kept = Sysctls(world, clock=lambda: next(seconds))
    for _ in range(SOLICITATIONS + 2):
        kept.observe(WITHOUT_ROUTE)
    assert world.solicited == [UPLINK.name] * SOLICITATIONS
    assert not kept.kept.soliciting
    (line,) = [each.message for each in caplog.records if "no default route by eth0" in each.message]
    assert "accept_ra=1" in line
    assert "next router advertisement" in line


def test_a_host_that_is_looked_at_often_asks_for_a_router_no_more_often() -> None:
    """Each news of a link is a reason to look, and none to ask again."""
    world = World(sysctls={FORWARDING: "1", ACCEPT_RA: "1"})
    kept = Sysctls(world, clock=lambda: 1000.0)
    for _ in range(SOLICITATIONS):
        kept.observe(WITHOUT_ROUTE)
    assert world.solicited == [UPLINK.name]
    assert kept.kept.soliciting


def test_a_sysctl_that_is_refused_is_failing_until_it_is_right() -> None:
    """Whoever sets it right."""
    world = World(sysctls={ACCEPT_RA: "1"})

    def refuse(change: SysctlChange) -> None:
        raise KernelRefusedError(f"setting {change.key}: read-only file system")

    world.writing = refuse
    kept = Sysctls(world)
    kept.observe(builders.host())
    assert kept.kept.failing
    world.sysctls[ACCEPT_RA] = "2"
    world.writing = lambda _: None
    kept.observe(builders.host())
    assert not kept.kept.failing


def test_forwarding_that_somebody_switched_on_meanwhile_is_closed_again_the_next_time() -> None:
    """What was closed then may be open by the time that forwarding is off again."""
    world = World(sysctls={ACCEPT_RA: "2"})
    kept = Sysctls(world, held=True)
    kept.observe(builders.host(), ROUTED)
    assert len(kept.asked) == 1
    world.sysctls[FORWARDING] = "1"
    kept.kept.policy_ended(Forwarded.BY_RULES, None)
    kept.apply(builders.host(), ROUTED)
    world.sysctls[FORWARDING] = "0"
    kept.observe(builders.host(), ROUTED)
    assert len(kept.asked) == 2
    assert world.sysctls[FORWARDING] == "0"


def test_no_router_is_asked_for_once_there_is_a_default_route() -> None:
    """One answer is enough."""
    world = World(sysctls={FORWARDING: "1", ACCEPT_RA: "1"})
    kept = Sysctls(world)
    kept.observe(WITHOUT_ROUTE)
    kept.observe(replace(WITHOUT_ROUTE, default_route_links=(UPLINK.name,)))
    assert world.solicited == [UPLINK.name]
    assert not kept.kept.soliciting


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
    kept = Sysctls(world, settings)
    for _ in range(2):
        kept.observe(WITHOUT_ROUTE)
    assert (world.written, world.solicited) == ([], [])
    wrong = "sysctl net/ipv6/conf/eth0/accept_ra is 1, and has to be 2"
    assert [each.levelno for each in caplog.records if each.message == wrong] == [level]
