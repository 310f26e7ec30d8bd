"""The pid file: its lock tells whether a daemon runs, and reading it takes no lock."""

import fcntl
import os
import threading
from pathlib import Path

import pytest

from dockeripv6mapper.daemon.detach import PidFile
from dockeripv6mapper.errors import MapperError


def test_the_holder_is_the_process_with_number_and_lock(tmp_path: Path) -> None:
    """A number without a lock means no daemon, and so does a number that is not the lock's process."""
    path = tmp_path / "mapper.pid"
    assert PidFile(path).holder() is None
    with PidFile(path):
        assert PidFile(path).holder() == os.getpid()
        path.write_text("1\n")
        assert PidFile(path).holder() is None
    assert not path.exists()
    path.write_text(f"{os.getpid()}\n")
    assert PidFile(path).holder() is None


def test_the_question_for_the_holder_takes_no_lock(tmp_path: Path) -> None:
    """A health check asks every minute, also while a daemon starts."""
    path = tmp_path / "mapper.pid"
    path.write_text(f"{os.getpid()}\n")
    end = threading.Event()

    def ask() -> None:
        while not end.is_set():
            PidFile(path).holder()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        with path.open() as file:
            for _ in range(2000):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.flock(file, fcntl.LOCK_UN)
    finally:
        end.set()
        thread.join()


def test_a_start_waits_for_status_of_an_earlier_version(tmp_path: Path) -> None:
    """That `-d status` takes the lock for a moment."""
    path = tmp_path / "mapper.pid"
    path.touch()
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        threading.Timer(0.2, file.close).start()
        with PidFile(path):
            assert file.closed


def test_a_file_without_a_number_is_an_error(tmp_path: Path) -> None:
    """It may be any file, so it is left unchanged."""
    path = tmp_path / "precious"
    path.write_text("not a number")
    with pytest.raises(MapperError, match="it holds no number"):
        PidFile(path).holder()
    assert path.read_text() == "not a number"
