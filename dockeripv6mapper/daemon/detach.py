"""Background mode: `-d start|stop|restart|status`, for hosts without a service manager.

The process detaches itself with python-daemon. `start` waits for it at a pipe: one byte says that the daemon
is ready, and what follows why that is not a full pass; the pipe's end without that byte, that the daemon has
ended, and its log says why.
"""

import logging
import os
import re
import select
import signal
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import IO

from daemon import DaemonContext

from dockeripv6mapper.controller.observers import ServiceManager
from dockeripv6mapper.daemon.pidfile import PidFile, already_running
from dockeripv6mapper.errors import MapperError

log = logging.getLogger(__name__)

DEFAULT_PIDFILE = Path("/var/run/DockerIPV6Mapper.pid")
DEFAULT_LOGFILE = Path("/var/log/DockerIPV6Mapper.log")
"""Both as the older program had them."""

START_SECONDS = 90.0
"""How long `start` waits until the daemon is ready: as long as systemd would."""
READY = b"1"
STOP_SECONDS = 20.0
"""How long `stop` waits: the daemon lets what is under way end, for at most half of that."""
UMASK = 0o027
LAST_WORDS = re.compile(r"^error: (?P<error>.*)(?:\n  try: (?P<hint>.*))?$", re.MULTILINE)
"""What the program says on stderr where it ends with an error of ours."""


class Command(Enum):
    """What is to be done about the daemon in the background."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    STATUS = "status"


class Starter(ServiceManager):
    """The `start` that waits at the other end of a pipe."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def ready(self, missing: str) -> None:
        """Have it return."""
        try:
            os.write(self._pipe, READY + missing.encode()[: select.PIPE_BUF - 1])
        except OSError as error:  # somebody interrupted it: the daemon goes on all the same
            log.debug("telling `start` that all is ready: %s", error)
        os.close(self._pipe)


def start(pidfile: Path, logfile: Path, run: Callable[[ServiceManager], None]) -> str:
    """Have `run` done by a process in the background; returns when that is ready.

    What is returned says why it has not mapped everything; empty where it has. Raises `MapperError` with the
    daemon's own reason where it ends instead. In the daemon's process it returns, or raises, when `run` does.
    """
    pid_file = PidFile(pidfile)
    if (holder := pid_file.holder()) is not None:
        raise already_running(holder, pidfile)
    try:
        output = logfile.open("a")
    except OSError as error:
        raise MapperError(
            f"opening the log file {logfile}: {error.strerror}", hint="--logfile FILE names another"
        ) from error
    with output:
        said_before = output.tell()
        heard, said = os.pipe()
        if (child := os.fork()) == 0:
            os.close(heard)
            _become_daemon(pid_file, output, said, run)
            return ""
        os.close(said)
        # It ends when the daemon is on its own.
        os.waitpid(child, 0)
        with os.fdopen(heard, "rb") as pipe:
            if not select.select([pipe], [], [], START_SECONDS)[0]:
                stop(pidfile)
                raise _reason(logfile, said_before, f"not ready after {START_SECONDS:g} s, so it was stopped")
            if not (heard_of := pipe.read()):
                raise _reason(logfile, said_before, "the daemon ended")
    return heard_of.removeprefix(READY).decode(errors="replace")


def stop(pidfile: Path) -> bool:
    """Have the daemon end, and wait for it; returns whether there was one. Raises `MapperError`."""
    pid_file = PidFile(pidfile)
    if (pid := pid_file.holder()) is None:
        return False
    doing = f"stopping process {pid} of the pid file {pidfile}"
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if pid_file.holder() == pid:
            signal.pidfd_send_signal(process, signal.SIGTERM)
        if not select.select([process], [], [], STOP_SECONDS)[0]:
            raise MapperError(f"{doing}: not ended after {STOP_SECONDS:g} s", hint=f"kill -KILL {pid}")
    except OSError as error:
        raise MapperError(f"{doing}: {error.strerror}", hint="run as root, or as its user") from error
    finally:
        os.close(process)
    return True


def _become_daemon(
    pid_file: PidFile, output: IO[str], said: int, run: Callable[[ServiceManager], None]
) -> None:
    """Leave the caller's session and files, and do the daemon's work."""
    context = DaemonContext(
        pidfile=pid_file,
        stdout=output,
        stderr=output,
        files_preserve=[said],
        umask=UMASK,
        detach_process=True,
    )
    with context:
        run(Starter(said))


def _reason(logfile: Path, since: int, outcome: str) -> MapperError:
    """Why the daemon did not become ready, from what it has logged."""
    try:
        with logfile.open(errors="replace") as log_file:
            log_file.seek(since)
            text = log_file.read()
    except OSError:  # it may be written, and not read
        text = ""
    if words := LAST_WORDS.search(text):
        return MapperError(words["error"], hint=words["hint"])
    lines = text.splitlines()
    said = f": {lines[-1]}" if lines else ""
    return MapperError(f"starting in the background: {outcome}{said}", hint=f"{logfile} has all that it said")
