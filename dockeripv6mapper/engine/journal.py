"""The journal: what must be put back or undone, noted on disk while a container's endpoint is being changed.

A move is two calls, and what the user had set on the endpoint is known to nobody in between. A refused
connect leaves something behind that must go. The note is made before the first call and removed after
the last, so that the next process can finish the work. It lies below /run, as the engine's own sockets do:
a host that loses its power in the middle of a move loses what the user had set on that endpoint.

A note is the target of a symbolic link, which one system call makes, all or nothing; a file takes four, and
a new container's start does not wait for them. What no link can hold is in a file after all. A link can be
read by all who reach it: the directory's mode keeps others out.
"""

import errno
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dockeripv6mapper.errors import MapperError

log = logging.getLogger(__name__)

UNREADABLE = ".unreadable"
"""Added to the name of a note that could not be read."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What was begun on a container's endpoint on a network."""

    network_id: str
    network: str
    endpoint: Mapping[str, Any] | None
    """The API's `EndpointSettings` to attach it with as it was; None: it was not attached before."""


class Journal:
    """One note for each container with something under way."""

    def __init__(self, state_dir: Path, clock: Callable[[], float] = time.time) -> None:
        self.directory = state_dir / "reconnects"
        self._clock = clock

    def prepare(self) -> None:
        """Make the directory, so that the first note takes no longer than any. Raises `MapperError`."""
        with _speaking(self.directory):
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def container_ids(self) -> list[str]:
        """The containers on which something was begun and not finished. Raises `MapperError`."""
        return [path.stem for path in self._files(".json")]

    def drafts(self) -> list[Path]:
        """Notes that were never made: nothing was begun by them. Raises `MapperError`."""
        return self._files(".draft")

    def unreadable(self) -> list[Path]:
        """Notes that could not be read, and were moved aside. Raises `MapperError`."""
        return self._files(UNREADABLE)

    def write(self, container_id: str, unfinished: Unfinished) -> None:
        """Note what is begun, all or nothing, in place of an earlier note. Raises `MapperError`."""
        noted = json.dumps(
            {
                "network_id": unfinished.network_id,
                "network": unfinished.network,
                "endpoint": unfinished.endpoint,
            }
        )
        path = self._path(container_id)
        try:
            os.symlink(noted, path)  # noqa: PTH211 - a `Path` takes longer than the link
        except OSError as error:
            # There is an earlier note, or this is too long (PATH_MAX); anything else stops the file as well.
            log.debug("noting what is begun on container %s in a file: %s", container_id, error.strerror)
            self.prepare()
            _replace(path, noted)

    def read(self, container_id: str) -> Unfinished | None:
        """What was noted for a container, if anything was. Raises `MapperError`.

        A note that cannot be understood is moved aside: the container could never be mapped again.
        """
        path = self._path(container_id)
        with _speaking(path):
            try:
                return _unfinished(_noted(path))
            except FileNotFoundError:
                return None
            except ValueError as error:
                aside = f"{path}{UNREADABLE}"
                log.warning("the note %s cannot be read (%s): moving it to %s", path, error, aside)
                Path(path).rename(aside)
                return None

    def has(self, container_id: str) -> bool:
        """Whether something was begun on the container and not finished; not, to who may not look."""
        return os.path.lexists(self._path(container_id))

    def age(self, container_id: str) -> float:
        """Seconds since the note of a container was made. Raises `MapperError`."""
        path = self._path(container_id)
        with _speaking(path):
            return self._clock() - os.lstat(path).st_mtime

    def erase(self, container_id: str) -> None:
        """Forget what was begun on a container. Raises `MapperError`."""
        path = self._path(container_id)
        with _speaking(path):
            Path(path).unlink(missing_ok=True)

    def prune(self, is_known: Callable[[str], bool]) -> None:
        """Forget what was begun on containers that are not known.

        Each is asked about when its note was seen, since another thread may be making one. What cannot be
        removed keeps nobody waiting.
        """
        try:
            for container_id in self.container_ids():
                if not is_known(container_id):
                    self.erase(container_id)
        except MapperError as error:
            # Who has to make a note next meets the same trouble, and says it.
            log.debug("leaving the notes of containers that are gone: %s", error)

    def _files(self, suffix: str) -> list[Path]:
        with _speaking(self.directory):
            try:
                return sorted(path for path in self.directory.iterdir() if path.suffix == suffix)
            except FileNotFoundError:
                return []

    def _path(self, container_id: str) -> str:
        return f"{self.directory}/{container_id}.json"


def _unfinished(noted: str) -> Unfinished:
    """The meaning of a note. Raises `ValueError`."""
    match json.loads(noted):
        case {"network_id": str(network_id), "network": str(network), "endpoint": None | dict() as endpoint}:
            return Unfinished(network_id, network, endpoint)
        case other:
            raise ValueError(f"it is no note: {other!r:.80}")


def _noted(path: str) -> str:
    """The text of a note. Raises `OSError`."""
    try:
        # As it stands: a `Path` would take out what means nothing in a path.
        return os.readlink(path)  # noqa: PTH115
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    return Path(path).read_text()


def _replace(path: str, noted: str) -> None:
    """Note it in a file, in place of whatever is there."""
    draft = Path(f"{path}.draft")
    with _speaking(path):
        draft.touch(mode=0o600)
        draft.write_text(noted)
        draft.replace(path)


@contextmanager
def _speaking(path: Path | str) -> Iterator[None]:
    """Turn what goes wrong with a note into our errors."""
    try:
        yield
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = f"look at {path}, a link or a file, and remove it where it is broken"
        raise MapperError(f"keeping note of what is begun in {path}: {reason}", hint=hint) from error
