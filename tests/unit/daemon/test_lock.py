"""The daemon's locks: one daemon at a time; a health check never delays a start."""

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
"""Hold the file lock, as a daemon of an earlier version does, until end of file on stdin."""


@contextmanager
def earlier_version(path: Path) -> Iterator[int]:
    """A process that holds only the file lock; yields its number."""
    with subprocess.Popen(
        (sys.executable, "-c", FLOCK, str(path)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process.pid
        process.communicate()


def test_a_cleanup_and_a_daemon_exclude_each_other(tmp_path: Path) -> None:
    """A cleanup must not remove a running daemon's files. After it, a daemon creates new ones."""
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
    may_end = threading.Event()
    started = threading.Event()

    def clean_up() -> None:
        with lock.exclude_daemons(tmp_path):
            started.set()
            may_end.wait(10)

    thread = threading.Thread(target=clean_up)
    thread.start()
    assert started.wait(10)
    threading.Timer(0.2, may_end.set).start()
    with lock.single_daemon(tmp_path):
        assert may_end.is_set()
    thread.join()


def test_a_cleanup_is_refused_while_a_daemon_runs(tmp_path: Path) -> None:
    """Also if the daemon has another state directory."""
    other = tmp_path / "other"
    other.mkdir()
    for directory in (tmp_path, other):
        refusal = pytest.raises(MapperError, match=f"a daemon runs as process {os.getpid()}")
        with lock.single_daemon(tmp_path), refusal, lock.exclude_daemons(directory):
            pytest.fail("no refusal")
    with lock.exclude_daemons(tmp_path):
        assert not (tmp_path / lock.NAME).read_text()


def test_two_daemons_in_one_network_namespace_exclude_each_other(tmp_path: Path) -> None:
    """With any state directories: each would remove the other's proxy entries at every pass."""
    other = tmp_path / "other"
    other.mkdir()
    refusal = pytest.raises(MapperError, match=f"in this network namespace, as process {os.getpid()}$")
    with lock.single_daemon(tmp_path), refusal, lock.single_daemon(other):
        pytest.fail("no refusal")
    with lock.single_daemon(other):
        assert lock.daemon_runs(tmp_path)


def test_a_state_directory_is_locked_against_a_daemon_of_an_earlier_version(tmp_path: Path) -> None:
    """Such a daemon, or one in another network namespace, holds only the file lock. The error names it."""
    with earlier_version(tmp_path / lock.NAME) as pid:
        assert lock.daemon_runs(tmp_path)
        with pytest.raises(MapperError, match=f"another mapper runs with it, as process {pid}$"):
            lock.single_daemon(tmp_path).__enter__()
        with pytest.raises(MapperError, match="a daemon runs with"):
            lock.exclude_daemons(tmp_path).__enter__()
    assert lock.daemon_runs(tmp_path) is False


def test_the_question_whether_a_daemon_runs_takes_no_lock(tmp_path: Path) -> None:
    """A health check asks every minute; a daemon that starts at that moment must get the lock at once."""
    (tmp_path / lock.NAME).touch()
    end, locked = threading.Event(), 0

    def ask() -> None:
        while not end.is_set():
            lock.daemon_runs(tmp_path)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        with (tmp_path / lock.NAME).open() as file:
            until = time.monotonic() + 0.5
            while time.monotonic() < until:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.flock(file, fcntl.LOCK_UN)
                locked += 1
    finally:
        end.set()
        for thread in threads:
            thread.join()
    assert locked > 100


def test_a_start_waits_for_status_of_an_earlier_version(tmp_path: Path) -> None:
    """That `status` takes the file lock for a moment."""
    path = tmp_path / lock.NAME
    path.touch()
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        threading.Timer(0.2, file.close).start()
        with lock.single_daemon(tmp_path):
            assert file.closed


def test_an_unusable_state_directory_is_an_error_with_a_hint(tmp_path: Path) -> None:
    """A file in place of the directory is an example of any reason."""
    (tmp_path / "file").touch()
    with pytest.raises(MapperError, match=r"locking .*/file/lock: Not a directory") as caught:
        lock.single_daemon(tmp_path / "file").__enter__()
    assert caught.value.hint
