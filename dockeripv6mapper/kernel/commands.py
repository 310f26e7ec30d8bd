"""The firewall's commands: run `nft` or `ip6tables`, and which backends of ip6tables are in use."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from dockeripv6mapper.errors import CommandTimeoutError, KernelRefusedError

TIMEOUT_SECONDS = 10
"""Timeout. `ip6tables` may wait for the xtables lock; all else takes milliseconds."""

IPTABLES = "ip6tables"
"""The command of the default backend: the distribution or `update-alternatives` chooses it."""
NFT, LEGACY = "ip6tables-nft", "ip6tables-legacy"
"""Each backend's own command. An engine keeps the backend that was the default when it started."""
LEGACY_TABLES = Path("/proc/net/ip6_tables_names")
"""Lists the legacy backend's tables. `ip6tables-legacy` creates a table by listing it, so read this first."""
BACKENDS = (IPTABLES, LEGACY)
"""The commands whose rules a packet passes: the default backend's, and the legacy one's."""


def run(argv: Sequence[str], *, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command and wait for its end. Raises `KernelRefusedError`, with `check` also for an exit code."""
    doing = f"running {' '.join(argv)}"
    try:
        completed = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
        )
    except FileNotFoundError as error:
        raise KernelRefusedError(
            f"{doing}: not installed", hint="apt-get install nftables iptables"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise CommandTimeoutError(f"{doing}: timed out after {TIMEOUT_SECONDS} s") from error
    except OSError as error:
        raise KernelRefusedError(f"{doing}: {error}") from error
    if check and completed.returncode:
        cause = completed.stderr.strip() or f"exit code {completed.returncode}"
        raise KernelRefusedError(f"{doing}: {cause}")
    return completed


def backends() -> list[str]:
    """The commands of the backends that may hold rules; only `ip6tables` before iptables 1.8."""
    present = [command for command in (NFT, LEGACY) if shutil.which(command)]
    if LEGACY in present and not _legacy_is_used():
        present.remove(LEGACY)
    if not present and shutil.which(IPTABLES):
        return [IPTABLES]
    return present


def _legacy_is_used() -> bool:
    try:
        return bool(LEGACY_TABLES.read_text())
    except (FileNotFoundError, PermissionError):
        # Not found: the kernel has no legacy tables. Not permitted: this process may not change them either.
        return False
