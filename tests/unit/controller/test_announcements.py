"""Announcements: which messages are sent when, and what stops them."""

import logging
from collections import Counter
from dataclasses import replace
from ipaddress import IPv6Address

import pytest

from dockeripv6mapper.controller.announcements import MAX_ROUTERS, Announcements, reasons_to_announce
from dockeripv6mapper.controller.log_changes import LogChanges
from dockeripv6mapper.controller.timers import Announce, Timers
from dockeripv6mapper.errors import KernelRefusedError
from dockeripv6mapper.kernel.ndp.announcements import Answer
from dockeripv6mapper.model import Host, Link, ProxyEntry
from tests.unit.builders import MON_CONTAINER, SUBNET
from tests.unit.controller.world import World

MAC, OTHER_MAC = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
UPLINK = Link("eth0", 2, neighbour_discovery=True, mac=MAC)
SECOND = Link("eth1", 3, neighbour_discovery=True, mac=bytes.fromhex("020000000003"))
ROUTER, OTHER_ROUTER = IPv6Address("fe80::1"), IPv6Address("fe80::2")
HOST = Host(links={"eth0": UPLINK, "eth1": SECOND}, default_routers=frozenset({(ROUTER, "eth0")}))
ENTRY = ProxyEntry(MON_CONTAINER, "eth0")

WITHOUT_OVERRIDE, PROBE = f"advertise {ENTRY}", f"probe {ENTRY}"
SOLICIT, OVERRIDE = f"solicit {ROUTER} from {ENTRY}", f"advertise {ENTRY} with override"
CLAIM = [SOLICIT, OVERRIDE]


class AnnouncementHarness:
    """Announcements with a fake kernel, and a clock that the test advances."""

    def __init__(self, host: Host = HOST) -> None:
        self.now = 0.0
        self.world = World()
        self.timers = Timers(lambda: self.now)
        self.announcements = Announcements(self.world, self.timers, LogChanges())
        self.announcements.observed(host, ())

    def observe(self, host: Host, *ours: ProxyEntry) -> None:
        """Observe the host anew."""
        self.announcements.observed(host, ours or (ENTRY,))

    def advance(self, seconds: float) -> list[str]:
        """Let time pass, as the loop's timer does; return what was sent."""
        return [message for _, message in self.sent_during(seconds)]

    def sent_during(self, seconds: float) -> list[tuple[float, str]]:
        """Let time pass; return each message that was sent, with its time in milliseconds."""
        end, sent = self.now + seconds, self._sent_now()
        while Announce() in self.timers:
            due = self.now + self.timers.next_in()
            if due > end:
                break
            self.now = due
            if self.timers.take_due(self.now) is not None:
                self.announcements.send_due()
            sent += self._sent_now()
        self.now = end
        return sent

    def _sent_now(self) -> list[tuple[float, str]]:
        sent = [(round(self.now * 1000, 1), message) for message in self.world.sent]
        self.world.sent.clear()
        return sent


def with_link(link: Link) -> Host:
    """Return the host with another state of its uplink."""
    return replace(HOST, links={**HOST.links, "eth0": link})


def answer(mac: bytes | None = OTHER_MAC, index: int = UPLINK.index) -> Answer:
    """Return another node's answer to the probe of the entry's address."""
    return Answer(MON_CONTAINER, index, mac)


def entries(count: int) -> list[ProxyEntry]:
    """Return that many entries on the uplink."""
    return [ProxyEntry(SUBNET[number], "eth0") for number in range(0x100, 0x100 + count)]


def test_a_new_entry_is_advertised_probed_and_claimed_three_times() -> None:
    """At once without override; with override after 30 ms in which no other node answers, then twice more."""
    harness = AnnouncementHarness()
    harness.announcements.added([ENTRY])
    sent = harness.sent_during(10)
    assert [(at, message) for at, message in sent if message not in CLAIM] == [
        (0, WITHOUT_OVERRIDE),
        (0, PROBE),
        (10, PROBE),
    ]
    assert [(at, message) for at, message in sent if message in CLAIM] == [
        (at, message) for at in (30, 1030, 2030) for message in CLAIM
    ]


def test_each_default_router_of_the_uplink_is_solicited() -> None:
    """Not one of another uplink; and none where the default route has no gateway."""
    routers = frozenset({(ROUTER, "eth0"), (OTHER_ROUTER, "eth0"), (IPv6Address("fe80::3"), "eth1")})
    harness = AnnouncementHarness(replace(HOST, default_routers=routers))
    harness.announcements.added([ENTRY])
    assert harness.advance(0.5)[3:] == [SOLICIT, f"solicit {OTHER_ROUTER} from {ENTRY}", OVERRIDE]
    harness = AnnouncementHarness(replace(HOST, default_routers=frozenset()))
    harness.announcements.added([ENTRY])
    assert harness.advance(0.5)[3:] == [OVERRIDE]


@pytest.mark.parametrize(
    ("mac", "whose"), [(OTHER_MAC, "02:00:00:00:00:02"), (None, "another node that is starting")]
)
@pytest.mark.parametrize("at", [0.005, 0.5, 1.5])
def test_an_answer_of_another_node_ends_the_announcement(
    at: float, mac: bytes | None, whose: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing more is sent, also where it is late; one warning says whose the address is and what to do."""
    harness = AnnouncementHarness()
    harness.announcements.added([ENTRY])
    harness.advance(at)
    harness.world.received = [answer(mac), answer(mac)]
    assert not {*CLAIM} & {*harness.advance(10)}
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert all(text in record.message for text in (str(ENTRY), whose, "ipv6.mapper.suffix"))
    assert len(record.message) <= 200
    assert not harness.world.listening


@pytest.mark.parametrize(
    "harmless",
    [
        pytest.param(answer(MAC), id="the kernel's own answer, brought back by a switch"),
        pytest.param(answer(SECOND.mac), id="the kernel's answer on a second uplink"),
        pytest.param(answer(index=SECOND.index), id="on another link"),
        pytest.param(answer(index=99), id="on an unknown link"),
        pytest.param(Answer(SUBNET[5], UPLINK.index, OTHER_MAC), id="about another address"),
    ],
)
def test_answers_that_are_no_conflict(harmless: Answer, caplog: pytest.LogCaptureFixture) -> None:
    """The address is claimed, and nothing is logged."""
    harness = AnnouncementHarness()
    harness.announcements.added([ENTRY])
    harness.world.received = [harmless]
    assert harness.advance(0.5)[3:] == CLAIM
    assert not caplog.records


def test_nothing_is_claimed_before_it_could_be_probed(caplog: pytest.LogCaptureFixture) -> None:
    """Another node may have the address. The probe is tried again every ten seconds."""
    harness = AnnouncementHarness()

    def refuse(message: str) -> None:
        if message == PROBE:
            raise KernelRefusedError("announcing: Operation not permitted")

    harness.world.on_send = refuse
    harness.announcements.added([ENTRY])
    with caplog.at_level(logging.INFO):
        assert harness.advance(35) == [WITHOUT_OVERRIDE]
        assert caplog.text.count("Operation not permitted") == 1
        harness.world.on_send = lambda _: None
        assert harness.advance(10) == [PROBE, *CLAIM * 3]


def test_nothing_is_claimed_before_the_answers_could_be_received() -> None:
    """One of them may say that another node has the address."""
    harness = AnnouncementHarness()
    harness.world.refuse_answers = True
    harness.announcements.added([ENTRY])
    assert harness.advance(5) == [WITHOUT_OVERRIDE, PROBE, PROBE]
    harness.world.refuse_answers = False
    assert harness.advance(10) == [PROBE, *CLAIM * 3]


def test_entries_of_an_earlier_process_are_announced_once() -> None:
    """It may have ended between the entry and its claim, or the uplink's MAC address changed meanwhile."""
    harness = AnnouncementHarness(Host())
    harness.observe(HOST)
    harness.observe(HOST)
    assert harness.advance(10) == [PROBE, *CLAIM * 3]


def test_a_message_from_before_the_entry_was_added_is_no_conflict() -> None:
    """A container's former host advertised the address a moment ago."""
    harness = AnnouncementHarness()
    harness.announcements.added([ProxyEntry(SUBNET[0x99], "eth0")])
    harness.advance(0.005)
    harness.world.received = [answer()]
    harness.announcements.added([ENTRY])
    assert set(CLAIM) <= set(harness.advance(1))


def test_the_routers_that_are_solicited_are_limited() -> None:
    """Any node of the link can pose as a thousand routers."""
    routers = frozenset((SUBNET[number], "eth0") for number in range(0x200, 0x600))
    harness = AnnouncementHarness(replace(HOST, default_routers=routers))
    harness.announcements.added([ENTRY])
    assert len(harness.advance(0.5)) == 3 + MAX_ROUTERS + 1


def test_a_failure_for_one_entry_does_not_keep_others_from_being_announced() -> None:
    """Their links differ, or their routers."""
    harness = AnnouncementHarness()
    other = ProxyEntry(MON_CONTAINER, "eth1")

    def refuse(message: str) -> None:
        if "eth0" in message:
            raise KernelRefusedError("announcing: network is down")

    harness.world.on_send = refuse
    harness.announcements.added([ENTRY, other])
    assert Counter(harness.advance(10))[f"advertise {other} with override"] == 3


def test_an_entry_that_is_removed_is_not_announced_any_more() -> None:
    """Its container is gone, or another program has removed the entry."""
    harness = AnnouncementHarness()
    harness.announcements.added([ENTRY])
    harness.advance(0.02)
    harness.announcements.removed([ENTRY])
    assert not harness.advance(10)
    harness.announcements.added([ENTRY])
    harness.advance(0.02)
    harness.announcements.observed(HOST, ())
    assert not harness.advance(10)


def test_a_late_loop_still_leaves_time_for_answers() -> None:
    """The steps follow one another, and not the clock: 20 ms after a second probe that came late."""
    harness = AnnouncementHarness()
    harness.announcements.added([ENTRY])
    harness.advance(0.0)
    harness.now += 5
    sent = harness.sent_during(1)
    assert sent[0] == (5000, PROBE)
    assert sent[1] == (5020, SOLICIT)


CHANGED = {
    "MAC address": with_link(replace(UPLINK, mac=OTHER_MAC)),
    "carrier": with_link(replace(UPLINK, carrier_ups=1)),
    "notifies its peers": with_link(replace(UPLINK, peer_notifications=1)),
    "default router": replace(HOST, default_routers=HOST.default_routers | {(OTHER_ROUTER, "eth0")}),
}


@pytest.mark.parametrize("reason", CHANGED)
def test_entries_are_announced_again_when_routers_may_have_a_wrong_mac_address(
    reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """After one probe, since another host may have taken over; and one line says why."""
    harness = AnnouncementHarness()
    with caplog.at_level(logging.INFO):
        harness.observe(CHANGED[reason])
    sent = harness.sent_during(10)
    assert sent[0] == (0, PROBE)
    assert [at for at, message in sent if message == OVERRIDE] == [30, 1030, 2030]
    assert WITHOUT_OVERRIDE not in [message for _, message in sent]
    (line,) = [each.message for each in caplog.records]
    assert "eth0" in line
    assert reason in line


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(HOST, HOST, id="nothing changed"),
        pytest.param(Host(), HOST, id="the first observation"),
        pytest.param(HOST, with_link(replace(UPLINK, index=9, mac=OTHER_MAC)), id="a new link of that name"),
        pytest.param(HOST, replace(HOST, links={}, default_routers=frozenset()), id="the link is gone"),
        pytest.param(HOST, replace(HOST, default_routers=frozenset()), id="a default router is gone"),
    ],
)
def test_other_changes_are_no_reason(before: Host, after: Host) -> None:
    """Routers have the right MAC address, or none."""
    assert list(reasons_to_announce(before, after)) == []


def test_a_change_of_one_uplink_concerns_no_other() -> None:
    """Only the entries there are announced again."""
    harness = AnnouncementHarness()
    harness.observe(CHANGED["MAC address"], ENTRY, ProxyEntry(MON_CONTAINER, "eth1"))
    assert not [message for message in harness.advance(10) if "eth1" in message]


def test_a_conflict_is_probed_again_and_its_end_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """At the next reason to announce: the other node may be gone."""
    harness = AnnouncementHarness()
    harness.announcements.added([ENTRY])
    harness.world.received = [answer()]
    harness.advance(1)
    harness.observe(CHANGED["carrier"])
    harness.world.received = [answer()]
    assert harness.advance(5) == [PROBE]
    assert caplog.text.count("not taken over") == 1
    with caplog.at_level(logging.INFO):
        harness.observe(HOST)
        assert harness.advance(0.5) == [PROBE, *CLAIM]
    assert "no other node has this address any more" in caplog.text


def test_an_uplink_that_flaps_causes_no_storm() -> None:
    """Ten changes a second, and two rounds a second."""
    harness = AnnouncementHarness()
    sent = []
    for number in range(100):
        harness.observe(with_link(replace(UPLINK, carrier_ups=number + 1)))
        sent += harness.advance(0.1)
    assert 15 <= sent.count(OVERRIDE) <= 20
    assert harness.advance(10).count(OVERRIDE) <= 3


def test_a_thousand_entries_are_spread_over_a_second() -> None:
    """Never more than 8 messages in a millisecond; each claimed within 1.1 s, and three times in all."""
    harness = AnnouncementHarness()
    many = entries(1000)
    harness.observe(CHANGED["MAC address"], *many)
    sent = harness.sent_during(10)
    assert len(sent) == 1000 * (1 + 3 * 2)
    assert max(Counter(int(at) for at, _ in sent).values()) <= 8
    first_claims = [at for at, message in sent if message.endswith("override")][:1000]
    assert max(first_claims) <= 1100


def test_a_new_entry_does_not_wait_for_a_thousand_that_are_announced_again() -> None:
    """A container starts during a failover."""
    harness = AnnouncementHarness()
    harness.observe(CHANGED["MAC address"], *entries(1000))
    harness.advance(0.1)
    harness.announcements.added([ENTRY])
    assert OVERRIDE in harness.advance(0.04)


def test_answers_are_received_only_while_an_announcement_is_under_way() -> None:
    """The queue of the socket does not fill meanwhile."""
    harness = AnnouncementHarness()
    harness.announcements.added([ENTRY])
    harness.advance(1)
    assert harness.world.listening
    harness.advance(5)
    assert not harness.world.listening
    assert Announce() not in harness.timers
