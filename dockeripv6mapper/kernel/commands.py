"""The firewall's commands: run `nft` or `ip6tables`, and which backends of ip6tables are in use."""

import re
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from dockeripv6mapper.errors import CommandCrashedError, CommandTimeoutError, KernelRefusedError
from dockeripv6mapper.firewall_rules import NFT_COMMAND

TIMEOUT_SECONDS = 10
"""Timeout. `ip6tables` may wait for the xtables lock; all else takes milliseconds."""

IPTABLES = "ip6tables"
"""The command of the default backend: the distribution or `update-alternatives` chooses it."""
NFT, LEGACY = "ip6tables-nft", "ip6tables-legacy"
"""Each backend's own command. An engine keeps the backend that was the default when it started."""
NEWER_NFT = "# install a newer nftables here, or run the mapper in its container image, which has one"
CRASHES = (signal.SIGSEGV, signal.SIGABRT)
"""Signals of a crash."""
LEGACY_TABLES = Path("/proc/net/ip6_tables_names")
"""Lists the legacy backend's tables. `ip6tables-legacy` creates a table by listing it, so read this first."""
BACKENDS = (IPTABLES, LEGACY)
"""The commands whose rules a packet passes: the default backend's, and the legacy one's."""


TABLE_PREFIX = "table ip6 "
"""Begins a line of `nft list tables ip6`."""

_processes: deque[tuple[int, float]] = deque(maxlen=64)
"""The PIDs of the last commands, and when each began."""
_starting = threading.Lock()
"""Held while a command starts: it may have changed something before its PID is in `_processes`."""


def is_own(pid: int) -> bool:
    """Whether a process is or was a command that `run` began recently."""
    earliest = time.monotonic() - TIMEOUT_SECONDS - 1
    with _starting:
        return any(pid == each and began > earliest for each, began in _processes)


def run(argv: Sequence[str], *, stdin: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command and wait for its end. Raises `KernelRefusedError`, with `check` also for an exit code.

    `CommandCrashedError` where a signal killed it.
    """
    doing = f"running {' '.join(argv)}"
    try:
        completed = _run(argv, stdin)
    except FileNotFoundError as error:
        raise KernelRefusedError(
            f"{doing}: not installed", hint="apt-get install nftables iptables"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise CommandTimeoutError(f"{doing}: timed out after {TIMEOUT_SECONDS} s") from error
    except OSError as error:
        raise KernelRefusedError(f"{doing}: {error}") from error
    if completed.returncode < 0:
        raise _crashed(doing, argv[0], -completed.returncode)
    if check and completed.returncode:
        cause = completed.stderr.strip() or f"exit code {completed.returncode}"
        raise KernelRefusedError(f"{doing}: {cause}")
    return completed


def _crashed(doing: str, command: str, number: int) -> CommandCrashedError:
    """The error for a command that a signal killed.

    nft reads all sets of all programs before most changes, and 1.0.6 (Debian 12) dies of some that 1.1.3 and
    later write: SIGSEGV at a set of one type, SIGABRT at `meta mark set ct mark | meta mark`.
    """
    text = f"{doing}: {command} died of {signal.Signals(number).name}"
    if command != NFT_COMMAND or number not in CRASHES:
        return CommandCrashedError(text)
    text += f": this nft{_version(command)} probably cannot read rules that a newer one wrote"
    return CommandCrashedError(text, hint=NEWER_NFT)


def _version(command: str) -> str:
    """The version that a command prints, as ` (1.0.6)`; empty where it prints none."""
    try:
        printed = _run([command, "--version"], "").stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\d+(?:\.\d+)+", printed)
    return f" ({found[0]})" if found else ""


def _run(argv: Sequence[str], stdin: str) -> subprocess.CompletedProcess[str]:
    """Like `subprocess.run`, and notes the PID. Raises `OSError` and `subprocess.TimeoutExpired`."""
    pipe = subprocess.PIPE
    with _starting:
        # A comment of any rule may hold any bytes. nft leaves such comments out of JSON.
        process = subprocess.Popen(
            argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True, errors="backslashreplace"
        )
        _processes.append((process.pid, time.monotonic()))
    with process:
        try:
            stdout, stderr = process.communicate(stdin, timeout=TIMEOUT_SECONDS)
        except:
            process.kill()
            raise
    return subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)


def backends() -> list[str]:
    """The commands of the backends that may hold rules; only `ip6tables` before iptables 1.8."""
    present = [command for command in (NFT, LEGACY) if shutil.which(command)]
    if LEGACY in present and not legacy_is_used():
        present.remove(LEGACY)
    if not present and shutil.which(IPTABLES):
        return [IPTABLES]
    return present


def legacy_is_used() -> bool | None:
    """Whether there are tables of the legacy backend; None: not permitted to know, nor to change them."""
    try:
        return bool(LEGACY_TABLES.read_text())
    except FileNotFoundError:
        return False
    except PermissionError:
        return None


def nft_tables() -> list[str]:
    """The names of the nftables tables of IPv6; none without nft. Raises `KernelRefusedError`."""
    if not shutil.which("nft"):
        return []
    listed = run(["nft", "list", "tables", "ip6"]).stdout
    return [line.removeprefix(TABLE_PREFIX) for line in listed.splitlines() if line.startswith(TABLE_PREFIX)]
