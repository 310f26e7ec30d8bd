"""Endpoint changes: which connects and disconnects the engine receives, and in which order.

Each test's engine shows one container on `he_ipv6`, and refuses or leaves unanswered the calls that the test
names.
"""

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
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
    """The endpoints of a running container that its user attached, with an empty journal."""
    wire.state = RUNNING
    wire.inspected = {"he_ipv6": {**OPERATIONAL, **USERS}}
    return Endpoints(client, journal)


def steps(wire: Wire) -> list[str]:
    """`connect` or `disconnect` for each change that the engine received."""
    return [change.verb for change in wire.changes]


def settings_of(wire: Wire, number: int) -> Mapping[str, Any]:
    """The `EndpointSettings` of the n-th change, without our mark."""
    settings = dict(wire.changes[number].endpoint)
    options = {key: value for key, value in settings["DriverOpts"].items() if key != "ipv6.mapper.endpoint"}
    return {**settings, "DriverOpts": options}


def mark_of(wire: Wire, number: int) -> str:
    """Our mark on the n-th change."""
    return str(wire.changes[number].endpoint["DriverOpts"]["ipv6.mapper.endpoint"])


def note_of(journal: Journal) -> Mapping[str, Any] | None:
    """The settings in the container's note in the journal; None: no note, or no settings."""
    unfinished = journal.read(CONTAINER)
    return unfinished.endpoint if unfinished else None


def at(address: IPv6Address, settings: Mapping[str, Any] = USERS) -> dict[str, Any]:
    """The user's settings with an IPv6 address."""
    return {**settings, "IPAMConfig": {**settings["IPAMConfig"], "IPv6Address": str(address)}}


# --- a move -----------------------------------------------------------------------------------------------


def test_a_move_requests_the_ipv6_address_alone_before_both_addresses(
    endpoints: Endpoints, wire: Wire, journal: Journal
) -> None:
    """The engine leaks the IPv4 address of a refused connect until it restarts."""
    assert endpoints.apply(MOVE)
    assert steps(wire) == ["disconnect", "connect", "disconnect", "connect"]
    assert wire.changes[1].endpoint["IPAMConfig"] == {"IPv6Address": str(NEW)}
    assert settings_of(wire, 3) == at(NEW)
    assert mark_of(wire, 3) == "moved:"
    assert note_of(journal) is None


def test_the_temporary_endpoint_of_a_move_holds_the_users_settings(endpoints: Endpoints, wire: Wire) -> None:
    """After a crash, the next process learns from the mark that it is temporary, and what replaces it."""
    endpoints.apply(MOVE)
    assert json.loads(mark_of(wire, 1).partition(":")[2]) == USERS


def test_a_move_without_an_ipv4_address_needs_one_connect(endpoints: Endpoints, wire: Wire) -> None:
    """No IPv4 address can leak. Some engines show an address that was not requested as ""."""
    wire.inspected = {"he_ipv6": {**OPERATIONAL, **USERS, "IPAMConfig": {"IPv4Address": ""}}}
    endpoints.apply(MOVE)
    assert steps(wire) == ["disconnect", "connect"]
    assert wire.changes[1].endpoint["IPAMConfig"] == {"IPv6Address": str(NEW)}


@pytest.mark.parametrize("ipv4", ["", None])
def test_an_empty_address_is_not_requested(endpoints: Endpoints, wire: Wire, ipv4: str | None) -> None:
    """Engine 29.0 to 29.1.5 shows one for each family of which its user requested none."""
    empty = {"IPAMConfig": {"IPv4Address": ipv4, "IPv6Address": str(OLD), "LinkLocalIPs": None}}
    wire.inspected = {"he_ipv6": {**OPERATIONAL, **empty}}
    assert endpoints.apply(MOVE)
    assert steps(wire) == ["disconnect", "connect"]
    assert wire.changes[1].endpoint["IPAMConfig"] == {"IPv6Address": str(NEW)}
    assert mark_of(wire, 1) == f"moved:{OLD}"
    mark = {"ipv6.mapper.endpoint": "restore-running:" + json.dumps(at(OLD))}
    wire.state, wire.inspected = STOPPED, {"he_ipv6": {**OPERATIONAL, **empty, "DriverOpts": mark}}
    assert endpoints.apply(RELEASE)
    assert wire.changes[-1].endpoint["IPAMConfig"] == {}


def test_a_stopped_container_is_moved_by_one_connect(endpoints: Endpoints, wire: Wire) -> None:
    """The engine allocates addresses at the start only, so that it refuses none."""
    wire.state = STOPPED
    endpoints.apply(MOVE)
    assert steps(wire) == ["disconnect", "connect"]
    assert settings_of(wire, 1) == at(NEW)


def test_a_container_that_its_user_detaches_during_a_move_stays_detached(
    endpoints: Endpoints, wire: Wire, journal: Journal
) -> None:
    """The first disconnect is refused, and nothing has been changed that needs recovery."""
    wire.refusals = {0: answer(500, json.dumps({"message": "is not connected to network he_ipv6"}))}
    with pytest.raises(EngineRefusedError, match="is not connected"):
        endpoints.apply(MOVE)
    assert steps(wire) == ["disconnect"]
    assert note_of(journal) is None


def test_a_temporary_endpoint_is_moved_with_the_users_settings(endpoints: Endpoints, wire: Wire) -> None:
    """Also where it is at the wanted address already, since it lacks the user's settings."""
    mark = {"ipv6.mapper.endpoint": "restore:" + json.dumps(USERS)}
    temporary = {"IPAMConfig": {"IPv6Address": str(NEW)}, "GlobalIPv6Address": str(NEW), "DriverOpts": mark}
    wire.inspected = {"he_ipv6": {**OPERATIONAL, **temporary}}
    assert endpoints.apply(MOVE)
    assert settings_of(wire, 3) == at(NEW)
    assert mark_of(wire, 3) == "moved:"


def test_an_endpoint_at_the_wanted_address_is_not_moved(endpoints: Endpoints, wire: Wire) -> None:
    """A move would only be an outage."""
    wire.inspected = {"he_ipv6": {**OPERATIONAL, **at(NEW), "GlobalIPv6Address": str(NEW)}}
    assert not endpoints.apply(MOVE)
    assert wire.changes == []


# --- a refusal --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refused", [1, 3], ids=["ipv6-alone", "both"])
def test_after_a_refused_move_the_container_is_reattached_with_the_users_settings(
    endpoints: Endpoints, wire: Wire, journal: Journal, refused: int
) -> None:
    """After a refusal of either connect; and the refusal is raised."""
    wire.refusals = {refused: REFUSED}
    with pytest.raises(
        EngineRefusedError, match=r"moving mon_container on he_ipv6 .*: Address already in use"
    ):
        endpoints.apply(MOVE)
    assert wire.changes[-1].endpoint == USERS
    assert note_of(journal) is None


def test_a_reattachment_requests_the_ipv6_address_alone_first(endpoints: Endpoints, wire: Wire) -> None:
    """Another container may have taken the user's IPv6 address meanwhile."""
    wire.inspected = {"he_ipv6": {**OPERATIONAL, **at(OLD)}}
    wire.refusals = {1: REFUSED}
    with pytest.raises(EngineRefusedError):
        endpoints.apply(MOVE)
    assert steps(wire)[2:] == ["connect", "disconnect", "connect"]
    assert wire.changes[2].endpoint["IPAMConfig"] == {"IPv6Address": str(OLD)}
    assert wire.changes[4].endpoint == at(OLD)


def test_a_reattachment_without_a_refused_address_is_marked_as_temporary(
    endpoints: Endpoints, wire: Wire, journal: Journal
) -> None:
    """The container is attached at least, and the mark lets a later restore apply all settings."""
    wire.inspected = {"he_ipv6": {**OPERATIONAL, **at(OLD)}}
    wire.refusals = {1: REFUSED, 2: REFUSED}
    with pytest.raises(EngineRefusedError):
        endpoints.apply(MOVE)
    assert settings_of(wire, -1) == USERS
    assert json.loads(mark_of(wire, -1).partition(":")[2]) == at(OLD)
    assert note_of(journal) is None


def test_a_refused_ipv4_address_does_not_cost_the_ipv6_address(endpoints: Endpoints, wire: Wire) -> None:
    """The container is reattached with all settings but the IPv4 address."""
    wire.inspected = {"he_ipv6": {**OPERATIONAL, **at(OLD)}}
    wire.refusals = {1: REFUSED, 4: REFUSED, 5: REFUSED}
    with pytest.raises(EngineRefusedError):
        endpoints.apply(MOVE)
    assert settings_of(wire, -1)["IPAMConfig"] == {"IPv6Address": str(OLD)}
    assert settings_of(wire, -1)["Aliases"] == ["foo"]


def test_a_reattachment_without_our_own_address_is_not_temporary(endpoints: Endpoints, wire: Wire) -> None:
    """The address was never the user's: no setting of the user's is missing."""
    options = {"com.example": "x", "ipv6.mapper.endpoint": "moved:"}
    wire.inspected = {"he_ipv6": {**OPERATIONAL, **at(OLD), "DriverOpts": options}}
    wire.refusals = {1: REFUSED, 2: REFUSED}
    with pytest.raises(EngineRefusedError):
        endpoints.apply(MOVE)
    assert settings_of(wire, -1) == USERS
    assert mark_of(wire, -1) == "moved:"


def test_a_container_that_cannot_be_reattached_keeps_its_note(
    endpoints: Endpoints, wire: Wire, journal: Journal
) -> None:
    """With all of the user's settings, for the next attempt."""
    wire.refusals = dict.fromkeys(range(1, 20), REFUSED)
    with pytest.raises(NotFinishedError, match="reattaching container mon_container to he_ipv6"):
        endpoints.apply(MOVE)
    assert note_of(journal) == USERS


def test_a_move_on_a_network_that_is_gone_keeps_its_note(
    endpoints: Endpoints, wire: Wire, journal: Journal
) -> None:
    """The user may create a network of this name again: the container is attached to it as before."""
    wire.refusals = dict.fromkeys(range(1, 20), GONE)
    with pytest.raises(EngineRefusedError):
        endpoints.apply(MOVE)
    assert note_of(journal) == USERS
    wire.refusals = {len(wire.changes): GONE}
    wire.inspected = {}
    assert endpoints.apply(RESTORE)
    assert wire.changes[-1].path.endswith("/networks/he_ipv6/connect")
    assert wire.changes[-1].endpoint == USERS


def test_the_note_of_a_container_that_is_gone_is_erased(
    endpoints: Endpoints, wire: Wire, journal: Journal
) -> None:
    """Nothing needs recovery, and that is not an error."""
    journal.write(CONTAINER, Unfinished("net-id", "he_ipv6", USERS))
    wire.spoils = {f"/containers/{CONTAINER}/json": GONE}
    assert not endpoints.apply(RESTORE)
    assert note_of(journal) is None


# --- recovery after a crash -------------------------------------------------------------------------------


@pytest.mark.parametrize("last", range(4))
def test_a_move_cut_off_at_any_call_leaves_a_note_of_the_users_settings(
    endpoints: Endpoints, wire: Wire, journal: Journal, last: int
) -> None:
    """A missing answer leaves the same state as a crash during that call."""
    wire.refusals = {last: HANG}
    with pytest.raises(EngineUnavailableError):
        endpoints.apply(MOVE)
    assert len(wire.changes) == last + 1
    assert note_of(journal) == USERS


def test_a_detached_container_is_reattached_with_all_of_the_users_settings(
    endpoints: Endpoints, wire: Wire, journal: Journal
) -> None:
    """From the note, which another process may have written."""
    journal.write(CONTAINER, Unfinished("net-id", "he_ipv6", at(OLD)))
    wire.inspected = {}
    assert endpoints.apply(RESTORE)
    assert steps(wire) == ["connect", "disconnect", "connect"]
    assert wire.changes[-1].endpoint == at(OLD)
    assert note_of(journal) is None


@pytest.mark.parametrize("with_note", [True, False])
def test_a_temporary_endpoint_is_replaced_by_one_with_the_users_settings(
    endpoints: Endpoints, wire: Wire, journal: Journal, *, with_note: bool
) -> None:
    """From its mark, also without a note, which a reboot loses."""
    if with_note:
        journal.write(CONTAINER, Unfinished("net-id", "he_ipv6", USERS))
    mark = {"ipv6.mapper.endpoint": "restore:" + json.dumps(USERS)}
    wire.inspected = {"he_ipv6": {**OPERATIONAL, "DriverOpts": mark}}
    assert endpoints.apply(RESTORE)
    assert steps(wire) == ["disconnect", "connect"]
    assert wire.changes[-1].endpoint == USERS
    assert note_of(journal) is None


def test_a_restored_endpoint_that_still_lacks_settings_raises_the_refusal(
    endpoints: Endpoints, wire: Wire, journal: Journal
) -> None:
    """Not `NotFinishedError`: each attempt detaches the container, so attempts must come to an end."""
    mark = {"ipv6.mapper.endpoint": "restore:" + json.dumps(at(OLD))}
    wire.inspected = {"he_ipv6": {**OPERATIONAL, "DriverOpts": mark}}
    wire.refusals = {1: REFUSED}
    with pytest.raises(EngineRefusedError) as refused:
        endpoints.apply(RESTORE)
    assert not isinstance(refused.value, NotFinishedError)
    assert json.loads(mark_of(wire, -1).partition(":")[2]) == at(OLD)
    assert note_of(journal) is None


def test_the_note_of_an_unchanged_endpoint_is_erased_only_after_a_while(
    endpoints: Endpoints, wire: Wire, journal: Journal
) -> None:
    """A busy engine may still carry out the disconnect of the process that died."""
    journal.write(CONTAINER, Unfinished("net-id", "he_ipv6", USERS))
    assert not endpoints.apply(RESTORE)
    assert note_of(journal) == USERS
    long_ago = time.time() - LATE_SECONDS
    os.utime(journal.directory / f"{CONTAINER}.json", (long_ago, long_ago), follow_symlinks=False)
    assert not endpoints.apply(RESTORE)
    assert (wire.changes, note_of(journal)) == ([], None)


def test_an_endpoint_that_the_user_has_made_anew_stays(
    endpoints: Endpoints, wire: Wire, journal: Journal
) -> None:
    """Its settings are newer than those in the note, which is erased."""
    journal.write(CONTAINER, Unfinished("net-id", "he_ipv6", at(OLD, {**USERS, "Aliases": ["other"]})))
    assert not endpoints.apply(RESTORE)
    assert (wire.changes, note_of(journal)) == ([], None)


def test_an_unreadable_note_is_moved_aside_with_one_warning(
    endpoints: Endpoints, wire: Wire, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    """Else it would keep the container from being mapped for ever."""
    journal.prepare()
    note = journal.directory / f"{CONTAINER}.json"
    note.write_text('{"network_id": 5}')
    assert not endpoints.apply(RESTORE)
    assert not endpoints.unfinished(CONTAINER)
    assert note.with_suffix(".json.unreadable").exists()
    assert [record.levelname for record in caplog.records].count("WARNING") == 1
    assert wire.changes == []


# --- a connect --------------------------------------------------------------------------------------------

REFUSED_CONFIGURATION = {
    **OPERATIONAL,
    "IPAMConfig": {"IPv6Address": str(NEW)},
    **dict.fromkeys(("EndpointID", "NetworkID", "GlobalIPv6Address"), ""),
}
"""The endpoint that the engine leaves in a container's configuration after a refused connect."""
CONNECT = Connect(CONTAINER, "mon_container", "net-id", "he_ipv6", NEW)


def test_a_refused_connect_leaves_no_address_in_the_configuration(endpoints: Endpoints, wire: Wire) -> None:
    """The engine keeps the address; only after a connect that succeeds can it be disconnected."""
    wire.inspected = {"he_ipv6": REFUSED_CONFIGURATION}
    wire.refusals = {0: REFUSED}
    with pytest.raises(EngineRefusedError, match=r"connecting mon_container to he_ipv6 at 2001:db8::5"):
        endpoints.apply(CONNECT)
    assert steps(wire) == ["connect", "connect", "disconnect"]
    assert wire.changes[1].endpoint == {"DriverOpts": {"ipv6.mapper.endpoint": "added"}}
    assert not endpoints.unfinished(CONTAINER)


def test_the_configuration_of_a_refused_connect_is_removed_by_the_next_process(
    endpoints: Endpoints, wire: Wire, journal: Journal
) -> None:
    """Where the first process died before it could; and the note stays while that fails."""
    journal.write(CONTAINER, Unfinished("net-id", "he_ipv6", None))
    wire.inspected = {"he_ipv6": REFUSED_CONFIGURATION}
    wire.refusals = {0: REFUSED}
    with pytest.raises(NotFinishedError):
        endpoints.apply(RESTORE)
    assert endpoints.unfinished(CONTAINER)
    assert endpoints.apply(RESTORE)
    assert steps(wire)[1:] == ["connect", "disconnect"]
    assert not endpoints.unfinished(CONTAINER)


def test_a_connect_is_noted_before_its_request(endpoints: Endpoints, wire: Wire, journal: Journal) -> None:
    """The process may die before it reads the refusal."""
    wire.refusals = {0: HANG}
    with suppress(MapperError):
        endpoints.apply(CONNECT)
    assert journal.read(CONTAINER) == Unfinished("net-id", "he_ipv6", None)


# --- giving an address up ---------------------------------------------------------------------------------

RELEASE = Release(CONTAINER, "mon_container", "net-id", "he_ipv6", NEW)
VACATE = Vacate(CONTAINER, "mon_container", "net-id", "he_ipv6", NEW)


@pytest.mark.parametrize(
    ("mark", "verbs"),
    [("added", ["disconnect"]), ("moved:", ["disconnect", "connect"]), (None, []), ("restore:{}", [])],
)
def test_an_address_is_released_as_the_endpoints_mark_says(
    endpoints: Endpoints, wire: Wire, mark: str | None, verbs: list[str]
) -> None:
    """Ours is removed, a moved one gets the user's settings, one without a mark stays."""
    options = {} if mark is None else {"ipv6.mapper.endpoint": mark}
    wire.state = STOPPED
    wire.inspected = {"he_ipv6": {**OPERATIONAL, **at(NEW), "DriverOpts": options}}
    assert endpoints.apply(RELEASE) == bool(verbs)
    assert steps(wire) == verbs
    if mark == "moved:":
        assert wire.changes[1].endpoint == {**USERS, "DriverOpts": {}}


def test_a_temporary_endpoint_is_released_from_its_address_and_keeps_its_mark(
    endpoints: Endpoints, wire: Wire
) -> None:
    """The user's settings wait until the container runs, when the engine can refuse them."""
    wire.state = STOPPED
    mark = {"ipv6.mapper.endpoint": "restore-running:" + json.dumps(at(OLD))}
    wire.inspected = {"he_ipv6": {**OPERATIONAL, "IPAMConfig": {"IPv6Address": str(NEW)}, "DriverOpts": mark}}
    assert endpoints.apply(RELEASE)
    assert settings_of(wire, -1) == {**USERS, "IPAMConfig": {}}
    assert json.loads(mark_of(wire, -1).partition(":")[2]) == at(OLD)


def test_the_undoing_of_a_refused_connect_is_finished_by_the_next_process(
    endpoints: Endpoints, wire: Wire, journal: Journal
) -> None:
    """It was cut off while the container was attached at an address of the engine's choice."""
    journal.write(CONTAINER, Unfinished("net-id", "he_ipv6", None))
    wire.inspected = {"he_ipv6": {**OPERATIONAL, "DriverOpts": {"ipv6.mapper.endpoint": "added"}}}
    assert endpoints.apply(RESTORE)
    assert steps(wire) == ["disconnect"]
    assert not endpoints.unfinished(CONTAINER)


def test_an_endpoint_made_by_the_id_of_a_network_that_is_gone_is_removed_by_that_id(
    endpoints: Endpoints, wire: Wire, journal: Journal
) -> None:
    """A stopped container with such an endpoint could not be started."""
    wire.state = STOPPED
    ours = {"IPAMConfig": None, "NetworkID": "", "DriverOpts": {"ipv6.mapper.endpoint": "added"}}
    wire.inspected = {"net-id": {**OPERATIONAL, **ours}}
    journal.write(CONTAINER, Unfinished("net-id", "he_ipv6", None))
    assert endpoints.apply(RESTORE)
    assert [(each.verb, each.network) for each in wire.changes] == [("disconnect", "net-id")]
    assert not journal.has(CONTAINER)


def test_a_moved_endpoint_on_a_network_that_is_gone_is_reattached_by_the_networks_name(
    endpoints: Endpoints, wire: Wire
) -> None:
    """The engine would accept the ID of a gone network, and never start the container again."""
    wire.state = STOPPED
    wire.inspected = {"he_ipv6": {**OPERATIONAL, **at(NEW), "DriverOpts": {"ipv6.mapper.endpoint": "moved:"}}}
    assert endpoints.apply(Release(CONTAINER, "mon_container", "net-id", "he_ipv6", NEW))
    assert [(each.verb, each.network) for each in wire.changes] == [
        ("disconnect", "he_ipv6"),
        ("connect", "he_ipv6"),
    ]
    assert "IPv6Address" not in wire.changes[1].endpoint["IPAMConfig"]


def test_a_vacated_endpoint_gets_the_users_address_from_its_mark(endpoints: Endpoints, wire: Wire) -> None:
    """The mark is removed: the endpoint is the user's again."""
    options = {"ipv6.mapper.endpoint": f"moved:{OLD}"}
    wire.inspected = {
        "he_ipv6": {**OPERATIONAL, **at(NEW), "GlobalIPv6Address": str(NEW), "DriverOpts": options}
    }
    assert endpoints.apply(VACATE)
    assert wire.changes[-1].endpoint == {**at(OLD), "DriverOpts": {}}


def test_our_address_is_given_up_also_where_the_users_address_is_refused(
    endpoints: Endpoints, wire: Wire
) -> None:
    """Another container may have it. The endpoint stays marked as moved."""
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
    """How an engine shows an endpoint's MAC address."""

    version: str
    state: Mapping[str, object]
    mac: str
    first: bool = False
    """Whether the container was created on this network."""
    config: str = ""
    """The MAC address in the container's configuration."""

    def show(self, wire: Wire) -> None:
        """Set the test's engine up to show it."""
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
def test_a_move_that_would_lose_a_chosen_mac_address_is_refused(
    endpoints: Endpoints, wire: Wire, shown: Shown
) -> None:
    """On any of the container's networks. From API 1.44 on, a connect sets another MAC address."""
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
def test_an_endpoint_with_a_generated_mac_address_is_moved(
    endpoints: Endpoints, wire: Wire, shown: Shown
) -> None:
    """Derived from the IPv4 address before engine 28, random since; before 25 it is the container's."""
    shown.show(wire)
    assert endpoints.apply(MOVE)
    assert "MacAddress" not in wire.changes[-1].endpoint


def test_a_move_keeps_the_mac_address_where_a_connect_can_set_it(endpoints: Endpoints, wire: Wire) -> None:
    """From API 1.54 on, used for this call. A generated one is kept, too: it looks like a chosen one."""
    Shown("1.56", RUNNING, CHOSEN).show(wire)
    assert endpoints.apply(MOVE)
    assert wire.changes[-1].endpoint["MacAddress"] == CHOSEN
    assert wire.changes[-1].version == "1.54"


@pytest.mark.parametrize("version", ["1.45", "1.56"])
def test_a_move_waits_for_the_start_where_a_stopped_container_hides_its_mac_address(
    endpoints: Endpoints, wire: Wire, version: str
) -> None:
    """A stopped container shows no MAC address, chosen or generated."""
    Shown(version, STOPPED, "").show(wire)
    assert not endpoints.apply(MOVE)
    assert wire.changes == []


def test_a_released_endpoint_gets_the_users_mac_address_from_its_mark(
    endpoints: Endpoints, wire: Wire
) -> None:
    """A stopped container does not show it elsewhere."""
    wire.version, wire.state = "1.56", STOPPED
    options = {"ipv6.mapper.endpoint": f"moved:{OLD},{CHOSEN}"}
    wire.inspected = {"he_ipv6": {**OPERATIONAL, **at(NEW), "MacAddress": "", "DriverOpts": options}}
    assert endpoints.apply(RELEASE)
    assert wire.changes[-1].endpoint == {**at(OLD), "DriverOpts": {}, "MacAddress": CHOSEN}


# --- default route ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("api", "priority"), [("1.41", None), ("1.47", None), ("1.48", 1), ("1.51", 1)])
def test_a_connect_has_a_gateway_priority_where_the_api_knows_it(
    endpoints: Endpoints, wire: Wire, client: Client, api: str, priority: int | None
) -> None:
    """Whether its request is written ahead or by a worker; none where the user wants none."""
    wire.version = api
    client.ping()
    connect = Connect(CONTAINER, "mon_container", "net-id", "he_ipv6", NEW, priority=1)
    endpoints.apply(connect, endpoints.begin(connect))
    endpoints.apply(connect)
    endpoints.apply(replace(connect, priority=0))
    priorities = [change.endpoint.get("GwPriority") for change in wire.changes]
    assert priorities == [priority, priority, None]


def test_a_move_keeps_the_gateway_priority_of_the_user(endpoints: Endpoints, wire: Wire) -> None:
    """Also that the user has set none: the endpoint is the user's."""
    wire.version, wire.state = "1.51", {"Status": "created", "Running": False}
    for settings in (USERS, {**USERS, "GwPriority": 7}):
        wire.inspected = {"he_ipv6": {**OPERATIONAL, **settings, "MacAddress": ""}}
        assert endpoints.apply(MOVE)
        assert settings_of(wire, -1) == at(NEW, settings)
