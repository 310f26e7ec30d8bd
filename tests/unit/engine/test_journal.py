"""What a reconnect must put back survives the process."""

import json
from pathlib import Path

import pytest

from dockeripv6mapper.engine.journal import Journal, Unfinished
from dockeripv6mapper.errors import MapperError

UNFINISHED = Unfinished("net-id", "he_ipv6", {"Aliases": ["web"], "IPAMConfig": {"IPv4Address": "10.9.0.7"}})
NOT_ATTACHED = Unfinished("net-id", "he_ipv6", None)
LONG = Unfinished("net-id", "he_ipv6", {"Aliases": [f"alias-{number}" for number in range(1000)]})
"""More than a symbolic link can hold (PATH_MAX, 4096 bytes)."""


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """A daemon's journal, in which nothing stands."""
    journal = Journal(tmp_path)
    journal.prepare()
    return journal


def note(journal: Journal) -> Path:
    """What is there on disk for the container `6ba2`."""
    return journal.directory / "6ba2.json"


@pytest.mark.parametrize("unfinished", [UNFINISHED, NOT_ATTACHED, LONG])
def test_a_note_is_read_by_the_next_process(journal: Journal, unfinished: Unfinished) -> None:
    """All of it, by its owner alone, and no draft is left."""
    journal.write("6ba2", unfinished)
    assert Journal(journal.directory.parent).has("6ba2")
    assert Journal(journal.directory.parent).read("6ba2") == unfinished
    assert note(journal).stat().st_mode & 0o077 == 0
    assert journal.drafts() == []


@pytest.mark.parametrize("chosen", ["http://example.com/./a//b", "../..", "\N{SNOWMAN}\n"])
def test_a_note_keeps_any_text_that_a_user_chose(journal: Journal, chosen: str) -> None:
    """Aliases and driver options are free text."""
    unfinished = Unfinished("net-id", "he_ipv6", {"DriverOpts": {"com.example.option": chosen}})
    journal.write("6ba2", unfinished)
    assert journal.read("6ba2") == unfinished


@pytest.mark.parametrize("earlier", [NOT_ATTACHED, LONG])
@pytest.mark.parametrize("later", [UNFINISHED, LONG])
def test_a_later_note_replaces_the_earlier(journal: Journal, earlier: Unfinished, later: Unfinished) -> None:
    """There is one for a container at a time."""
    journal.write("6ba2", earlier)
    journal.write("6ba2", later)
    assert journal.read("6ba2") == later
    assert journal.container_ids() == ["6ba2"]
    assert journal.drafts() == []


def test_a_note_of_version_0_1_is_read_and_replaced(journal: Journal) -> None:
    """It was the target of a symbolic link; a daemon may be upgraded in the middle of a move."""
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


def test_a_note_is_made_where_the_directory_has_gone(tmp_path: Path) -> None:
    """Somebody may have cleaned up below a daemon that runs."""
    Journal(tmp_path / "state").write("6ba2", UNFINISHED)
    assert Journal(tmp_path / "state").read("6ba2") == UNFINISHED


def test_what_was_erased_is_gone(journal: Journal) -> None:
    """Erasing twice does no harm."""
    journal.write("6ba2", UNFINISHED)
    journal.erase("6ba2")
    journal.erase("6ba2")
    assert journal.read("6ba2") is None
    assert not journal.has("6ba2")


def test_notes_of_containers_that_are_gone_are_pruned(journal: Journal) -> None:
    """The others stay."""
    journal.write("kept", UNFINISHED)
    journal.write("gone", NOT_ATTACHED)
    journal.prune({"kept"})
    assert journal.has("kept")
    assert not journal.has("gone")


def test_notes_that_cannot_be_listed_keep_no_pass_from_going_on(tmp_path: Path) -> None:
    """Pruning is housekeeping; who has to make a note is told."""
    (tmp_path / "reconnects").touch()
    journal = Journal(tmp_path)
    journal.prune(())
    with pytest.raises(MapperError, match=r"6ba2.json of an unfinished change: Not a directory"):
        journal.write("6ba2", UNFINISHED)


def test_nobody_else_may_read_or_write_the_notes(journal: Journal) -> None:
    """They say what a privileged process will do next, and a link has no mode of its own."""
    assert journal.directory.stat().st_mode & 0o077 == 0
