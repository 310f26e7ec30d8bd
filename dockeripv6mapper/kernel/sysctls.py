"""Sysctls below /proc/sys/net/ipv6: read and write them, and log each change.

A key is a path below that directory, since a link's name may contain dots. `mapping.wanted_sysctls` decides
the values.
"""

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from dockeripv6mapper.actions import SysctlChange
from dockeripv6mapper.errors import KernelRefusedError

log = logging.getLogger(__name__)

ROOT = Path("/proc/sys/net/ipv6")


def read(keys: Iterable[str], root: Path = ROOT) -> Mapping[str, str | None]:
    """The current values; None for a key that does not exist, such as a removed link's."""
    return {key: _read(root / key) for key in keys}


def write(change: SysctlChange, root: Path = ROOT) -> None:
    """Make one change, and log it. Raises `KernelRefusedError`."""
    try:
        (root / change.key).write_text(change.new)
    except OSError as error:
        raise KernelRefusedError(
            f"setting {change.name} to {change.new}: {error.strerror}",
            hint=f"sysctl -w {change.name}={change.new}",
        ) from error
    log.info("sysctl %s: %s → %s", change.name, change.old, change.new)


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
