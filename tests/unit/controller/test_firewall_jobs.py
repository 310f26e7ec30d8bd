"""Firewall jobs: one at a time, the most urgent first; uncertain addresses count as exposed."""

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv6Address

import pytest

from dockeripv6mapper.controller.firewall import FirewallTable
from dockeripv6mapper.controller.jobs import FirewallJob, ListFirewall, PutAcceptRules, WriteFirewall
from dockeripv6mapper.controller.log_changes import LogChanges
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
TIMED_OUT = CommandTimeoutError("running nft: timed out after 10 s")
OPEN = FirewallRules(DEFAULT_FWMARK, frozenset({WEB}))


class TableHarness:
    """A `FirewallTable` without a worker: a test ends each job by hand."""

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
        """Apply the plan for these containers."""
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
        """End the current job; return it."""
        (job,) = self.jobs
        self.jobs.clear()
        self.table.ended(job, value, error)
        self._apply_plan(whole=False)
        return job

    def end_all(self, rules: FirewallRules | None = None) -> list[type[FirewallJob]]:
        """End all jobs successfully, reads of the table with `rules`; return their types."""
        kinds = []
        while self.jobs:
            reads = isinstance(self.jobs[0], ListFirewall)
            kinds.append(type(self.end((rules or FirewallRules()) if reads else [])))
        return kinds

    def exposes(self, *addresses: IPv6Address) -> Iterable[bool]:
        """For each address, whether it may be open to more than is wanted."""
        exposed = self.table.exposed()
        return [each in exposed for each in addresses]


def test_every_address_counts_as_exposed_before_the_first_read() -> None:
    """An earlier process may have opened ports; where nft cannot run, none can have."""
    for error in (None, KernelRefusedError("running nft: not installed")):
        table = TableHarness()
        table.apply(whole=True)
        assert table.exposes(MON_CONTAINER, NGINX) == [True, True]
        table.end(FirewallRules(), error)
        assert table.exposes(MON_CONTAINER, NGINX) == [False, False]


def test_every_address_counts_as_exposed_until_a_first_read_that_timed_out_succeeds() -> None:
    """The failed read is retried, even if no label opens a port."""
    table = TableHarness()
    table.apply(whole=True)
    table.end(error=TIMED_OUT)
    assert table.exposes(MON_CONTAINER) == [True]
    assert table.table.failing
    table.apply(whole=True)
    table.end(FirewallRules())
    assert table.exposes(MON_CONTAINER) == [False]
    assert not table.table.failing


def test_every_address_counts_as_exposed_while_the_table_cannot_be_read() -> None:
    """Until the table is written anew."""
    table = TableHarness()
    table.apply(SERVING, whole=True)
    table.end_all()
    table.apply(SERVING, whole=True)
    table.end(None)
    assert table.exposes(NGINX) == [True]
    table.end_all()
    assert table.exposes(NGINX) == [False]


def test_no_address_counts_as_exposed_if_nft_can_neither_read_nor_write() -> None:
    """Waiting would not help; the write is retried."""
    table = TableHarness()
    table.apply(whole=True)
    table.end(None)
    assert table.exposes(MON_CONTAINER) == [True]
    table.end(error=KernelRefusedError("running nft -f -: exit code -11"))
    assert table.exposes(MON_CONTAINER) == [False]
    assert table.table.failing


def test_closed_addresses_of_an_earlier_daemon_are_removed_in_mode_engine() -> None:
    """A read shows which addresses are closed, but not on which uplinks."""
    table = TableHarness()
    table.apply(whole=True)
    table.end(FirewallRules(closed=frozenset({MON_CONTAINER})))
    assert table.jobs == [WriteFirewall(FirewallRules(DEFAULT_FWMARK))]


def test_a_closed_address_of_an_undecided_container_stays_closed() -> None:
    """The address is kept in the written table although no container needs it."""
    table = TableHarness(FirewallMode.CLOSED)
    table.apply(whole=True, spared=(NGINX,))
    table.end(FirewallRules(closed=frozenset({NGINX})))
    (job,) = table.jobs
    assert isinstance(job, WriteFirewall)
    assert job.rules.closed == {NGINX}


def test_a_failed_write_is_not_retried_when_no_opening_is_wanted_any_more() -> None:
    """The container has stopped."""
    table = TableHarness()
    table.apply(SERVING, whole=True)
    table.end(FirewallRules())
    assert isinstance(table.end(error=TIMED_OUT), WriteFirewall)
    table.apply(STOPPED)
    table.apply(STOPPED, whole=True)
    table.end_all()
    assert not table.table.failing


def test_an_opening_of_an_earlier_process_counts_as_exposed_until_the_write_ends() -> None:
    """A write in progress is not enough."""
    table = TableHarness()
    table.apply(whole=True)
    table.end(OPEN)
    assert table.exposes(MON_CONTAINER, NGINX) == [True, False]
    assert table.end() == WriteFirewall(FirewallRules(DEFAULT_FWMARK))
    assert table.exposes(MON_CONTAINER) == [False]


def test_an_opening_being_written_counts_as_exposed_after_its_container_stopped() -> None:
    """The running command is not cancelled."""
    table = TableHarness()
    table.apply(whole=True)
    table.end_all()
    table.apply(SERVING)
    table.apply(STOPPED)
    assert table.jobs == [WriteFirewall(OPEN)]
    assert table.exposes(MON_CONTAINER) == [True]


def test_an_opening_of_a_failed_write_counts_as_exposed_until_the_next_read() -> None:
    """The command may have taken effect before it failed."""
    table = TableHarness()
    table.apply(SERVING, whole=True)
    table.end(FirewallRules())
    table.end(error=TIMED_OUT)
    table.apply(STOPPED)
    assert table.exposes(MON_CONTAINER) == [True]
    table.apply(STOPPED, whole=True)
    table.end(FirewallRules())
    assert table.exposes(MON_CONTAINER) == [False]


@pytest.mark.parametrize("trouble", ["not read yet", "another uplink", "a command that failed"])
def test_an_address_counts_as_unclosed_without_a_read_on_a_new_uplink_or_after_a_failure(
    trouble: str,
) -> None:
    """It counts as closed only if the last read or write says so for every uplink."""
    table = TableHarness(FirewallMode.CLOSED)
    table.apply(SERVING, whole=True)
    assert table.table.unclosed() == {MON_CONTAINER}
    if trouble == "not read yet":
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


def test_no_address_counts_as_exposed_on_a_host_without_uplink() -> None:
    """Without an uplink, the addresses cannot be reached from outside."""
    table, alone = TableHarness(FirewallMode.CLOSED), replace(builders.host(), default_route_links=())
    table.apply(SERVING, host=alone, whole=True)
    table.end_all()
    assert table.exposes(MON_CONTAINER) == [False]


def test_an_empty_table_is_written_once_after_the_first_read() -> None:
    """The table may contain rules that cannot be parsed; writing an empty table removes them."""
    table = TableHarness()
    table.apply(whole=True)
    assert table.end_all() == [ListFirewall, WriteFirewall]
    table.apply(whole=True)
    assert table.end_all() == []


def test_hooks_are_checked_after_the_first_opening_and_at_each_full_pass() -> None:
    """Later changes of the openings do not cause a check."""
    table = TableHarness()
    table.apply(whole=True)
    table.end_all()
    table.apply(SERVING)
    assert table.end_all() == [WriteFirewall, PutAcceptRules]
    table.apply(replace(SERVING, labels={**SERVING.labels, "ipv6.mapper.ports": "81"}))
    assert table.end_all() == [WriteFirewall]
    table.apply(SERVING, whole=True)
    assert set(table.end_all(OPEN)) == {WriteFirewall, ListFirewall, PutAcceptRules}


def test_a_change_by_another_program_is_read_before_the_next_write() -> None:
    """The next write is made from what was read. A read that runs already is older than the change."""
    table = TableHarness()
    table.apply(SERVING, whole=True)
    table.end_all()
    table.table.changed()
    table.apply(replace(SERVING, labels={**SERVING.labels, "ipv6.mapper.ports": "80,81"}))
    assert isinstance(table.jobs[0], ListFirewall)
    table.table.changed()
    both = replace(OPEN, openings=frozenset({WEB, replace(WEB, first=81, last=81)}))
    kinds = [type(table.end(FirewallRules())), *table.end_all(both)]
    assert kinds[:2] == [ListFirewall, WriteFirewall]
    assert {ListFirewall, PutAcceptRules} <= set(kinds[2:])
    assert len(kinds) <= 5


def test_a_flush_leaves_no_address_closed_until_the_table_is_written_again() -> None:
    """With `--firewall closed`: no container may get its address meanwhile."""
    table = TableHarness(FirewallMode.CLOSED)
    table.apply(SERVING, whole=True)
    table.end_all()
    assert not table.table.unclosed()
    table.table.changed()
    assert table.table.unclosed() == {MON_CONTAINER}
    table.apply(SERVING)
    table.end_all()
    assert not table.table.unclosed()


def test_a_change_while_nothing_is_installed_causes_nothing() -> None:
    """No label opens a port."""
    table = TableHarness()
    table.apply(whole=True)
    table.end_all()
    table.table.changed()
    table.apply()
    assert not table.jobs


def test_reads_and_hook_checks_alternate_and_a_write_goes_first() -> None:
    """Each full pass requests both again, however long they take."""
    table = TableHarness()
    table.apply(SERVING, whole=True)
    order = []
    for _ in range(6):
        reads = isinstance(table.jobs[0], ListFirewall)
        order.append(type(table.end(OPEN if reads else [])))
        table.apply(SERVING, whole=True)
    assert order[:2] == [ListFirewall, WriteFirewall]
    assert {ListFirewall, PutAcceptRules} <= set(order[2:])


def test_a_failed_hook_check_is_not_retried_when_no_opening_is_wanted_any_more() -> None:
    """The container has stopped."""
    table = TableHarness()
    table.apply(SERVING, whole=True)
    table.end(FirewallRules())
    table.end()
    assert isinstance(table.end(error=TIMED_OUT), PutAcceptRules)
    assert table.table.failing
    table.apply(STOPPED)
    table.end_all()
    assert not table.table.failing
