"""Journal: the endpoint settings that a reconnect must restore survive the end of the process."""

import json
import resource
from pathlib import Path

import pytest

from dockeripv6mapper.engine.journal import Journal, Unfinished
from dockeripv6mapper.errors import MapperError

UNFINISHED = Unfinished("net-id", "he_ipv6", {"Aliases": ["web"], "IPAMConfig": {"IPv4Address": "10.9.0.7"}})
NOT_ATTACHED = Unfinished("net-id", "he_ipv6", None)
LONG = Unfinished("net-id", "he_ipv6", {"Aliases": [f"alias-{number}" for number in range(1000)]})
"""Longer than the target of a symbolic link can be (PATH_MAX, 4096 bytes)."""


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Return an empty journal."""
    journal = Journal(tmp_path)
    journal.prepare()
    return journal


def note(journal: Journal) -> Path:
    """Return the path of the note on the container `6ba2`."""
    return journal.directory / "6ba2.json"


@pytest.mark.parametrize("unfinished", [UNFINISHED, NOT_ATTACHED, LONG])
def test_a_note_is_readable_by_the_next_process_and_by_its_owner_only(
    journal: Journal, unfinished: Unfinished
) -> None:
    """It is complete, and no draft is left."""
    journal.write("6ba2", unfinished)
    assert Journal(journal.directory.parent).has("6ba2")
    assert Journal(journal.directory.parent).read("6ba2") == unfinished
    assert note(journal).stat().st_mode & 0o077 == 0
    assert journal.drafts() == []


@pytest.mark.parametrize("chosen", ["http://example.com/./a//b", "../..", "\N{SNOWMAN}\n"])
def test_a_note_keeps_any_text_in_an_option(journal: Journal, chosen: str) -> None:
    """Aliases and driver options are free text."""
    unfinished = Unfinished("net-id", "he_ipv6", {"DriverOpts": {"com.example.option": chosen}})
    journal.write("6ba2", unfinished)
    assert journal.read("6ba2") == unfinished


@pytest.mark.parametrize("earlier", [NOT_ATTACHED, LONG])
@pytest.mark.parametrize("later", [UNFINISHED, LONG])
def test_a_later_note_replaces_the_earlier(journal: Journal, earlier: Unfinished, later: Unfinished) -> None:
    """A container has one note at a time."""
    journal.write("6ba2", earlier)
    journal.write("6ba2", later)
    assert journal.read("6ba2") == later
    assert journal.container_ids() == ["6ba2"]
    assert journal.drafts() == []


def test_a_note_of_version_0_1_is_read_replaced_and_erased(journal: Journal) -> None:
    """It is the target of a symbolic link; a daemon may be upgraded during a move."""
    text = json.dumps({"network_id": "net-id", "network": "he_ipv6", "endpoint": None})
    note(journal).symlink_to(text)
    assert journal.has("6ba2")
    assert journal.read("6ba2") == NOT_ATTACHED
    assert journal.age("6ba2") < 60
    journal.write("6ba2", UNFINISHED)
    assert not note(journal).is_symlink()
    assert journal.read("6ba2") == UNFINISHED
    note(journal).unlink()
    note(journal).symlink_to(text)
    journal.erase("6ba2")
    assert not journal.has("6ba2")


def test_a_note_is_written_although_the_directory_was_deleted(tmp_path: Path) -> None:
    """Another program may have deleted it while the daemon was running."""
    Journal(tmp_path / "state").write("6ba2", UNFINISHED)
    assert Journal(tmp_path / "state").read("6ba2") == UNFINISHED


def test_an_erased_note_does_not_exist(journal: Journal) -> None:
    """Erasing twice does no harm."""
    journal.write("6ba2", UNFINISHED)
    journal.erase("6ba2")
    journal.erase("6ba2")
    assert journal.read("6ba2") is None
    assert not journal.has("6ba2")


def test_notes_of_removed_containers_are_pruned(journal: Journal) -> None:
    """Notes of other containers stay."""
    journal.write("kept", UNFINISHED)
    journal.write("gone", NOT_ATTACHED)
    journal.prune({"kept"})
    assert journal.has("kept")
    assert not journal.has("gone")


def test_an_unreadable_journal_directory_fails_a_write_but_not_a_pruning(tmp_path: Path) -> None:
    """Pruning is housekeeping, but an action must not begin without its note."""
    (tmp_path / "reconnects").touch()
    journal = Journal(tmp_path)
    journal.prune(())
    with pytest.raises(MapperError, match=r"6ba2.json of an unfinished change: Not a directory"):
        journal.write("6ba2", UNFINISHED)


def test_only_the_owner_can_access_the_journal_directory(journal: Journal) -> None:
    """The notes decide what a privileged process does next, and a symbolic link has no mode."""
    assert journal.directory.stat().st_mode & 0o077 == 0


def test_a_note_that_does_not_fit_on_the_disk_fails_and_leaves_the_earlier_one(journal: Journal) -> None:
    """The kernel writes the part that fits, without an error. The move must not begin with half a note."""
    journal.write("6ba2", NOT_ATTACHED)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(MapperError, match="File too large"):
            journal.write("6ba2", UNFINISHED)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert journal.read("6ba2") == NOT_ATTACHED
