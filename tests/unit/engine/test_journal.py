"""What a reconnect must put back survives the process."""

from pathlib import Path

from dockeripv6mapper.engine.journal import Journal, Unfinished

UNFINISHED = Unfinished("net-id", "he_ipv6", {"Aliases": ["web"], "IPAMConfig": {"IPv4Address": "10.9.0.7"}})


def test_what_was_noted_is_read_back_by_the_next_process(tmp_path: Path) -> None:
    """All of it, from the file alone."""
    Journal(tmp_path).write("6ba2", UNFINISHED)
    assert Journal(tmp_path).has("6ba2")
    assert Journal(tmp_path).read("6ba2") == UNFINISHED


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
