"""Background mode: `-d start|stop|restart|status` with a pid file, as in the original program."""

import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.containers import reaches, run_labelled, wait_until_mapped
from tests.lab.hosts import Host
from tests.lab.mapper import run_command
from tests.lab.processes import PROC, start_time
from tests.lab.topology import Lab
from tests.lab.waiting import eventually

"""One engine suffices: background mode does not depend on the engine's version."""


class Background:
    """The daemon in background mode on a host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.pidfile = host.workdir / "mapper.pid"
        self.logfile = host.workdir / "mapper.log"

    def run(self, command: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run `-d COMMAND` with this pid file and log file."""
        files = ("--pidfile", str(self.pidfile), "--logfile", str(self.logfile))
        return run_command(self.host, *options, "-d", command, *files)

    def start(self, *options: str) -> int:
        """Start the daemon; return its PID."""
        done = self.run("start", *options)
        assert (done.returncode, done.stderr) == (0, "")
        return self.pid

    @property
    def pid(self) -> int:
        """The PID in the pid file."""
        return int(self.pidfile.read_text())

    @property
    def log(self) -> str:
        """The content of the log file."""
        return self.logfile.read_text()


@pytest.fixture
def background(host: Host) -> Iterator[Background]:
    """A host without a running daemon; a daemon that the test starts is stopped afterwards."""
    background = Background(host)
    background.logfile.unlink(missing_ok=True)
    yield background
    done = background.run("stop")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in background.log


def test_start_returns_after_running_containers_are_mapped(lab: Lab, background: Background) -> None:
    """The daemon is detached by then: own session, working directory `/`, no stream of the caller."""
    run_labelled(background.host, "mon_container")
    pid = background.start()
    assert "done: connect container mon_container" in background.log
    assert reaches(lab.client, wait_until_mapped(background.host))
    assert os.getsid(pid) not in (os.getsid(0), 0)
    assert (PROC / str(pid) / "cwd").readlink() == Path("/")
    streams = {(PROC / str(pid) / "fd" / str(number)).readlink() for number in (0, 1, 2)}
    assert streams == {Path("/dev/null"), background.logfile}
    assert background.run("status").stdout == f"running, process {pid}\n"


def test_start_succeeds_while_the_engine_is_down(background: Background) -> None:
    """It prints one line about it. Containers are mapped when the engine is up again."""
    background.host.engine.stop()
    done = background.run("start")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(
        r"started; the engine is unreachable: .+; containers are mapped once it answers\n", done.stdout
    )
    pid = background.pid
    background.host.engine.start()
    run_labelled(background.host, "mon_container")
    wait_until_mapped(background.host)
    assert background.pid == pid


def test_concurrent_status_calls_do_not_make_start_fail(background: Background) -> None:
    """A health check may run `status` at any instant of the start."""
    stop = threading.Event()

    def run_status() -> None:
        while not stop.is_set():
            background.run("status")
            run_command(background.host, "status")

    threads = [threading.Thread(target=run_status) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            background.start()
            background.run("stop")
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_second_start_is_refused(background: Background) -> None:
    """By the lock; the first daemon keeps running."""
    pid = background.start()
    done = background.run("start")
    assert done.returncode == 1
    assert f"it runs already, as process {pid}" in done.stderr
    assert background.pid == pid
    assert start_time(pid) is not None


def test_stop_waits_until_the_daemon_has_exited(background: Background) -> None:
    """Only the log is left. A second `stop` is no error, and `status` exits with code 3."""
    pid = background.start()
    done = background.run("stop")
    assert (done.returncode, done.stdout) == (0, "stopped\n")
    assert start_time(pid) is None
    assert not background.pidfile.exists()
    assert background.run("stop").stdout == "not running\n"
    status = background.run("status")
    assert (status.returncode, status.stdout) == (3, "not running\n")


def test_stale_pid_file_does_not_prevent_a_start(background: Background) -> None:
    """Also if the PID was reused by another process, which is not signalled."""
    killed = background.start()
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: start_time(killed) is None)
    background.pidfile.write_text(f"{os.getpid()}\n")
    assert background.run("status").returncode == 3
    assert background.run("stop").stdout == "not running\n"
    assert background.start() not in (killed, os.getpid())


def test_restart_starts_a_new_process(background: Background) -> None:
    """Also if no daemon ran before."""
    assert background.run("restart").returncode == 0
    pid = background.pid
    assert background.run("restart").returncode == 0
    assert background.pid != pid
    assert start_time(pid) is None


def test_failed_start_prints_the_daemons_error(background: Background) -> None:
    """Exit code 1, the same error and remedy as in the foreground, and no process is left."""
    done = background.run("start", "--docker-host", "carrier-pigeon://loft")
    assert done.returncode == 1
    assert done.stderr.startswith("error: reading the engine's address carrier-pigeon://loft")
    assert "try: --docker-host" in done.stderr
    assert background.run("status").returncode == 3


def test_log_continues_in_a_new_file_after_rotation(background: Background) -> None:
    """The log file is renamed, without a signal (logrotate). Each entry is one line with time and level."""
    background.start()
    rotated = background.logfile.rename(background.logfile.with_suffix(".1"))
    content = rotated.read_text()
    run_labelled(background.host, "mon_container")
    wait_until_mapped(background.host)
    eventually(lambda: background.logfile.exists() and "proxying 2001" in background.log)
    assert rotated.read_text() == content
    assert all(
        re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING) ", line)
        for line in content.splitlines()
    )
