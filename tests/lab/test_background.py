"""Background mode: started, stopped and asked for by a pid file, as the older program was."""

import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.containers import reaches, run_labelled, wait_until_mapped
from tests.lab.engines import Flavour
from tests.lab.hosts import Host
from tests.lab.mapper import run_command
from tests.lab.processes import PROC, start_time
from tests.lab.topology import Lab
from tests.lab.waiting import eventually

pytestmark = pytest.mark.parametrize("host", [Flavour.MODERN], indirect=True)
"""Which engine it speaks to makes no difference to the process."""


class Background:
    """The daemon in the background of a host, by its command line."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.pidfile = host.workdir / "mapper.pid"
        self.logfile = host.workdir / "mapper.log"

    def run(self, command: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Run `-d COMMAND`."""
        files = ("--pidfile", str(self.pidfile), "--logfile", str(self.logfile))
        return run_command(self.host, *options, "-d", command, *files)

    def start(self, *options: str) -> int:
        """Start it; returns its process."""
        done = self.run("start", *options)
        assert (done.returncode, done.stderr) == (0, "")
        return self.pid

    @property
    def pid(self) -> int:
        """What the pid file says."""
        return int(self.pidfile.read_text())

    @property
    def log(self) -> str:
        """What the log file says."""
        return self.logfile.read_text()


@pytest.fixture
def background(host: Host) -> Iterator[Background]:
    """A host whose daemon does not run yet; it is stopped afterwards."""
    background = Background(host)
    background.logfile.unlink(missing_ok=True)
    yield background
    done = background.run("stop")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in background.log


def test_start_returns_when_what_ran_before_is_mapped(lab: Lab, background: Background) -> None:
    """The daemon has left its caller's session, directory and streams by then."""
    run_labelled(background.host, "mon_container")
    pid = background.start()
    assert "done: connect container mon_container" in background.log
    assert reaches(lab.router, wait_until_mapped(background.host))
    assert os.getsid(pid) not in (os.getsid(0), 0)
    assert (PROC / str(pid) / "cwd").readlink() == Path("/")
    streams = {(PROC / str(pid) / "fd" / str(number)).readlink() for number in (0, 1, 2)}
    assert streams == {Path("/dev/null"), background.logfile}
    assert background.run("status").stdout == f"running, process {pid}\n"


def test_start_succeeds_while_the_engine_is_away(background: Background) -> None:
    """It says so in one line; what runs when the engine is back is mapped then."""
    background.host.engine.stop()
    done = background.run("start")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(
        r"started; the engine is away: .+; its containers are mapped when it is back\n", done.stdout
    )
    pid = background.pid
    background.host.engine.start()
    run_labelled(background.host, "mon_container")
    wait_until_mapped(background.host)
    assert background.pid == pid


def test_asking_for_its_status_keeps_none_from_starting(background: Background) -> None:
    """A health check asks each minute, and may do so at any instant of the start."""
    ends = threading.Event()

    def ask() -> None:
        while not ends.is_set():
            background.run("status")
            run_command(background.host, "status")

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            background.start()
            background.run("stop")
    finally:
        ends.set()
        for thread in threads:
            thread.join()


def test_a_second_start_is_refused(background: Background) -> None:
    """By the lock: the first goes on."""
    pid = background.start()
    done = background.run("start")
    assert done.returncode == 1
    assert f"it runs already, as process {pid}" in done.stderr
    assert background.pid == pid
    assert start_time(pid) is not None


def test_stop_waits_for_the_end(background: Background) -> None:
    """Nothing is left but the log; to stop what does not run is no error, and `status` says so."""
    pid = background.start()
    done = background.run("stop")
    assert (done.returncode, done.stdout) == (0, "stopped\n")
    assert start_time(pid) is None
    assert not background.pidfile.exists()
    assert background.run("stop").stdout == "not running\n"
    status = background.run("status")
    assert (status.returncode, status.stdout) == (3, "not running\n")


def test_the_pid_file_of_a_killed_daemon_is_no_obstacle(background: Background) -> None:
    """Nor one that names a process that is somebody else's by now: that is not touched."""
    killed = background.start()
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: start_time(killed) is None)
    background.pidfile.write_text(f"{os.getpid()}\n")
    assert background.run("status").returncode == 3
    assert background.run("stop").stdout == "not running\n"
    assert background.start() not in (killed, os.getpid())


def test_restart_is_another_process(background: Background) -> None:
    """Also where none ran."""
    assert background.run("restart").returncode == 0
    pid = background.pid
    assert background.run("restart").returncode == 0
    assert background.pid != pid
    assert start_time(pid) is None


def test_a_start_that_fails_gives_the_daemons_own_reason(background: Background) -> None:
    """Exit code 1, the same sentence and remedy as in the foreground, and no process."""
    done = background.run("start", "--docker-host", "carrier-pigeon://loft")
    assert done.returncode == 1
    assert done.stderr.startswith("error: reading the engine's address carrier-pigeon://loft")
    assert "try: --docker-host" in done.stderr
    assert background.run("status").returncode == 3


def test_the_log_goes_on_in_a_new_file_after_a_rotation(background: Background) -> None:
    """By renaming alone, as logrotate does it; the lines are one each, with time and level."""
    background.start()
    rotated = background.logfile.rename(background.logfile.with_suffix(".1"))
    before = rotated.read_text()
    run_labelled(background.host, "mon_container")
    wait_until_mapped(background.host)
    eventually(lambda: background.logfile.exists() and "proxying 2001" in background.log)
    assert rotated.read_text() == before
    assert all(
        re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING) ", line)
        for line in before.splitlines()
    )
