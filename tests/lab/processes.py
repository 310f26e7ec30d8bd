"""Processes of the lab: found in /proc, and killed by PID."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.lab.waiting import eventually

PROC = Path("/proc")


def start_time(pid: int) -> int | None:
    """Return the start time of process `pid` in clock ticks since boot; None if it does not run.

    PIDs are reused, so PID and start time together identify a process. A zombie counts as not running.
    Source: fields 3 and 22 of proc_pid_stat(5), counted after the last `)`, since the name may contain any
    character.
    """
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def only_child(pid: int) -> int:
    """Wait until `pid` has forked its only child, and return the child's PID."""
    children = eventually(lambda: (PROC / str(pid) / "task" / str(pid) / "children").read_text().split())
    return int(children[0])


def processes_in(namespace: Path) -> Iterator[int]:
    """Yield the PIDs in the network namespace mounted at `namespace`.

    Yields nothing if the path is no namespace, or is the machine's own namespace.
    """
    wanted = _identity(namespace)
    if wanted in (None, _identity(PROC / "self/ns/net")):
        return
    for entry in PROC.iterdir():
        if entry.name.isdigit() and _identity(entry / "ns/net") == wanted:
            yield int(entry.name)


def kill_processes_in(namespace: Path) -> None:
    """Kill all processes in the network namespace mounted at `namespace`, and wait for their end.

    Processes in another PID namespace are killed first: PID 1 of that namespace exits only after each process
    inside is reaped, which their parents outside do; those parents then exit by themselves.
    """
    own = _identity(PROC / "self/ns/pid")
    _end([pid for pid in processes_in(namespace) if _identity(PROC / str(pid) / "ns/pid") != own])
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
    except OSError:  # the process has exited, or is a kernel thread
        return None
    return stat.st_dev, stat.st_ino
