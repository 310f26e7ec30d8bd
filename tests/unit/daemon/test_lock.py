"""The locks: one daemon at a time, which no health check and no other user keeps from starting."""

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dockeripv6mapper.daemon import lock
from dockeripv6mapper.errors import MapperError

FLOCK = """
import fcntl, sys
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("ready", flush=True)
sys.stdin.read()
"""
"""What a daemon of an earlier version holds, until its standard input ends."""


@contextmanager
def earlier_version(path: Path) -> Iterator[int]:
    """Another process that holds the lock on a file alone; yields its number."""
    with subprocess.Popen(
        (sys.executable, "-c", FLOCK, str(path)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process.pid
        process.communicate()


def test_a_cleanup_and_a_daemon_exclude_each_other(tmp_path: Path) -> None:
    """The daemon's files would be taken from under it; one that comes when they are gone has its own."""
    with lock.single_daemon(tmp_path):
        pass
    with lock.exclude_daemons(tmp_path):
        with pytest.raises(MapperError, match="another mapper runs in this network namespace"):
            lock.single_daemon(tmp_path).__enter__()
        (tmp_path / lock.NAME).unlink()
    with lock.single_daemon(tmp_path):
        assert lock.daemon_runs(tmp_path)


def test_a_daemon_waits_for_a_cleanup_that_is_about_to_end(tmp_path: Path) -> None:
    """The cleanup needs some tenths of a second."""
    ends = threading.Event()

    def clean_up() -> None:
        with lock.exclude_daemons(tmp_path):
            begun.set()
            ends.wait(10)

    begun = threading.Event()
    thread = threading.Thread(target=clean_up)
    thread.start()
    assert begun.wait(10)
    threading.Timer(0.2, ends.set).start()
    with lock.single_daemon(tmp_path):
        assert ends.is_set()
    thread.join()


def test_a_cleanup_leaves_a_daemon_that_runs_alone(tmp_path: Path) -> None:
    """However long ago it was started, and with whatever state directory."""
    other = tmp_path / "other"
    other.mkdir()
    for directory in (tmp_path, other):
        refused = pytest.raises(MapperError, match=f"a daemon runs as process {os.getpid()}")
        with lock.single_daemon(tmp_path), refused, lock.exclude_daemons(directory):
            pytest.fail("it went on")
    with lock.exclude_daemons(tmp_path):
        assert not (tmp_path / lock.NAME).read_text()


def test_two_daemons_in_one_network_namespace_exclude_each_other(tmp_path: Path) -> None:
    """Whatever their state directories: each would remove the other's proxy entries at every pass."""
    other = tmp_path / "other"
    other.mkdir()
    refused = pytest.raises(MapperError, match=f"in this network namespace, as process {os.getpid()}$")
    with lock.single_daemon(tmp_path), refused, lock.single_daemon(other):
        pytest.fail("it went on")
    with lock.single_daemon(other):
        assert lock.daemon_runs(tmp_path)


def test_a_state_directory_is_held_against_a_daemon_of_an_earlier_version(tmp_path: Path) -> None:
    """It holds the directory's lock alone; so does one in another network namespace. Its number is named."""
    with earlier_version(tmp_path / lock.NAME) as pid:
        assert lock.daemon_runs(tmp_path)
        with pytest.raises(MapperError, match=f"another mapper runs with it, as process {pid}$"):
            lock.single_daemon(tmp_path).__enter__()
        with pytest.raises(MapperError, match="a daemon runs with"):
            lock.exclude_daemons(tmp_path).__enter__()
    assert lock.daemon_runs(tmp_path) is False


def test_looking_whether_a_daemon_runs_takes_no_lock(tmp_path: Path) -> None:
    """A health check looks each minute; a daemon that starts at that instant must have the lock at once."""
    (tmp_path / lock.NAME).touch()
    ends, tried = threading.Event(), 0

    def look() -> None:
        while not ends.is_set():
            lock.daemon_runs(tmp_path)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        with (tmp_path / lock.NAME).open() as file:
            until = time.monotonic() + 0.5
            while time.monotonic() < until:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.flock(file, fcntl.LOCK_UN)
                tried += 1
    finally:
        ends.set()
        for thread in threads:
            thread.join()
    assert tried > 100


def test_a_start_outlasts_the_look_of_an_earlier_version(tmp_path: Path) -> None:
    """Its `status` took the lock for a moment."""
    path = tmp_path / lock.NAME
    path.touch()
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        threading.Timer(0.2, file.close).start()
        with lock.single_daemon(tmp_path):
            assert file.closed


def test_a_state_directory_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    """With what to do: a file in its place stands for every other reason."""
    (tmp_path / "file").touch()
    with pytest.raises(MapperError, match=r"locking .*/file/lock: Not a directory") as caught:
        lock.single_daemon(tmp_path / "file").__enter__()
    assert caught.value.hint
