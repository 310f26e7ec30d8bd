"""The firewall's jobs: one after the other, the most urgent first, and what is not certain meanwhile."""

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv6Address

import pytest

from dockeripv6mapper.controller.firewall import FirewallTable
from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.controller.workqueue import FirewallJob, ListFirewall, PutHooks, WriteFirewall
from dockeripv6mapper.errors import CommandTimeoutError, KernelRefusedError
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.planner import plan_firewall
from dockeripv6mapper.mapping.spared import NOTHING, Spared
from dockeripv6mapper.model import Container, FirewallRules, Host, Link, Opening
from dockeripv6mapper.settings import DEFAULT_FWMARK, FirewallMode, Settings
from tests.unit import builders
from tests.unit.builders import MON_CONTAINER, NGINX, container, endpoint, facts

WEB = Opening(MON_CONTAINER, "tcp", 80, 80)
SERVING = container(
    network="he_ipv6", ports="80", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),)
)
STOPPED = replace(SERVING, running=False, endpoints=())
TIMED_OUT = CommandTimeoutError("running nft: no end after 10 s")
OPEN = FirewallRules(DEFAULT_FWMARK, frozenset({WEB}))


class Table:
    """A firewall table that is brought to plans, and whose commands a test ends."""

    def __init__(self, mode: FirewallMode = FirewallMode.ENGINE) -> None:
        self._settings = Settings(firewall=mode)
        self.jobs: list[FirewallJob] = []
        self.table = FirewallTable(self.jobs.append, self._settings, LogChanges())
        self._desired = Desired(self._settings)
        self._facts = facts()
        self._spared = NOTHING

    def apply(
        self,
        *containers: Container,
        host: Host | None = None,
        whole: bool = False,
        spared: tuple[IPv6Address, ...] = (),
    ) -> None:
        """Bring the table to what containers need."""
        self._facts = facts(*containers, of_host=host or builders.host())
        self._spared = Spared(undecided=frozenset(spared))
        self._desired.update(self._facts, [*self._facts.containers, *self._desired.forgotten(self._facts)])
        self._apply_plan(whole=whole)

    def _apply_plan(self, *, whole: bool) -> None:
        rules = self.table.rules
        host = replace(self._facts.host, openings=rules.openings, closed=rules.closed)
        given = replace(self._facts, host=host)
        plan = plan_firewall(self._desired, given, self._settings, self._spared)
        self.table.apply(plan, observed=True, whole=whole)

    def end(self, value: object = None, error: Exception | None = None) -> FirewallJob:
        """End the command that runs."""
        (job,) = self.jobs
        self.jobs.clear()
        self.table.ended(job, value, error)
        self._apply_plan(whole=False)
        return job

    def end_all(self, rules: FirewallRules | None = None) -> list[type[FirewallJob]]:
        """End all jobs well, a look with `rules`; returns their kinds."""
        kinds = []
        while self.jobs:
            looks = isinstance(self.jobs[0], ListFirewall)
            kinds.append(type(self.end((rules or FirewallRules()) if looks else [])))
        return kinds

    def exposes(self, *addresses: IPv6Address) -> Iterable[bool]:
        """Whether more may be let through to addresses than is wanted."""
        exposed = self.table.exposed()
        return [each in exposed for each in addresses]


def test_before_the_first_look_any_address_may_be_open() -> None:
    """To whomever an earlier process opened it. Where nft cannot be run, none has opened anything."""
    for error in (None, KernelRefusedError("running nft: not installed")):
        table = Table()
        table.apply(whole=True)
        assert table.exposes(MON_CONTAINER, NGINX) == [True, True]
        table.end(FirewallRules(), error)
        assert table.exposes(MON_CONTAINER, NGINX) == [False, False]


def test_a_first_look_that_does_not_end_is_made_again_before_any_address_is_given_away() -> None:
    """It has shown nothing, whether a label asks for a port or not."""
    table = Table()
    table.apply(whole=True)
    table.end(error=TIMED_OUT)
    assert table.exposes(MON_CONTAINER) == [True]
    assert table.table.failing
    table.apply(whole=True)
    table.end(FirewallRules())
    assert table.exposes(MON_CONTAINER) == [False]
    assert not table.table.failing


def test_in_a_table_that_cannot_be_listed_any_address_may_be_open() -> None:
    """Until it was built anew, whatever was known of it before."""
    table = Table()
    table.apply(SERVING, whole=True)
    table.end_all()
    table.apply(SERVING, whole=True)
    table.end(None)
    assert table.exposes(NGINX) == [True]
    table.end_all()
    assert table.exposes(NGINX) == [False]


def test_an_nft_that_neither_lists_nor_writes_keeps_no_container_from_being_mapped() -> None:
    """There is nothing to wait for; what cannot be written is tried again."""
    table = Table()
    table.apply(whole=True)
    table.end(None)
    assert table.exposes(MON_CONTAINER) == [True]
    table.end(error=KernelRefusedError("running nft -f -: exit code -11"))
    assert table.exposes(MON_CONTAINER) == [False]
    assert table.table.failing


def test_a_table_that_only_closes_is_removed_by_a_daemon_that_closes_nothing() -> None:
    """A look shows what is closed, and not on which uplinks."""
    table = Table()
    table.apply(whole=True)
    table.end(FirewallRules(closed=frozenset({MON_CONTAINER})))
    assert table.jobs == [WriteFirewall(FirewallRules(DEFAULT_FWMARK))]


def test_what_is_closed_for_a_container_of_which_too_little_is_known_stays_closed() -> None:
    """A table that only closes is not an empty one."""
    table = Table(FirewallMode.CLOSED)
    table.apply(whole=True, spared=(NGINX,))
    table.end(FirewallRules(closed=frozenset({NGINX})))
    (job,) = table.jobs
    assert isinstance(job, WriteFirewall)
    assert job.rules.closed == {NGINX}


def test_a_write_that_fails_is_nobodys_concern_once_nothing_is_wanted() -> None:
    """Nothing is left to be tried again."""
    table = Table()
    table.apply(SERVING, whole=True)
    table.end(FirewallRules())
    assert isinstance(table.end(error=TIMED_OUT), WriteFirewall)
    table.apply(STOPPED)
    table.apply(STOPPED, whole=True)
    table.end_all()
    assert not table.table.failing


def test_what_an_earlier_process_opened_is_open_until_it_was_closed() -> None:
    """Not only until that is under way."""
    table = Table()
    table.apply(whole=True)
    table.end(OPEN)
    assert table.exposes(MON_CONTAINER, NGINX) == [True, False]
    assert table.end() == WriteFirewall(FirewallRules(DEFAULT_FWMARK))
    assert table.exposes(MON_CONTAINER) == [False]


def test_what_is_being_opened_for_a_container_that_has_ended_meanwhile_may_be_open() -> None:
    """The command is under way, and is not called back."""
    table = Table()
    table.apply(whole=True)
    table.end_all()
    table.apply(SERVING)
    table.apply(STOPPED)
    assert table.jobs == [WriteFirewall(OPEN)]
    assert table.exposes(MON_CONTAINER) == [True]


def test_what_a_command_that_failed_was_to_open_may_be_open() -> None:
    """It may have been carried out; the next look tells."""
    table = Table()
    table.apply(SERVING, whole=True)
    table.end(FirewallRules())
    table.end(error=TIMED_OUT)
    table.apply(STOPPED)
    assert table.exposes(MON_CONTAINER) == [True]
    table.apply(STOPPED, whole=True)
    table.end(FirewallRules())
    assert table.exposes(MON_CONTAINER) == [False]


@pytest.mark.parametrize("trouble", ["no look yet", "another uplink", "a command that failed"])
def test_an_address_is_closed_where_the_table_says_so_for_every_uplink(trouble: str) -> None:
    """As it was seen or written last, and not after a failure."""
    table = Table(FirewallMode.CLOSED)
    table.apply(SERVING, whole=True)
    assert table.table.unclosed() == {MON_CONTAINER}
    if trouble == "no look yet":
        return
    table.end_all()
    assert table.table.unclosed() == set()
    if trouble == "another uplink":
        two = replace(
            builders.host(),
            links={**builders.host().links, "eth1": Link("eth1", 3, neighbour_discovery=True)},
            default_route_links=("eth0", "eth1"),
        )
        table.apply(SERVING, host=two, whole=True)
    else:
        table.apply(STOPPED)
        table.end(error=TIMED_OUT)
        table.apply(SERVING)
    assert table.table.unclosed() == {MON_CONTAINER}


def test_nothing_has_to_be_closed_where_there_is_no_uplink() -> None:
    """From where it could be reached."""
    table, alone = Table(FirewallMode.CLOSED), replace(builders.host(), default_route_links=())
    table.apply(SERVING, host=alone, whole=True)
    table.end_all()
    assert table.exposes(MON_CONTAINER) == [False]


def test_a_table_of_which_nothing_is_wanted_is_written_after_the_first_look() -> None:
    """It may have rules that cannot be read; a write of nothing removes them."""
    table = Table()
    table.apply(whole=True)
    assert table.end_all() == [ListFirewall, WriteFirewall]
    table.apply(whole=True)
    assert table.end_all() == []


def test_the_hooks_are_looked_at_as_soon_as_there_is_something_to_let_through() -> None:
    """And at each full pass after that, not at each change."""
    table = Table()
    table.apply(whole=True)
    table.end_all()
    table.apply(SERVING)
    assert table.end_all() == [WriteFirewall, PutHooks]
    table.apply(replace(SERVING, labels={**SERVING.labels, "ipv6.mapper.ports": "81"}))
    assert table.end_all() == [WriteFirewall]
    table.apply(SERVING, whole=True)
    assert set(table.end_all(OPEN)) == {WriteFirewall, ListFirewall, PutHooks}


def test_looks_and_hooks_take_turns_and_a_change_goes_first() -> None:
    """Each full pass wants both again, however long they take."""
    table = Table()
    table.apply(SERVING, whole=True)
    order = []
    for _ in range(6):
        looks = isinstance(table.jobs[0], ListFirewall)
        order.append(type(table.end(OPEN if looks else [])))
        table.apply(SERVING, whole=True)
    assert order[:2] == [ListFirewall, WriteFirewall]
    assert {ListFirewall, PutHooks} <= set(order[2:])


def test_hooks_that_fail_are_nobodys_concern_once_nothing_is_let_through() -> None:
    """Nothing is left to be tried again."""
    table = Table()
    table.apply(SERVING, whole=True)
    table.end(FirewallRules())
    table.end()
    assert isinstance(table.end(error=TIMED_OUT), PutHooks)
    assert table.table.failing
    table.apply(STOPPED)
    table.end_all()
    assert not table.table.failing
