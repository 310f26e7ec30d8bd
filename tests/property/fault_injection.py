"""Faults injected at one call of the daemon to the engine."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from dockeripv6mapper.errors import EngineRefusedError, EngineUnavailableError, NoAnswerError

T = TypeVar("T")


class Killed(BaseException):
    """The daemon is killed here. Not an `Exception`, so that no handler of the program catches it."""


class CallFault(Enum):
    """A fault of a call: (whether the engine carries it out, the exception raised instead of an answer)."""

    KILLED_BEFORE = (False, Killed)
    KILLED_AFTER = (True, Killed)
    NO_ANSWER_BEFORE = (False, NoAnswerError)
    NO_ANSWER_AFTER = (True, NoAnswerError)
    LOST_BEFORE = (False, EngineUnavailableError)
    LOST_AFTER = (True, EngineUnavailableError)
    REFUSED = (False, EngineRefusedError)

    @property
    def kills(self) -> bool:
        """Whether the daemon is killed."""
        return self.value[1] is Killed


@dataclass(slots=True)
class FaultInjection:
    """Injects one fault, at a call counted from 0."""

    calls_before: int
    fault: CallFault | Callable[[], None]
    """A function is called just before the call, which then goes on."""
    injected: bool = False

    def carry_out(self, doing: str, call: Callable[[], T], refuse: Callable[[], None]) -> T:
        """Make a call of the daemon. `refuse` does what the engine does when it refuses this call."""
        if not self._is_due():
            return call()
        if not isinstance(self.fault, CallFault):
            self.fault()
            return call()
        acts, error = self.fault.value
        if acts:
            # The daemon does not get the answer, even if it is a refusal.
            with suppress(EngineRefusedError):
                call()
        elif self.fault is CallFault.REFUSED:
            refuse()
        raise error(f"{doing}: {self.fault.name}")

    def _is_due(self) -> bool:
        if self.injected or self.calls_before:
            self.calls_before -= not self.injected
            return False
        self.injected = True
        return True
