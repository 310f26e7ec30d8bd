"""Unexpected errors: exceptions that are not `MapperError`, so bugs of this program.

The first of each kind is logged with its traceback, repeats as one line with their number, at most one a
minute. A kind is the error's type and the line of this program that raised it.
"""

import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import dockeripv6mapper

log = logging.getLogger(__name__)

QUIET_SECONDS = 60.0
"""Minimum time between two lines about one kind."""
PACKAGE = Path(dockeripv6mapper.__file__).parent

Kind = tuple[str, str]
"""An error's type, and `file:line` of this program's innermost frame."""


@dataclass(slots=True)
class Seen:
    """The log state of one kind."""

    logged_at: float
    times: int = 0
    """Number of errors since the traceback was logged."""
    ended: bool = False


class UnexpectedErrors:
    """All kinds so far. Their number is bounded by the lines of this program."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[Kind, Seen] = {}

    def log(self, error: Exception) -> Kind | None:
        """Log an error. Returns its kind, or None where it was logged at DEBUG only."""
        kind = (type(error).__name__, _place(error))
        now = self._clock()
        seen = self._seen.setdefault(kind, Seen(now - QUIET_SECONDS))
        is_new = seen.times == 0 or seen.ended
        seen.times += 1
        if now - seen.logged_at < QUIET_SECONDS:
            log.debug("unexpected: %r at %s (repeated: %d times)", error, kind[1], seen.times, exc_info=error)
            return None
        seen.logged_at = now
        if is_new:
            seen.times, seen.ended = 1, False
            log.error("unexpected: %r at %s", error, kind[1], exc_info=error)
        else:
            log.error("unexpected: %r at %s (repeated: %d times)", error, kind[1], seen.times)
        return kind

    def end(self, kind: Kind) -> None:
        """Note that the failure has ended. The next error of this kind is logged with its traceback."""
        self._seen[kind].ended = True


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)]
    if not ours:
        return "an unknown place"
    return f"{Path(ours[-1].filename).relative_to(PACKAGE)}:{ours[-1].lineno}"
