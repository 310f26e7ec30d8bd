"""Processes: what /proc tells about them. Only ours are ever ended, and by their numbers."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.lab.waiting import eventually

PROC = Path("/proc")


def start_time(pid: int) -> int | None:
    """When `pid` was started, in clock ticks after boot; None where no such process runs.

    A number may come back as another process; number and start time together do not. A zombie
    does not run. Fields 3 and 22 of proc_pid_stat(5), counted after the name's closing bracket,
    since the name may hold anything.
    """
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def only_child(pid: int) -> int:
    """Return the one child of `pid`, which is about to fork it."""
    children = eventually(lambda: (PROC / str(pid) / "task" / str(pid) / "children").read_text().split())
    return int(children[0])


def processes_in(namespace: Path) -> Iterator[int]:
    """Return the processes in the network namespace that `namespace` names.

    None for a name that is no namespace any more, and never those of the machine's own.
    """
    wanted = _identity(namespace)
    if wanted in (None, _identity(PROC / "self/ns/net")):
        return
    for entry in PROC.iterdir():
        if entry.name.isdigit() and _identity(entry / "ns/net") == wanted:
            yield int(entry.name)


def kill_processes_in(namespace: Path) -> None:
    """Kill whatever runs in the network namespace that `namespace` names, and await its end.

    Those in a process namespace of their own come first: its end waits until each process inside is
    reaped, and that is done by their parents outside, which end of themselves then.
    """
    ours = _identity(PROC / "self/ns/pid")
    _end([pid for pid in processes_in(namespace) if _identity(PROC / str(pid) / "ns/pid") != ours])
    _end(list(processes_in(namespace)))


def _end(pids: list[int]) -> None:
    running = {pid: start_time(pid) for pid in pids}
    for pid in running:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: not any(started and start_time(pid) == started for pid, started in running.items()))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:  # it has just ended, or is a kernel thread's
        return None
    return stat.st_dev, stat.st_ino
