"""Commands: the programs that change and list the firewall, run to their end."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from dockeripv6mapper.errors import CommandTimeoutError, KernelRefusedError

COMMAND_SECONDS = 10
"""xtables waits for its lock; nothing else here takes longer than milliseconds."""

IPTABLES = "ip6tables"
"""The command of whichever backend is the machine's choice."""
NFT, LEGACY = "ip6tables-nft", "ip6tables-legacy"
"""Each backend's own command: an engine that was started before the choice changed uses the other."""
LEGACY_TABLES = Path("/proc/net/ip6_tables_names")
"""The legacy backend's tables. Its command makes the table that it is asked about, so look here first."""
BACKENDS = ("ip6tables", "ip6tables-legacy")
"""The machine's choice, and the older backend where that is another: packets pass both."""


def run(argv: Sequence[str], *, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. Raises `KernelRefusedError`."""
    doing = f"running {' '.join(argv)}"
    try:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )
    except FileNotFoundError as error:
        raise KernelRefusedError(
            f"{doing}: not installed", hint="apt-get install nftables iptables"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise CommandTimeoutError(f"{doing}: no end after {COMMAND_SECONDS} s") from error
    except OSError as error:
        raise KernelRefusedError(f"{doing}: {error}") from error
    if check and done.returncode:
        raise KernelRefusedError(f"{doing}: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done


def backends() -> list[str]:
    """The commands of the backends that may hold a rule; before iptables 1.8 one command was all."""
    named = [command for command in (NFT, LEGACY) if shutil.which(command)]
    if LEGACY in named and not _legacy_is_used():
        named.remove(LEGACY)
    if not named and shutil.which(IPTABLES):
        return [IPTABLES]
    return named


def _legacy_is_used() -> bool:
    try:
        return bool(LEGACY_TABLES.read_text())
    except (FileNotFoundError, PermissionError):
        # The kernel does not have it; or this process may not look, and then may not change it either.
        return False
