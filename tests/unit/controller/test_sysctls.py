"""SysctlHarness: the host keeps its default route and its firewall when forwarding is switched on."""

import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from dockeripv6mapper.actions import SysctlChange
from dockeripv6mapper.controller.jobs import CloseForwarding
from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.controller.sysctls import SOLICITATION_SECONDS, SOLICITATIONS, HostSysctls
from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.wanted_sysctls import plan_sysctls, sysctls_for
from dockeripv6mapper.model import Container, Forwarded, Host, Link
from dockeripv6mapper.settings import Settings
from tests.unit import builders
from tests.unit.builders import UPLINK, container, facts
from tests.unit.controller.world import World

FORWARDING, ACCEPT_RA = "conf/all/forwarding", "conf/eth0/accept_ra"
WITHOUT_ROUTE = Host(links={UPLINK.name: UPLINK})


ROUTED = container(network="he_ipv6")
"""A container whose traffic is forwarded by the host."""


class SysctlHarness:
    """The sysctls of a world's host. A policy command ends at once, unless `by_hand`."""

    def __init__(
        self,
        world: World,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        by_hand: bool = False,
    ) -> None:
        self._world, self._settings, self._by_hand = world, settings or Settings(), by_hand
        self.policy_jobs: list[CloseForwarding] = []
        self.sysctls = HostSysctls(world, self._settings, LogChanges(), self.policy_jobs.append, clock=clock)

    def observe(self, host: Host, *containers: Container) -> None:
        """Read and apply the sysctls, as after an observation of the host."""
        self.sysctls.read(facts(*containers, of_host=host))
        self.apply(host, *containers)
        self.sysctls.solicit()

    def apply(self, host: Host, *containers: Container) -> None:
        """Apply the sysctls that these containers need."""
        given = replace(
            facts(*containers, of_host=host),
            sysctls=self.sysctls.current,
            appeared=self.sysctls.appeared,
        )
        desired = Desired(self._settings)
        desired.update(given, given.containers)
        count = len(self.policy_jobs)
        wanted = sysctls_for(desired, given, self._settings)
        self.sysctls.apply(plan_sysctls(wanted, self.sysctls.current), retry=True)
        if len(self.policy_jobs) > count and not self._by_hand:
            self.sysctls.policy_ended(self._world.close_forwarding(), None)
            self.apply(host, *containers)


def test_forwarding_is_not_switched_on_without_a_mapped_container() -> None:
    """accept_ra is set in advance."""
    world = World(sysctls={ACCEPT_RA: "1"})
    SysctlHarness(world).observe(builders.host())
    assert world.sysctls[ACCEPT_RA] == "2"
    assert FORWARDING not in world.kernel_writes


def test_the_forward_policy_is_set_after_accept_ra_and_before_forwarding() -> None:
    """No packet may be forwarded before the policy is set."""
    world = World(sysctls={ACCEPT_RA: "1"})
    harness = SysctlHarness(world)
    harness.observe(builders.host(), ROUTED)
    order = [world.kernel_writes.index(each) for each in (ACCEPT_RA, "policy of FORWARD", FORWARDING)]
    assert order == sorted(order)


def test_switching_forwarding_on_without_any_filter_causes_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The host then routes between all its links."""
    world = World(forwarded=Forwarded.ANYTHING)
    harness = SysctlHarness(world)
    harness.observe(builders.host(), ROUTED)
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "routes between all its links" in record.message
    assert "doctor" in record.message


def test_forwarding_is_not_switched_on_if_accept_ra_cannot_be_set() -> None:
    """The host would lose its own default route."""
    world = World(sysctls={ACCEPT_RA: "1"})

    def refuse(change: SysctlChange) -> None:
        if change.key == ACCEPT_RA:
            raise KernelRefusedError("setting accept_ra: read-only file system")

    world.on_write_sysctl = refuse
    harness = SysctlHarness(world)
    harness.observe(builders.host(), ROUTED)
    assert world.kernel_writes == []


def test_router_solicitations_are_sent_for_a_default_route_lost_to_forwarding(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A limited number; one log line says what happened and when the route returns."""
    world = World(sysctls={FORWARDING: "1", ACCEPT_RA: "1"})
    seconds = itertools.count(0, SOLICITATION_SECONDS)
    harness = SysctlHarness(world, clock=lambda: next(seconds))
    for _ in range(SOLICITATIONS + 2):
        harness.observe(WITHOUT_ROUTE)
    assert world.solicited == [UPLINK.name] * SOLICITATIONS
    assert not harness.sysctls.soliciting
    (line,) = [each.message for each in caplog.records if "no default route by eth0" in each.message]
    assert "accept_ra was 1" in line
    assert "next router advertisement" in line


def test_a_route_is_awaited_until_the_last_solicitation_has_stayed_unanswered() -> None:
    """Then the host has no uplink, and the log may say so."""
    now = 0.0
    world = World(sysctls={FORWARDING: "1", ACCEPT_RA: "1"})
    harness = SysctlHarness(world, clock=lambda: now)
    assert not harness.sysctls.awaits_route
    for _ in range(SOLICITATIONS):
        harness.observe(WITHOUT_ROUTE)
        assert harness.sysctls.awaits_route
        now += SOLICITATION_SECONDS
    assert not harness.sysctls.awaits_route


def test_only_a_guests_link_that_appears_later_loses_its_accept_ra() -> None:
    """It inherits 2 from `conf/default`. Once changed, a user may set it to 2 again."""
    bridges = [Link(f"virbr{each}", 20 + each, neighbour_discovery=True, kind="bridge") for each in (0, 1)]
    keys = [f"conf/{each.name}/accept_ra" for each in bridges]
    world = World(sysctls=dict.fromkeys(keys, "2"))
    harness = SysctlHarness(world)
    before = Host(links={each.name: each for each in (UPLINK, bridges[0])}, default_route_links=("eth0",))
    harness.observe(before)
    after = replace(before, links={**before.links, bridges[1].name: bridges[1]})
    harness.observe(after)
    assert [world.sysctls[each] for each in keys] == ["2", "1"]
    world.sysctls[keys[1]] = "2"
    harness.observe(after)
    assert world.sysctls[keys[1]] == "2"


def test_frequent_observations_do_not_send_more_router_solicitations() -> None:
    """The interval between solicitations is fixed."""
    world = World(sysctls={FORWARDING: "1", ACCEPT_RA: "1"})
    harness = SysctlHarness(world, clock=lambda: 1000.0)
    for _ in range(SOLICITATIONS):
        harness.observe(WITHOUT_ROUTE)
    assert world.solicited == [UPLINK.name]
    assert harness.sysctls.soliciting


def test_a_refused_sysctl_counts_as_failing_until_it_has_the_right_value() -> None:
    """It does not matter which program sets it."""
    world = World(sysctls={ACCEPT_RA: "1"})

    def refuse(change: SysctlChange) -> None:
        raise KernelRefusedError(f"setting {change.key}: read-only file system")

    world.on_write_sysctl = refuse
    harness = SysctlHarness(world)
    harness.observe(builders.host())
    assert harness.sysctls.failing
    world.sysctls[ACCEPT_RA] = "2"
    world.on_write_sysctl = lambda _: None
    harness.observe(builders.host())
    assert not harness.sysctls.failing


def test_the_forward_policy_is_set_again_if_forwarding_was_on_and_off_in_between() -> None:
    """Another program switched it on, so the earlier policy may be gone."""
    world = World(sysctls={ACCEPT_RA: "2"})
    harness = SysctlHarness(world, by_hand=True)
    harness.observe(builders.host(), ROUTED)
    assert len(harness.policy_jobs) == 1
    world.sysctls[FORWARDING] = "1"
    harness.sysctls.policy_ended(Forwarded.BY_RULES, None)
    harness.apply(builders.host(), ROUTED)
    world.sysctls[FORWARDING] = "0"
    harness.observe(builders.host(), ROUTED)
    assert len(harness.policy_jobs) == 2
    assert world.sysctls[FORWARDING] == "0"


def test_router_solicitations_stop_once_there_is_a_default_route() -> None:
    """One router advertisement is enough."""
    world = World(sysctls={FORWARDING: "1", ACCEPT_RA: "1"})
    harness = SysctlHarness(world)
    harness.observe(WITHOUT_ROUTE)
    harness.observe(replace(WITHOUT_ROUTE, default_route_links=(UPLINK.name,)))
    assert world.solicited == [UPLINK.name]
    assert not harness.sysctls.soliciting


@pytest.mark.parametrize(
    ("settings", "level"),
    [(Settings(dry_run=True), logging.INFO), (Settings(sysctl=False), logging.WARNING)],
)
def test_a_wrong_sysctl_that_may_not_be_changed_is_logged_once(
    settings: Settings, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    """At INFO in a dry run; as a warning with `--no-sysctl`."""
    caplog.set_level(logging.INFO)
    world = World(sysctls={FORWARDING: "1", ACCEPT_RA: "1"})
    harness = SysctlHarness(world, settings)
    for _ in range(2):
        harness.observe(WITHOUT_ROUTE)
    assert (world.kernel_writes, world.solicited) == ([], [])
    wrong = "sysctl net/ipv6/conf/eth0/accept_ra is 1, and has to be 2"
    assert [each.levelno for each in caplog.records if each.message == wrong] == [level]
