"""The pid file: its lock counts, and looking at it takes none."""

import fcntl
import os
import threading
from pathlib import Path

import pytest

from dockeripv6mapper.daemon.detach import PidFile
from dockeripv6mapper.errors import MapperError


def test_its_holder_is_the_process_that_has_the_lock(tmp_path: Path) -> None:
    """A number without a lock is nobody's, as is a lock that another process holds."""
    path = tmp_path / "mapper.pid"
    assert PidFile(path).holder() is None
    with PidFile(path):
        assert PidFile(path).holder() == os.getpid()
        path.write_text("1\n")
        assert PidFile(path).holder() is None
    assert not path.exists()
    path.write_text(f"{os.getpid()}\n")
    assert PidFile(path).holder() is None


def test_looking_for_the_holder_takes_no_lock(tmp_path: Path) -> None:
    """A health check looks each minute, also while a daemon starts."""
    path = tmp_path / "mapper.pid"
    path.write_text(f"{os.getpid()}\n")
    ends = threading.Event()

    def look() -> None:
        while not ends.is_set():
            PidFile(path).holder()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        with path.open() as file:
            for _ in range(2000):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.flock(file, fcntl.LOCK_UN)
    finally:
        ends.set()
        thread.join()


def test_a_start_outlasts_the_look_of_an_earlier_version(tmp_path: Path) -> None:
    """Its `-d status` took the lock for a moment."""
    path = tmp_path / "mapper.pid"
    path.touch()
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        threading.Timer(0.2, file.close).start()
        with PidFile(path):
            assert file.closed


def test_a_file_that_holds_no_number_is_one_sentence(tmp_path: Path) -> None:
    """It is some other file: nothing is done with it."""
    path = tmp_path / "precious"
    path.write_text("not a number")
    with pytest.raises(MapperError, match="it holds no number"):
        PidFile(path).holder()
    assert path.read_text() == "not a number"
