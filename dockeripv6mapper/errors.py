"""Errors, one class for each kind that callers handle differently.

`engine/` and `kernel/` turn every exception of a library into one of these. Only `cli/` turns these into exit
codes.
"""


class MapperError(Exception):
    """Any failure. The message says what was being done, to what, and the cause.

    `hint` is a remedy for the user, mostly a command to paste; None if there is none.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class EngineUnavailableError(MapperError):
    """The engine cannot be reached, or the connection broke during a call. Retry."""


class NoAnswerError(EngineUnavailableError):
    """The engine accepted a call, but its answer came too late or cannot be parsed.

    The call may have had its effect. Other calls may still be answered, so the engine does not count as
    unreachable.
    """


class EngineRefusedError(MapperError):
    """The engine answered with an error."""


class EngineUnsupportedError(EngineRefusedError):
    """The engine is rootless, or none of Docker's: none of its containers can be mapped."""


class LastingRefusalError(EngineRefusedError):
    """The engine will answer the same again, until the network or the engine is another one. No retry."""


class NoRequestedAddressError(LastingRefusalError):
    """The network takes no requested address, since the engine chose its subnet."""


class AddressNotAcceptedError(LastingRefusalError):
    """The network takes requested addresses, but not this one."""


class NotAttachableError(LastingRefusalError):
    """Only Swarm services may be attached to the network."""


class MacAddressError(LastingRefusalError):
    """The endpoint cannot be moved and keep the MAC address that its user chose."""


class GoneError(EngineRefusedError):
    """The engine has no such container or network (any more)."""


class NotFinishedError(EngineRefusedError):
    """A change of an endpoint has begun and cannot be finished yet. Retry.

    Until then the container is detached from a network of its user, or keeps a refused address.
    """


class KernelRefusedError(MapperError):
    """The kernel, nft or ip6tables refused to read or change a proxy entry, a sysctl or a firewall rule."""


class CommandTimeoutError(KernelRefusedError):
    """A command timed out. Whether it had an effect is unknown."""


class CommandCrashedError(KernelRefusedError):
    """A signal killed a command, as nft is killed by rules that a newer nft wrote."""


class HostUnsupportedError(MapperError):
    """The kernel, or the namespace of this process, does not allow what proxying needs. No retry."""


class PermissionMissingError(MapperError):
    """A privilege is missing. A retry is useless."""
