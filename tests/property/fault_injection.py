"""Trouble: what happens to one call of the daemon to the engine, or to the daemon in the middle of it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from dockeripv6mapper.errors import EngineRefusedError, EngineUnavailableError, NoAnswerError

T = TypeVar("T")


class Killed(BaseException):
    """The daemon is killed here. Not an `Exception`: nothing in the program sees it."""


class CallFault(Enum):
    """What happens to a call: (whether the engine acts on it, what comes of it instead of an answer)."""

    KILLED_BEFORE = (False, Killed)
    KILLED_AFTER = (True, Killed)
    NO_ANSWER_BEFORE = (False, NoAnswerError)
    NO_ANSWER_AFTER = (True, NoAnswerError)
    LOST_BEFORE = (False, EngineUnavailableError)
    LOST_AFTER = (True, EngineUnavailableError)
    REFUSED = (False, EngineRefusedError)

    @property
    def kills(self) -> bool:
        """Whether it ends the daemon."""
        return self.value[1] is Killed


@dataclass(slots=True)
class FaultInjection:
    """Trouble at one call, counted from 0; a function is something that happens just before the call."""

    calls_before: int
    what: CallFault | Callable[[], None]
    injected: bool = False

    def carry_out(self, doing: str, call: Callable[[], T], refuse: Callable[[], None]) -> T:
        """Carry out a call of the daemon; `refuse` does what the engine does where it refuses this one."""
        if not self._is_due():
            return call()
        if not isinstance(self.what, CallFault):
            self.what()
            return call()
        acts, error = self.what.value
        if acts:
            # The daemon does not hear of a refusal either.
            with suppress(EngineRefusedError):
                call()
        elif self.what is CallFault.REFUSED:
            refuse()
        raise error(f"{doing}: {self.what.name}")

    def _is_due(self) -> bool:
        if self.injected or self.calls_before:
            self.calls_before -= not self.injected
            return False
        self.injected = True
        return True
