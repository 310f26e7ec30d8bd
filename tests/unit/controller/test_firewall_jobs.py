"""The firewall's jobs: one after the other, the most urgent first, and what is not certain meanwhile."""

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv6Address

import pytest

from dockeripv6mapper.controller.firewall import FirewallSide
from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.controller.workqueue import FirewallJob, ListFirewall, PutHooks, WriteFirewall
from dockeripv6mapper.errors import CommandTimeoutError, KernelRefusedError
from dockeripv6mapper.mapping.desired import Desired
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


class Side:
    """A firewall's side whose jobs a test ends."""

    def __init__(self, mode: FirewallMode = FirewallMode.ENGINE) -> None:
        settings = Settings(firewall=mode)
        self.jobs: list[FirewallJob] = []
        self.side = FirewallSide(self.jobs.append, settings, LogChanges())
        self._desired = Desired(settings)

    def settle(
        self,
        *containers: Container,
        host: Host | None = None,
        whole: bool = False,
        spared: tuple[IPv6Address, ...] = (),
    ) -> None:
        """Bring the table to what containers need."""
        given = facts(*containers, of_host=host or builders.host())
        self._desired.update(given, [*given.containers, *self._desired.forgotten(given)])
        self.side.settle(given, self._desired, {SERVING.id, *given.containers})
        if whole:
            self.side.settle_all(given, spared)

    def end(self, found: object = None, error: Exception | None = None) -> FirewallJob:
        """End the job that is under way."""
        (job,) = self.jobs
        self.jobs.clear()
        self.side.ended(job, found, error)
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
        exposed = self.side.exposed()
        return [each in exposed for each in addresses]


def test_before_the_first_look_any_address_may_be_open() -> None:
    """To whomever an earlier process opened it. Where nft cannot be run, none has opened anything."""
    for error in (None, KernelRefusedError("running nft: not installed")):
        side = Side()
        side.settle(whole=True)
        assert side.exposes(MON_CONTAINER, NGINX) == [True, True]
        side.end(FirewallRules(), error)
        assert side.exposes(MON_CONTAINER, NGINX) == [False, False]


def test_a_first_look_that_does_not_end_is_made_again_before_any_address_is_given_away() -> None:
    """It has shown nothing, whether a label asks for a port or not."""
    side = Side()
    side.settle(whole=True)
    side.end(error=TIMED_OUT)
    assert side.exposes(MON_CONTAINER) == [True]
    assert side.side.failing
    side.settle(whole=True)
    side.end(FirewallRules())
    assert side.exposes(MON_CONTAINER) == [False]
    assert not side.side.failing


def test_in_a_table_that_cannot_be_listed_any_address_may_be_open() -> None:
    """Until it was built anew, whatever was known of it before."""
    side = Side()
    side.settle(SERVING, whole=True)
    side.end_all()
    side.settle(SERVING, whole=True)
    side.end(None)
    assert side.exposes(NGINX) == [True]
    side.end_all()
    assert side.exposes(NGINX) == [False]


def test_an_nft_that_neither_lists_nor_writes_keeps_no_container_from_being_mapped() -> None:
    """There is nothing to wait for; what cannot be written is tried again."""
    side = Side()
    side.settle(whole=True)
    side.end(None)
    assert side.exposes(MON_CONTAINER) == [True]
    side.end(error=KernelRefusedError("running nft -f -: exit code -11"))
    assert side.exposes(MON_CONTAINER) == [False]
    assert side.side.failing


def test_a_table_that_only_closes_is_removed_by_a_daemon_that_closes_nothing() -> None:
    """A look shows what is closed, and not on which uplinks."""
    side = Side()
    side.settle(whole=True)
    side.end(FirewallRules(closed=frozenset({MON_CONTAINER})))
    assert side.jobs == [WriteFirewall(FirewallRules(DEFAULT_FWMARK))]


def test_what_is_closed_for_a_container_of_which_too_little_is_known_stays_closed() -> None:
    """A table that only closes is not an empty one."""
    side = Side(FirewallMode.CLOSED)
    side.settle(whole=True, spared=(NGINX,))
    side.end(FirewallRules(closed=frozenset({NGINX})))
    (job,) = side.jobs
    assert isinstance(job, WriteFirewall)
    assert job.rules.closed == {NGINX}


def test_a_write_that_fails_is_nobodys_concern_once_nothing_is_wanted() -> None:
    """Nothing is left to be tried again."""
    side = Side()
    side.settle(SERVING, whole=True)
    side.end(FirewallRules())
    assert isinstance(side.end(error=TIMED_OUT), WriteFirewall)
    side.settle(STOPPED)
    side.settle(STOPPED, whole=True)
    side.end_all()
    assert not side.side.failing


def test_what_an_earlier_process_opened_is_open_until_it_was_closed() -> None:
    """Not only until that is under way."""
    side = Side()
    side.settle(whole=True)
    side.end(OPEN)
    assert side.exposes(MON_CONTAINER, NGINX) == [True, False]
    assert side.end() == WriteFirewall(FirewallRules(DEFAULT_FWMARK))
    assert side.exposes(MON_CONTAINER) == [False]


def test_what_is_being_opened_for_a_container_that_has_ended_meanwhile_may_be_open() -> None:
    """The command is under way, and is not called back."""
    side = Side()
    side.settle(whole=True)
    side.end_all()
    side.settle(SERVING)
    side.settle(STOPPED)
    assert side.jobs == [WriteFirewall(OPEN)]
    assert side.exposes(MON_CONTAINER) == [True]


def test_what_a_command_that_failed_was_to_open_may_be_open() -> None:
    """It may have been carried out; the next look tells."""
    side = Side()
    side.settle(SERVING, whole=True)
    side.end(FirewallRules())
    side.end(error=TIMED_OUT)
    side.settle(STOPPED)
    assert side.exposes(MON_CONTAINER) == [True]
    side.settle(STOPPED, whole=True)
    side.end(FirewallRules())
    assert side.exposes(MON_CONTAINER) == [False]


@pytest.mark.parametrize("trouble", ["no look yet", "another uplink", "a command that failed"])
def test_an_address_is_closed_where_the_table_says_so_for_every_uplink(trouble: str) -> None:
    """As it was seen or written last, and not after a failure."""
    side = Side(FirewallMode.CLOSED)
    side.settle(SERVING, whole=True)
    assert side.side.unclosed() == {MON_CONTAINER}
    if trouble == "no look yet":
        return
    side.end_all()
    assert side.side.unclosed() == set()
    if trouble == "another uplink":
        two = replace(
            builders.host(),
            links={**builders.host().links, "eth1": Link("eth1", 3, neighbour_discovery=True)},
            default_route_links=("eth0", "eth1"),
        )
        side.settle(SERVING, host=two, whole=True)
    else:
        side.settle(STOPPED)
        side.end(error=TIMED_OUT)
        side.settle(SERVING)
    assert side.side.unclosed() == {MON_CONTAINER}


def test_nothing_has_to_be_closed_where_there_is_no_uplink() -> None:
    """From where it could be reached."""
    side, alone = Side(FirewallMode.CLOSED), replace(builders.host(), default_route_links=())
    side.settle(SERVING, host=alone, whole=True)
    side.end_all()
    assert side.exposes(MON_CONTAINER) == [False]


def test_a_table_of_which_nothing_is_wanted_is_written_after_the_first_look() -> None:
    """It may have rules that cannot be read; a write of nothing removes them."""
    side = Side()
    side.settle(whole=True)
    assert side.end_all() == [ListFirewall, WriteFirewall]
    side.settle(whole=True)
    assert side.end_all() == []


def test_the_hooks_are_looked_at_as_soon_as_there_is_something_to_let_through() -> None:
    """And at each full pass after that, not at each change."""
    side = Side()
    side.settle(whole=True)
    side.end_all()
    side.settle(SERVING)
    assert side.end_all() == [WriteFirewall, PutHooks]
    side.settle(replace(SERVING, labels={**SERVING.labels, "ipv6.mapper.ports": "81"}))
    assert side.end_all() == [WriteFirewall]
    side.settle(SERVING, whole=True)
    assert set(side.end_all(OPEN)) == {WriteFirewall, ListFirewall, PutHooks}


def test_looks_and_hooks_take_turns_and_a_change_goes_first() -> None:
    """Each full pass wants both again, however long they take."""
    side = Side()
    side.settle(SERVING, whole=True)
    order = []
    for _ in range(6):
        looks = isinstance(side.jobs[0], ListFirewall)
        order.append(type(side.end(OPEN if looks else [])))
        side.settle(SERVING, whole=True)
    assert order[:2] == [ListFirewall, WriteFirewall]
    assert {ListFirewall, PutHooks} <= set(order[2:])


def test_hooks_that_fail_are_nobodys_concern_once_nothing_is_let_through() -> None:
    """Nothing is left to be tried again."""
    side = Side()
    side.settle(SERVING, whole=True)
    side.end(FirewallRules())
    side.end()
    assert isinstance(side.end(error=TIMED_OUT), PutHooks)
    assert side.side.failing
    side.settle(STOPPED)
    side.end_all()
    assert not side.side.failing
