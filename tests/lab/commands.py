"""Run commands (ip, nsenter, docker) to their end; a failure is an exception."""

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

DEFAULT_TIMEOUT = 60.0
"""Seconds. The slowest command of a test (`docker network rm`) takes less than 1 s."""


class CommandError(Exception):
    """A command ended with an exit code other than 0, or timed out."""

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
    """Run `argv` to its end and capture its output.

    Without `stdin` its standard input is empty, so that no command waits for a terminal. Raises
    `CommandError` on a timeout (`timeout`: seconds), and with `check` on any exit code but 0.
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
