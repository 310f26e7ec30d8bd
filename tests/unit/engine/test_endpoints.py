"""Endpoint changes, call by call, as they come over the wire.

Each test's engine shows one container on `he_ipv6`, and refuses or swallows the calls that the test names.
"""

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Any

import pytest

from dockeripv6mapper.actions import Connect, Reconnect, Release, Restore, Vacate
from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.engine.endpoints import Endpoints
from dockeripv6mapper.engine.journal import Journal, Unfinished
from dockeripv6mapper.engine.recovery import LATE_SECONDS
from dockeripv6mapper.errors import (
    EngineRefusedError,
    EngineUnavailableError,
    MapperError,
    NotFinishedError,
)
from tests.unit.engine.wire import HANG, INSPECTED, Wire, answer

CONTAINER = str(INSPECTED["Id"])
OLD, NEW = IPv6Address("2001:db8::9"), IPv6Address("2001:db8::5")
USERS = {
    "Aliases": ["foo"],
    "Links": ["db:db"],
    "DriverOpts": {"com.example": "x"},
    "GwPriority": 7,
    "IPAMConfig": {"IPv4Address": "172.30.0.50"},
}
"""What the user set on the endpoint."""
OPERATIONAL: Mapping[str, Any] = {
    **dict.fromkeys(("IPAMConfig", "Links", "Aliases", "DriverOpts")),
    "NetworkID": "net-id",
    "EndpointID": "ep",
    "GlobalIPv6Address": str(OLD),
    "IPAddress": "172.30.0.50",
    "MacAddress": "02:42:ac:1e:00:32",
}
RUNNING = {"Status": "running", "Running": True}
STOPPED = {"Status": "exited", "Running": False}
MOVE = Reconnect(CONTAINER, "mon_container", "net-id", "he_ipv6", NEW)
RESTORE = Restore(CONTAINER, "mon_container")
REFUSED = answer(403, json.dumps({"message": "Address already in use"}))
GONE = answer(404, json.dumps({"message": "no such thing"}))


@pytest.fixture
def endpoints(wire: Wire, client: Client, journal: Journal) -> Endpoints:
    """The endpoints of a running container that its user attached, with a journal in which nothing stands."""
    wire.state = RUNNING
    wire.inspected = {"he_ipv6": {**OPERATIONAL, **USERS}}
    return Endpoints(client, journal)


def steps(wire: Wire) -> list[str]:
    """The verbs of the changes that were asked for."""
    return [change.verb for change in wire.changes]


def settings_of(wire: Wire, number: int) -> Mapping[str, Any]:
    """The `EndpointSettings` of the n-th change, without our mark."""
    settings = dict(wire.changes[number].endpoint)
    options = {key: value for key, value in settings["DriverOpts"].items() if key != "ipv6.mapper.endpoint"}
    return {**settings, "DriverOpts": options}


def mark_of(wire: Wire, number: int) -> str:
    """Our mark on the n-th change."""
    return str(wire.changes[number].endpoint["DriverOpts"]["ipv6.mapper.endpoint"])


def noted(journal: Journal) -> Mapping[str, Any] | None:
    """What the journal has for the container."""
    unfinished = journal.read(CONTAINER)
    return unfinished.endpoint if unfinished else None


def at(address: IPv6Address, settings: Mapping[str, Any] = USERS) -> dict[str, Any]:
    """The user's settings with an IPv6 address."""
    return {**settings, "IPAMConfig": {**settings["IPAMConfig"], "IPv6Address": str(address)}}


# --- a move -----------------------------------------------------------------------------------------------


def test_a_move_tries_the_ipv6_address_alone_before_it_asks_for_both(
    endpoints: Endpoints, wire: Wire, journal: Journal
) -> None:
    """A refused connect with an IPv4 address would burn that until the engine restarts."""
    assert endpoints.apply(MOVE)
    assert steps(wire) == ["disconnect", "connect", "disconnect", "connect"]
    assert wire.changes[1].endpoint["IPAMConfig"] == {"IPv6Address": str(NEW)}
    assert settings_of(wire, 3) == at(NEW)
    assert mark_of(wire, 3) == "moved:"
    assert noted(journal) is None


def test_the_endpoint_between_two_steps_says_what_the_user_set(endpoints: Endpoints, wire: Wire) -> None:
    """A process that finds it knows that it is no endpoint of the user's, and what to make of it."""
    endpoints.apply(MOVE)
    assert json.loads(mark_of(wire, 1).partition(":")[2]) == USERS


def test_a_move_without_an_ipv4_address_needs_one_connect(endpoints: Endpoints, wire: Wire) -> None:
    """There is nothing to burn. Some engines show an address that nobody asked for as ""."""
    wire.inspected = {"he_ipv6": {**OPERATIONAL, **USERS, "IPAMConfig": {"IPv4Address": ""}}}
    endpoints.apply(MOVE)
    assert steps(wire) == ["disconnect", "connect"]
    assert wire.changes[1].endpoint["IPAMConfig"] == {"IPv6Address": str(NEW)}


def test_a_stopped_container_is_moved_by_one_connect(endpoints: Endpoints, wire: Wire) -> None:
    """Nothing is allocated before its start, so that nothing can be refused."""
    wire.state = STOPPED
    endpoints.apply(MOVE)
    assert steps(wire) == ["disconnect", "connect"]
    assert settings_of(wire, 1) == at(NEW)


def test_a_container_that_its_user_detached_meanwhile_stays_detached(
    endpoints: Endpoints, wire: Wire, journal: Journal
) -> None:
    """The first disconnect is refused then, and nothing was changed that would have to be put back."""
    wire.refusals = {0: answer(500, json.dumps({"message": "is not connected to network he_ipv6"}))}
    with pytest.raises(EngineRefusedError, match="is not connected"):
        endpoints.apply(MOVE)
    assert steps(wire) == ["disconnect"]
    assert noted(journal) is None


def test_an_endpoint_for_a_moment_is_moved_with_what_its_user_set(endpoints: Endpoints, wire: Wire) -> None:
    """Though it is at the address already: it has nothing of the user's."""
    mark = {"ipv6.mapper.endpoint": "restore:" + json.dumps(USERS)}
    moment = {"IPAMConfig": {"IPv6Address": str(NEW)}, "GlobalIPv6Address": str(NEW), "DriverOpts": mark}
    wire.inspected = {"he_ipv6": {**OPERATIONAL, **moment}}
    assert endpoints.apply(MOVE)
    assert settings_of(wire, 3) == at(NEW)
    assert mark_of(wire, 3) == "moved:"


def test_an_endpoint_at_the_address_is_left_alone(endpoints: Endpoints, wire: Wire) -> None:
    """A move would only be an outage."""
    wire.inspected = {"he_ipv6": {**OPERATIONAL, **at(NEW), "GlobalIPv6Address": str(NEW)}}
    assert not endpoints.apply(MOVE)
    assert wire.changes == []


# --- a refusal --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refused", [1, 3], ids=["ipv6-alone", "both"])
def test_a_refused_move_puts_back_what_the_user_had_set(
    endpoints: Endpoints, wire: Wire, journal: Journal, refused: int
) -> None:
    """Whichever connect is refused; the refusal is raised all the same."""
    wire.refusals = {refused: REFUSED}
    with pytest.raises(
        EngineRefusedError, match=r"moving mon_container on he_ipv6 .*: Address already in use"
    ):
        endpoints.apply(MOVE)
    assert wire.changes[-1].endpoint == USERS
    assert noted(journal) is None


def test_what_is_put_back_is_tried_in_two_steps_too(endpoints: Endpoints, wire: Wire) -> None:
    """The user's own IPv6 address may be another container's by now."""
    wire.inspected = {"he_ipv6": {**OPERATIONAL, **at(OLD)}}
    wire.refusals = {1: REFUSED}
    with pytest.raises(EngineRefusedError):
        endpoints.apply(MOVE)
    assert steps(wire)[2:] == ["connect", "disconnect", "connect"]
    assert wire.changes[2].endpoint["IPAMConfig"] == {"IPv6Address": str(OLD)}
    assert wire.changes[4].endpoint == at(OLD)


def test_what_cannot_be_put_back_whole_keeps_the_rest_and_says_what_it_lacks(
    endpoints: Endpoints, wire: Wire, journal: Journal
) -> None:
    """Being attached matters more than where; the mark lets a later move give back all of it."""
    wire.inspected = {"he_ipv6": {**OPERATIONAL, **at(OLD)}}
    wire.refusals = {1: REFUSED, 2: REFUSED}
    with pytest.raises(EngineRefusedError):
        endpoints.apply(MOVE)
    assert settings_of(wire, -1) == USERS
    assert json.loads(mark_of(wire, -1).partition(":")[2]) == at(OLD)
    assert noted(journal) is None


def test_a_taken_ipv4_address_does_not_cost_the_ipv6_address(endpoints: Endpoints, wire: Wire) -> None:
    """Where all but the IPv4 address can be had, all but that is put back."""
    wire.inspected = {"he_ipv6": {**OPERATIONAL, **at(OLD)}}
    wire.refusals = {1: REFUSED, 4: REFUSED, 5: REFUSED}
    with pytest.raises(EngineRefusedError):
        endpoints.apply(MOVE)
    assert settings_of(wire, -1)["IPAMConfig"] == {"IPv6Address": str(OLD)}
    assert settings_of(wire, -1)["Aliases"] == ["foo"]


def test_an_address_of_ours_that_cannot_be_put_back_leaves_nothing_to_restore(
    endpoints: Endpoints, wire: Wire
) -> None:
    """It was never the user's: all that the user set is there."""
    options = {"com.example": "x", "ipv6.mapper.endpoint": "moved:"}
    wire.inspected = {"he_ipv6": {**OPERATIONAL, **at(OLD), "DriverOpts": options}}
    wire.refusals = {1: REFUSED, 2: REFUSED}
    with pytest.raises(EngineRefusedError):
        endpoints.apply(MOVE)
    assert settings_of(wire, -1) == USERS
    assert mark_of(wire, -1) == "moved:"


def test_a_container_that_cannot_be_attached_at_all_stays_noted(
    endpoints: Endpoints, wire: Wire, journal: Journal
) -> None:
    """With everything that its user set, for the next try."""
    wire.refusals = dict.fromkeys(range(1, 20), REFUSED)
    with pytest.raises(NotFinishedError, match="reattaching container mon_container to he_ipv6"):
        endpoints.apply(MOVE)
    assert noted(journal) == USERS


def test_a_network_that_is_gone_keeps_the_note_of_the_move(
    endpoints: Endpoints, wire: Wire, journal: Journal
) -> None:
    """The user may make it again by its name, and finds what was set on it."""
    wire.refusals = dict.fromkeys(range(1, 20), GONE)
    with pytest.raises(EngineRefusedError):
        endpoints.apply(MOVE)
    assert noted(journal) == USERS
    wire.refusals = {len(wire.changes): GONE}
    wire.inspected = {}
    assert endpoints.apply(RESTORE)
    assert wire.changes[-1].path.endswith("/networks/he_ipv6/connect")
    assert wire.changes[-1].endpoint == USERS


def test_a_container_that_is_gone_leaves_no_note(endpoints: Endpoints, wire: Wire, journal: Journal) -> None:
    """There is nothing to put back, and no error in that."""
    journal.write(CONTAINER, Unfinished("net-id", "he_ipv6", USERS))
    wire.spoils = {f"/containers/{CONTAINER}/json": GONE}
    assert not endpoints.apply(RESTORE)
    assert noted(journal) is None


# --- a death ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", range(4))
def test_a_death_at_any_call_of_a_move_leaves_a_note_of_what_the_user_set(
    endpoints: Endpoints, wire: Wire, journal: Journal, last: int
) -> None:
    """Or an answer that never came: the next process cannot tell."""
    wire.refusals = {last: HANG}
    with pytest.raises(EngineUnavailableError):
        endpoints.apply(MOVE)
    assert len(wire.changes) == last + 1
    assert noted(journal) == USERS


def test_a_detached_container_gets_back_all_that_its_user_set(
    endpoints: Endpoints, wire: Wire, journal: Journal
) -> None:
    """By whichever process comes next."""
    journal.write(CONTAINER, Unfinished("net-id", "he_ipv6", at(OLD)))
    wire.inspected = {}
    assert endpoints.apply(RESTORE)
    assert steps(wire) == ["connect", "disconnect", "connect"]
    assert wire.changes[-1].endpoint == at(OLD)
    assert noted(journal) is None


@pytest.mark.parametrize("with_note", [True, False])
def test_an_endpoint_for_a_moment_is_not_taken_for_the_users(
    endpoints: Endpoints, wire: Wire, journal: Journal, *, with_note: bool
) -> None:
    """It is replaced by what its mark says, also without the note, which a reboot loses."""
    if with_note:
        journal.write(CONTAINER, Unfinished("net-id", "he_ipv6", USERS))
    mark = {"ipv6.mapper.endpoint": "restore:" + json.dumps(USERS)}
    wire.inspected = {"he_ipv6": {**OPERATIONAL, "DriverOpts": mark}}
    assert endpoints.apply(RESTORE)
    assert steps(wire) == ["disconnect", "connect"]
    assert wire.changes[-1].endpoint == USERS
    assert noted(journal) is None


def test_a_restored_endpoint_that_still_lacks_something_is_a_refusal(
    endpoints: Endpoints, wire: Wire, journal: Journal
) -> None:
    """Each try detaches the container for a moment: they must not go on for ever."""
    mark = {"ipv6.mapper.endpoint": "restore:" + json.dumps(at(OLD))}
    wire.inspected = {"he_ipv6": {**OPERATIONAL, "DriverOpts": mark}}
    wire.refusals = {1: REFUSED}
    with pytest.raises(EngineRefusedError) as refused:
        endpoints.apply(RESTORE)
    assert not isinstance(refused.value, NotFinishedError)
    assert json.loads(mark_of(wire, -1).partition(":")[2]) == at(OLD)
    assert noted(journal) is None


def test_a_move_that_was_not_begun_yet_is_looked_at_again(
    endpoints: Endpoints, wire: Wire, journal: Journal
) -> None:
    """The disconnect of a process that died may still wait in a busy engine: the note stays until then."""
    journal.write(CONTAINER, Unfinished("net-id", "he_ipv6", USERS))
    assert not endpoints.apply(RESTORE)
    assert noted(journal) == USERS
    long_ago = time.time() - LATE_SECONDS
    os.utime(journal.directory / f"{CONTAINER}.json", (long_ago, long_ago), follow_symlinks=False)
    assert not endpoints.apply(RESTORE)
    assert (wire.changes, noted(journal)) == ([], None)


def test_an_endpoint_that_the_user_made_meanwhile_stays(
    endpoints: Endpoints, wire: Wire, journal: Journal
) -> None:
    """It is what the user wants now, whatever the note says."""
    journal.write(CONTAINER, Unfinished("net-id", "he_ipv6", at(OLD, {**USERS, "Aliases": ["other"]})))
    assert not endpoints.apply(RESTORE)
    assert (wire.changes, noted(journal)) == ([], None)


def test_a_note_that_cannot_be_read_is_set_aside(
    endpoints: Endpoints, wire: Wire, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    """With one warning: it must not keep the container from being mapped for good."""
    journal.prepare()
    note = journal.directory / f"{CONTAINER}.json"
    note.write_text('{"network_id": 5}')
    assert not endpoints.apply(RESTORE)
    assert not endpoints.unfinished(CONTAINER)
    assert note.with_suffix(".json.unreadable").exists()
    assert [record.levelname for record in caplog.records].count("WARNING") == 1
    assert wire.changes == []


# --- a connect --------------------------------------------------------------------------------------------

LEFTOVER = {
    **OPERATIONAL,
    "IPAMConfig": {"IPv6Address": str(NEW)},
    **dict.fromkeys(("EndpointID", "NetworkID", "GlobalIPv6Address"), ""),
}
"""What a refused connect leaves in the configuration."""
CONNECT = Connect(CONTAINER, "mon_container", "net-id", "he_ipv6", NEW)


def test_a_refused_connect_leaves_no_address_in_the_configuration(endpoints: Endpoints, wire: Wire) -> None:
    """The engine keeps what it refuses, and a disconnect takes a connect that succeeds."""
    wire.inspected = {"he_ipv6": LEFTOVER}
    wire.refusals = {0: REFUSED}
    with pytest.raises(EngineRefusedError, match=r"connecting mon_container to he_ipv6 at 2001:db8::5"):
        endpoints.apply(CONNECT)
    assert steps(wire) == ["connect", "connect", "disconnect"]
    assert wire.changes[1].endpoint == {"DriverOpts": {"ipv6.mapper.endpoint": "added"}}
    assert not endpoints.unfinished(CONTAINER)


def test_what_a_refused_connect_left_is_removed_by_the_next_process(
    endpoints: Endpoints, wire: Wire, journal: Journal
) -> None:
    """Where the one that connected died before it could; and it stays noted while that fails."""
    journal.write(CONTAINER, Unfinished("net-id", "he_ipv6", None))
    wire.inspected = {"he_ipv6": LEFTOVER}
    wire.refusals = {0: REFUSED}
    with pytest.raises(NotFinishedError):
        endpoints.apply(RESTORE)
    assert endpoints.unfinished(CONTAINER)
    assert endpoints.apply(RESTORE)
    assert steps(wire)[1:] == ["connect", "disconnect"]
    assert not endpoints.unfinished(CONTAINER)


def test_a_connect_is_noted_before_it_is_asked_for(
    endpoints: Endpoints, wire: Wire, journal: Journal
) -> None:
    """The process may die before it hears of a refusal."""
    wire.refusals = {0: HANG}
    with suppress(MapperError):
        endpoints.apply(CONNECT)
    assert journal.read(CONTAINER) == Unfinished("net-id", "he_ipv6", None)


# --- taking an address back -------------------------------------------------------------------------------

RELEASE = Release(CONTAINER, "mon_container", "net-id", "he_ipv6", NEW)
VACATE = Vacate(CONTAINER, "mon_container", "net-id", "he_ipv6", NEW)


@pytest.mark.parametrize(
    ("mark", "verbs"),
    [("added", ["disconnect"]), ("moved:", ["disconnect", "connect"]), (None, []), ("restore:{}", [])],
)
def test_only_an_endpoint_of_ours_is_taken_back(
    endpoints: Endpoints, wire: Wire, mark: str | None, verbs: list[str]
) -> None:
    """What the user attached is put back as it was, and stays where it carries no mark."""
    options = {} if mark is None else {"ipv6.mapper.endpoint": mark}
    wire.state = STOPPED
    wire.inspected = {"he_ipv6": {**OPERATIONAL, **at(NEW), "DriverOpts": options}}
    assert endpoints.apply(RELEASE) == bool(verbs)
    assert steps(wire) == verbs
    if mark == "moved:":
        assert wire.changes[1].endpoint == {**USERS, "DriverOpts": {}}


def test_an_endpoint_for_a_moment_gives_up_its_addresses_and_keeps_its_mark(
    endpoints: Endpoints, wire: Wire
) -> None:
    """What the user set is given back when the container runs, where the engine can refuse it."""
    wire.state = STOPPED
    mark = {"ipv6.mapper.endpoint": "restore-running:" + json.dumps(at(OLD))}
    wire.inspected = {"he_ipv6": {**OPERATIONAL, "IPAMConfig": {"IPv6Address": str(NEW)}, "DriverOpts": mark}}
    assert endpoints.apply(RELEASE)
    assert settings_of(wire, -1) == {**USERS, "IPAMConfig": {}}
    assert json.loads(mark_of(wire, -1).partition(":")[2]) == at(OLD)


def test_a_connect_that_was_to_be_undone_is_undone_by_the_next_process(
    endpoints: Endpoints, wire: Wire, journal: Journal
) -> None:
    """The container is on the network for a moment then, at an address that nobody asked for."""
    journal.write(CONTAINER, Unfinished("net-id", "he_ipv6", None))
    wire.inspected = {"he_ipv6": {**OPERATIONAL, "DriverOpts": {"ipv6.mapper.endpoint": "added"}}}
    assert endpoints.apply(RESTORE)
    assert steps(wire) == ["disconnect"]
    assert not endpoints.unfinished(CONTAINER)


def test_an_endpoint_that_was_made_by_the_id_of_a_network_that_is_gone_is_removed_by_that(
    endpoints: Endpoints, wire: Wire, journal: Journal
) -> None:
    """A stopped container with one could not be started."""
    wire.state = STOPPED
    ours = {"IPAMConfig": None, "NetworkID": "", "DriverOpts": {"ipv6.mapper.endpoint": "added"}}
    wire.inspected = {"net-id": {**OPERATIONAL, **ours}}
    journal.write(CONTAINER, Unfinished("net-id", "he_ipv6", None))
    assert endpoints.apply(RESTORE)
    assert [(each.verb, each.network) for each in wire.changes] == [("disconnect", "net-id")]
    assert not journal.has(CONTAINER)


def test_a_users_endpoint_on_a_network_that_is_gone_is_given_back_by_name(
    endpoints: Endpoints, wire: Wire
) -> None:
    """The engine would take the ID of a network that is gone, and never start the container again."""
    wire.state = STOPPED
    wire.inspected = {"he_ipv6": {**OPERATIONAL, **at(NEW), "DriverOpts": {"ipv6.mapper.endpoint": "moved:"}}}
    assert endpoints.apply(Release(CONTAINER, "mon_container", "net-id", "he_ipv6", NEW))
    assert [(each.verb, each.network) for each in wire.changes] == [
        ("disconnect", "he_ipv6"),
        ("connect", "he_ipv6"),
    ]
    assert "IPv6Address" not in wire.changes[1].endpoint["IPAMConfig"]


def test_a_container_that_gives_its_address_up_gets_the_users_back(endpoints: Endpoints, wire: Wire) -> None:
    """The address that the user asked for stands in the mark."""
    options = {"ipv6.mapper.endpoint": f"moved:{OLD}"}
    wire.inspected = {
        "he_ipv6": {**OPERATIONAL, **at(NEW), "GlobalIPv6Address": str(NEW), "DriverOpts": options}
    }
    assert endpoints.apply(VACATE)
    assert wire.changes[-1].endpoint == {**at(OLD), "DriverOpts": {}}


def test_a_users_address_that_another_container_has_does_not_stop_it(
    endpoints: Endpoints, wire: Wire
) -> None:
    """The address of ours is given up all the same, and the endpoint stays marked as moved."""
    options = {"ipv6.mapper.endpoint": f"moved:{OLD}"}
    wire.inspected = {
        "he_ipv6": {**OPERATIONAL, **at(NEW), "GlobalIPv6Address": str(NEW), "DriverOpts": options}
    }
    wire.refusals = {1: REFUSED}
    assert endpoints.apply(VACATE)
    assert settings_of(wire, -1) == {**USERS, "DriverOpts": {}}
    assert mark_of(wire, -1) == f"moved:{OLD}"


# --- MAC addresses ----------------------------------------------------------------------------------------


CREATED = {"Status": "created", "Running": False}
CHOSEN = "02:11:22:33:44:55"
RANDOM = "f6:d1:06:05:e9:0f"
OF_IPV4 = "02:42:ac:1e:00:32"


@dataclass(frozen=True, slots=True)
class Shown:
    """What an engine shows of an endpoint's MAC address."""

    version: str
    state: Mapping[str, object]
    mac: str
    first: bool = False
    """Whether the container was created on this network."""
    config: str = ""
    """The container's own MAC address, by its configuration."""

    def show(self, wire: Wire) -> None:
        """Have the engine show that."""
        wire.version, wire.state = self.version, dict(self.state)
        wire.network_mode = "he_ipv6" if self.first else "other"
        wire.config = {"MacAddress": self.config} if self.config else {}
        wire.inspected = {"he_ipv6": {**OPERATIONAL, **USERS, "MacAddress": self.mac}}


@pytest.mark.parametrize(
    "shown",
    [
        Shown("1.45", RUNNING, CHOSEN),
        Shown("1.45", CREATED, CHOSEN),
        Shown("1.51", CREATED, CHOSEN),
        Shown("1.51", RUNNING, CHOSEN, first=True, config=CHOSEN),
        Shown("1.51", STOPPED, "", first=True, config=CHOSEN),
        Shown("1.53", CREATED, CHOSEN),
    ],
    ids=str,
)
def test_an_endpoint_is_not_moved_that_would_lose_a_chosen_mac_address(
    endpoints: Endpoints, wire: Wire, shown: Shown
) -> None:
    """On any of the container's networks; engines from API 1.44 on give a connected endpoint another."""
    shown.show(wire)
    with pytest.raises(EngineRefusedError, match=f"would not keep the MAC address {CHOSEN}"):
        endpoints.apply(MOVE)
    assert wire.changes == []


@pytest.mark.parametrize(
    "shown",
    [
        Shown("1.41", RUNNING, CHOSEN, first=True, config=CHOSEN),
        Shown("1.45", RUNNING, OF_IPV4),
        Shown("1.51", CREATED, ""),
        Shown("1.51", RUNNING, RANDOM, first=True),
        Shown("1.51", RUNNING, RANDOM),
        Shown("1.51", RUNNING, ""),
    ],
    ids=str,
)
def test_an_endpoint_is_moved_whose_mac_address_is_the_engines(
    endpoints: Endpoints, wire: Wire, shown: Shown
) -> None:
    """Made of the IPv4 address before engine 28, random since; of the container as a whole before 25."""
    shown.show(wire)
    assert endpoints.apply(MOVE)
    assert "MacAddress" not in wire.changes[-1].endpoint


def test_a_mac_address_is_kept_where_the_engine_lets_a_connect_keep_it(
    endpoints: Endpoints, wire: Wire
) -> None:
    """From API 1.54 on, spoken for this call; a generated one is kept as well, since none is told from it."""
    Shown("1.56", RUNNING, CHOSEN).show(wire)
    assert endpoints.apply(MOVE)
    assert wire.changes[-1].endpoint["MacAddress"] == CHOSEN
    assert wire.changes[-1].version == "1.54"


@pytest.mark.parametrize("version", ["1.45", "1.56"])
def test_a_move_waits_for_the_container_to_run_where_its_mac_address_shows_only_then(
    endpoints: Endpoints, wire: Wire, version: str
) -> None:
    """A stopped container's endpoint shows no MAC address, chosen or not."""
    Shown(version, STOPPED, "").show(wire)
    assert not endpoints.apply(MOVE)
    assert wire.changes == []


def test_a_mac_address_that_was_kept_is_put_back_with_the_users_address(
    endpoints: Endpoints, wire: Wire
) -> None:
    """It stands in the mark, since a stopped container does not show it."""
    wire.version, wire.state = "1.56", STOPPED
    options = {"ipv6.mapper.endpoint": f"moved:{OLD},{CHOSEN}"}
    wire.inspected = {"he_ipv6": {**OPERATIONAL, **at(NEW), "MacAddress": "", "DriverOpts": options}}
    assert endpoints.apply(RELEASE)
    assert wire.changes[-1].endpoint == {**at(OLD), "DriverOpts": {}, "MacAddress": CHOSEN}
