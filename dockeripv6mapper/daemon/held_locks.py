"""Held locks: which process holds a lock on a file, found out without taking it, even for a moment.

A lock that a health check takes each minute is one that a daemon cannot have which starts at that instant.
`F_OFD_GETLK` would tell of other kinds of locks than flock(2)'s.
"""

import os
from pathlib import Path

LOCKS = Path("/proc/locks")
"""The kernel's list (proc_locks(5)), without those of processes that this process namespace does not show."""
LOOKS = 3
"""The list may miss a lock where another one goes while it is read."""


def holder_of(path: Path, pid: int | None = None) -> int | None:
    """The process that holds the flock(2) lock on a file; None where there is no file, or none holds it.

    With `pid`, whether that process does: some file systems give a file another device number here than
    there, and process and inode together are enough. Raises `OSError`.
    """
    try:
        file = path.stat()
    except FileNotFoundError:
        return None
    device = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}"
    for _ in range(LOOKS):
        for line in LOCKS.read_text().splitlines():
            # `1: FLOCK  ADVISORY  WRITE 2435 00:1a:1234 0 EOF`; `1: -> …` waits for it.
            fields = line.split()
            if fields[1] != "FLOCK":
                continue
            owner, (where, _, inode) = int(fields[4]), fields[5].rpartition(":")
            if int(inode) == file.st_ino and (owner == pid if pid else where == device):
                return owner
    return None
