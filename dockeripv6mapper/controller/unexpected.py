"""Unexpected errors: those that no module of ours raises on purpose, so a fault of the program itself.

The first of each kind is logged with its traceback, its repeats as one line with their number, at most one a
minute. A kind is the error's type and the line of ours that raised it: its message may differ each time.
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
"""An error's type, and `file:line` of the innermost frame of ours."""


@dataclass(slots=True)
class Seen:
    """What is known of one kind."""

    logged_at: float
    times: int = 0
    """How often it was raised since its traceback was logged."""
    ended: bool = False


class UnexpectedErrors:
    """The kinds so far: there are no more of them than lines of ours that can raise."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[Kind, Seen] = {}

    def log(self, error: Exception) -> Kind | None:
        """Log an error; returns its kind, or None where it was logged at DEBUG only."""
        kind = (type(error).__name__, _place(error))
        now = self._clock()
        seen = self._seen.setdefault(kind, Seen(now - QUIET_SECONDS))
        is_new = seen.times == 0 or seen.ended
        seen.times += 1
        if now - seen.logged_at < QUIET_SECONDS:
            log.debug(
                "unexpected: %r at %s (again: %d times now)", error, kind[1], seen.times, exc_info=error
            )
            return None
        seen.logged_at = now
        if is_new:
            seen.times, seen.ended = 1, False
            log.error("unexpected: %r at %s", error, kind[1], exc_info=error)
        else:
            log.error("unexpected: %r at %s (%d times now)", error, kind[1], seen.times)
        return kind

    def end(self, kind: Kind) -> None:
        """What failed by this kind works again: the next one that is logged has its traceback."""
        self._seen[kind].ended = True


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)]
    if not ours:
        return "an unknown place"
    return f"{Path(ours[-1].filename).relative_to(PACKAGE)}:{ours[-1].lineno}"
