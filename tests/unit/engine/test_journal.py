"""What a reconnect must put back survives the process."""

from pathlib import Path

from dockeripv6mapper.engine.journal import Journal, Unfinished

UNFINISHED = Unfinished("net-id", "he_ipv6", {"Aliases": ["web"], "IPAMConfig": {"IPv4Address": "10.9.0.7"}})


def test_what_was_noted_is_read_back_by_the_next_process(tmp_path: Path) -> None:
    """All of it, from the note alone."""
    journal = Journal(tmp_path)
    journal.write("first, which makes the directory", UNFINISHED)
    journal.write("6ba2", UNFINISHED)
    assert Journal(tmp_path).has("6ba2")
    assert Journal(tmp_path).read("6ba2") == UNFINISHED


def test_a_note_too_long_for_a_link_is_kept_as_well(tmp_path: Path) -> None:
    """The target of a link has an end (PATH_MAX, 4096 bytes); what a user may set on an endpoint has none."""
    long = Unfinished("net-id", "he_ipv6", {"Aliases": [f"alias-{number}" for number in range(1000)]})
    Journal(tmp_path).write("6ba2", long)
    assert Journal(tmp_path).read("6ba2") == long
    assert Journal(tmp_path).drafts() == []


def test_a_later_note_takes_the_place_of_the_earlier(tmp_path: Path) -> None:
    """There is one for a container at a time."""
    journal = Journal(tmp_path)
    journal.write("6ba2", Unfinished("net-id", "he_ipv6", None))
    journal.write("6ba2", UNFINISHED)
    assert journal.read("6ba2") == UNFINISHED
    assert journal.container_ids() == ["6ba2"]


def test_what_was_erased_is_gone(tmp_path: Path) -> None:
    """Erasing twice does no harm."""
    journal = Journal(tmp_path)
    journal.write("6ba2", UNFINISHED)
    journal.erase("6ba2")
    journal.erase("6ba2")
    assert journal.read("6ba2") is None
    assert not journal.has("6ba2")


def test_notes_of_containers_that_are_gone_are_pruned(tmp_path: Path) -> None:
    """The others stay."""
    journal = Journal(tmp_path)
    journal.write("kept", UNFINISHED)
    journal.write("gone", UNFINISHED)
    journal.prune(["kept"])
    assert journal.has("kept")
    assert not journal.has("gone")


def test_nobody_else_may_read_or_write_the_notes(tmp_path: Path) -> None:
    """They say what a privileged process will do next."""
    Journal(tmp_path).write("6ba2", UNFINISHED)
    assert (tmp_path / "reconnects").stat().st_mode & 0o077 == 0
