"""Errors: what Docker's library or the sockets below it raise, and answers that cannot be read, as ours."""

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
    EngineRefusedError,
    EngineUnavailableError,
    GoneError,
    MapperError,
    NoAnswerError,
    PermissionMissingError,
)

MISREAD = (LookupError, TypeError, ValueError, AttributeError)
"""What comes of taking an answer for what the API says it is, where it is not."""
BROKEN = (DockerException, StreamParseError, requests.RequestException, HTTPError, HTTPException, OSError)
"""What the library and the sockets raise."""


@contextmanager
def as_ours(doing: str, engine: str) -> Iterator[None]:
    """Turn what goes wrong in a call to `engine`, or in reading its answer, into our errors."""
    try:
        yield
    except NotFound as error:
        raise GoneError(f"{doing}: {error.explanation or error}") from error
    except APIError as error:
        raise EngineRefusedError(f"{doing}: {error.explanation or error}") from error
    except (*BROKEN, *MISREAD) as error:
        raise _unavailable(f"{doing} at {engine}", error) from error


def _unavailable(doing: str, error: Exception) -> MapperError:
    causes = list(_causes(error))
    cause = next((each for each in causes if _is_systems(each)), None)
    if isinstance(cause, PermissionError):
        return PermissionMissingError(
            f"{doing}: permission denied on the engine's socket",
            hint=f"usermod -aG docker {_user()}  # and log in again, or run as root",
        )
    if any(isinstance(each, TimeoutError | HTTPTimeoutError) for each in causes):
        return NoAnswerError(f"{doing}: the engine does not answer")
    if cause is None and isinstance(error, (*MISREAD, StreamParseError)):
        return NoAnswerError(f"{doing}: the engine's answer cannot be read: {error!r}")
    said = cause.strerror if isinstance(cause, OSError) else error
    return EngineUnavailableError(f"{doing}: {said}", hint="systemctl start docker")


def _user() -> str:
    """Who this process runs as; by number where the machine knows no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _is_systems(error: BaseException) -> bool:
    """Whether it is the operating system's, which libraries wrap a few times."""
    return (
        isinstance(error, OSError) and not isinstance(error, requests.RequestException) and bool(error.errno)
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and all that are inside it."""
    pending: list[object] = [error]
    seen: set[int] = set()
    while pending:
        each = pending.pop(0)
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            pending += [*each.args, each.__cause__, each.__context__]
