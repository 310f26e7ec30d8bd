"""Commands: the real tools (ip, nsenter, docker), run to their end, loud when they fail."""

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

DEFAULT_TIMEOUT = 60.0
"""Seconds. The slowest command of a test, an engine's network removal, takes less than one."""


class CommandError(Exception):
    """A command ended with an error, or did not end in time."""

    def __init__(self, argv: Sequence[str], outcome: str, stderr: str) -> None:
        super().__init__(f"{shlex.join(argv)}: {outcome}: {stderr.strip() or 'nothing on stderr'}")


def run(
    *argv: str,
    check: bool = True,
    timeout: float = DEFAULT_TIMEOUT,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `argv` to its end and collect what it prints.

    Without `stdin` it reads nothing: no command of a test may wait for a terminal. Raises
    `CommandError` on a timeout, and with `check` on any exit code but 0.
    """
    try:
        done = subprocess.run(
            argv,
            input="" if stdin is None else stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=env,
            cwd=cwd,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        partial = error.stderr.decode(errors="replace") if isinstance(error.stderr, bytes) else ""
        raise CommandError(argv, f"not done after {timeout} s", partial) from error
    if check and done.returncode:
        raise CommandError(argv, f"exit code {done.returncode}", done.stderr)
    return done
