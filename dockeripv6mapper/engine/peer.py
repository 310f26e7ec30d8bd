"""The engine's process, as the kernel tells it of a socket."""

import socket
import struct

CREDENTIALS = struct.Struct("3i")
"""`struct ucred`: pid, uid, gid (unix(7))."""
SECONDS = 5.0


def peer_process(path: str | None) -> int | None:
    """The number of the process that listens on a local socket.

    None where there is none, or it is hidden by a process namespace. With systemd's socket activation it is
    systemd's, which is in the same network namespace.
    """
    if path is None:
        return None
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(SECONDS)
            link.connect(path)
            credentials = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    except OSError:
        return None
    pid: int = CREDENTIALS.unpack(credentials)[0]
    return pid or None
