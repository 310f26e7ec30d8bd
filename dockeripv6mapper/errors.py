"""What can go wrong, in the few kinds that callers tell apart.

Adapters turn every exception of a library into one of these; only `cli/` turns one into an exit code.
"""


class MapperError(Exception):
    """Something failed: the message says what we were doing, to what, and the cause.

    `hint` is what the reader can type next, where there is such a thing.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class EngineUnavailableError(MapperError):
    """The engine could not be reached, or went away during a call. Trying again is right."""


class NoAnswerError(EngineUnavailableError):
    """The engine took a call, and answered too late or nothing that can be read.

    It may have done what it was asked. Another call may well be answered, so it is not said to be away.
    """


class EngineRefusedError(MapperError):
    """The engine answered, and the answer was no."""


class GoneError(EngineRefusedError):
    """The engine does not have the container or the network that was spoken of (any more)."""


class NotFinishedError(EngineRefusedError):
    """A change of an endpoint was begun and cannot be finished yet: it has to be tried again.

    The container is detached from a network of its user's, or keeps an address that was refused.
    """


class KernelRefusedError(MapperError):
    """The kernel refused a change: a proxy entry, a sysctl."""


class CommandTimeoutError(KernelRefusedError):
    """A command did not end in time: nothing is known of what it was to show or to change."""


class PermissionMissingError(MapperError):
    """The process may not do its job at all, and trying again would not help."""
