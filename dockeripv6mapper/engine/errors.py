"""Errors: translates exceptions of Docker's library, sockets and parsing into `dockeripv6mapper.errors`."""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException

import requests
from docker.errors import APIError, DockerException, NotFound, StreamParseError
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as HTTPTimeoutError

from dockeripv6mapper.errors import (
    AddressNotAcceptedError,
    EngineRefusedError,
    EngineUnavailableError,
    GoneError,
    MapperError,
    NoAnswerError,
    NoRequestedAddressError,
    NotAttachableError,
    PermissionMissingError,
)

PARSE_ERRORS = (LookupError, TypeError, ValueError, AttributeError)
"""Raised by reading an answer that is not as the API documents it."""
TRANSPORT_ERRORS = (
    DockerException,
    StreamParseError,
    requests.RequestException,
    HTTPError,
    HTTPException,
    OSError,
)
"""Raised by Docker's library, the HTTP libraries below it, and sockets."""


LASTING: dict[str, type[EngineRefusedError]] = {
    "supported only when connecting to networks with user configured subnets": NoRequestedAddressError,
    "user specified ip address is supported on user defined networks only": NoRequestedAddressError,
    "no configured subnet": AddressNotAcceptedError,
    "not manually attachable": NotAttachableError,
}
"""Parts of answers that stay the same at every retry, in lower case (moby `daemon/container_operations.go`,
`api/types/network/endpoint.go`, swarmkit `manager/resourceapi`)."""


@contextmanager
def translated_errors(doing: str, engine: str) -> Iterator[None]:
    """Translate the exceptions of a call to `engine`, and of reading its answer, into ours.

    `doing` is the beginning of the message, such as `listing networks`.
    """
    try:
        yield
    except NotFound as error:
        raise GoneError(f"{doing}: {error.explanation or error}") from error
    except APIError as error:
        raise refused_error(doing, str(error.explanation or error)) from error
    except (*TRANSPORT_ERRORS, *PARSE_ERRORS) as error:
        raise _unavailable(f"{doing} at {engine}", error) from error


def refused_error(doing: str, answer: str) -> EngineRefusedError:
    """Our error for an answer of the engine that is an error."""
    kind = next((kind for text, kind in LASTING.items() if text in answer.lower()), EngineRefusedError)
    return kind(f"{doing}: {answer}")


def _unavailable(doing: str, error: Exception) -> MapperError:
    """Our error for a call to which the engine sent no usable answer."""
    causes = list(_causes(error))
    cause = next((each for each in causes if _has_errno(each)), None)
    if isinstance(cause, PermissionError):
        return PermissionMissingError(
            f"{doing}: permission denied on the engine's socket",
            hint=f"usermod -aG docker {_user()}  # and log in again, or run as root",
        )
    if any(isinstance(each, TimeoutError | HTTPTimeoutError) for each in causes):
        return NoAnswerError(f"{doing}: the engine does not answer")
    if cause is None and isinstance(error, (*PARSE_ERRORS, StreamParseError)):
        return NoAnswerError(f"{doing}: the engine's answer cannot be read: {error!r}")
    text = cause.strerror if isinstance(cause, OSError) else error
    return EngineUnavailableError(f"{doing}: {text}", hint="systemctl start docker")


def _user() -> str:
    """The user that this process runs as: the name, or the number where the system has no name for it."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _has_errno(error: BaseException) -> bool:
    """Whether a system call raised the exception. Those of `requests` are `OSError`s too, but left out."""
    return (
        isinstance(error, OSError) and not isinstance(error, requests.RequestException) and bool(error.errno)
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and all that it wraps: libraries put the original into `args`, cause or context."""
    pending: list[object] = [error]
    visited: set[int] = set()
    while pending:
        each = pending.pop(0)
        if isinstance(each, BaseException) and id(each) not in visited:
            visited.add(id(each))
            yield each
            pending += [*each.args, each.__cause__, each.__context__]
