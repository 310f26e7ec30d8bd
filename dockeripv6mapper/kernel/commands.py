"""Commands: the programs that change and list the firewall, run to their end."""

import subprocess
from collections.abc import Sequence

from dockeripv6mapper.errors import CommandTimeoutError, KernelRefusedError

COMMAND_SECONDS = 10
"""xtables waits for its lock; nothing else here takes longer than milliseconds."""


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
