"""The journal: a note on disk for each container whose endpoint is being changed. `kill -9` loses nothing.

A move is a disconnect and a connect. In between only the mapper knows what the user had set on the endpoint,
and a refused connect leaves a part of itself behind. So a note is written before the first call and removed
after the last; the next process finishes the work. Notes are below /run: they do not survive a reboot.
"""

import errno
import json
import logging
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dockeripv6mapper.errors import MapperError

log = logging.getLogger(__name__)

UNREADABLE = ".unreadable"
"""Suffix of a note that could not be read."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A change of a container's endpoint on a network."""

    network_id: str
    network: str
    endpoint: Mapping[str, Any] | None
    """The API's `EndpointSettings` to connect it with as it was; None: it was not connected before."""


class Journal:
    """At most one note for each container."""

    def __init__(self, state_dir: Path, clock: Callable[[], float] = time.time) -> None:
        self.directory = state_dir / "reconnects"
        self._clock = clock

    def prepare(self) -> None:
        """Create the directory. Raises `MapperError`."""
        with _translated(self.directory):
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def container_ids(self) -> list[str]:
        """The containers that have a note. Raises `MapperError`."""
        return [path.stem for path in self._files(".json")]

    def drafts(self) -> list[Path]:
        """Drafts of notes, of a process that was killed before it changed anything. Raises `MapperError`."""
        return self._files(".draft")

    def unreadable(self) -> list[Path]:
        """Notes that could not be read, and were renamed. Raises `MapperError`."""
        return self._files(UNREADABLE)

    def write(self, container_id: str, unfinished: Unfinished) -> None:
        """Write a note atomically; it replaces an earlier one. Raises `MapperError`."""
        text = json.dumps(
            {
                "network_id": unfinished.network_id,
                "network": unfinished.network,
                "endpoint": unfinished.endpoint,
            }
        )
        path = self._path(container_id)
        with _translated(path):
            try:
                _replace(path, text)
            except FileNotFoundError:
                self.prepare()
                _replace(path, text)

    def read(self, container_id: str) -> Unfinished | None:
        """The note of a container; None where it has none. Raises `MapperError`.

        A note that cannot be read is renamed: it would keep its container from being mapped for good.
        """
        path = self._path(container_id)
        with _translated(path):
            try:
                return _unfinished(_text(path))
            except FileNotFoundError:
                return None
            except ValueError as error:
                renamed = path.with_name(f"{path.name}{UNREADABLE}")
                log.warning("the note %s cannot be read (%s): renaming it to %s", path, error, renamed)
                path.rename(renamed)
                return None

    def has(self, container_id: str) -> bool:
        """Whether a container has a note. False for a process that may not read the directory."""
        return os.path.lexists(f"{self.directory}/{container_id}.json")

    def age(self, container_id: str) -> float:
        """Seconds since the note of a container was written. Raises `MapperError`."""
        path = self._path(container_id)
        with _translated(path):
            return self._clock() - path.lstat().st_mtime

    def erase(self, container_id: str) -> None:
        """Remove the note of a container, if it has one. Raises `MapperError`."""
        path = self._path(container_id)
        with _translated(path):
            path.unlink(missing_ok=True)

    def prune(self, known: Collection[str]) -> None:
        """Remove the notes of all containers but the `known` ones."""
        try:
            for container_id in self.container_ids():
                if container_id not in known:
                    self.erase(container_id)
        except MapperError as error:
            # The next `write` fails for the same reason, and reports it.
            log.debug("leaving the notes of removed containers: %s", error)

    def _files(self, suffix: str) -> list[Path]:
        with _translated(self.directory):
            try:
                return sorted(path for path in self.directory.iterdir() if path.suffix == suffix)
            except FileNotFoundError:
                return []

    def _path(self, container_id: str) -> Path:
        return self.directory / f"{container_id}.json"


def _replace(path: Path, text: str) -> None:
    """Replace a file atomically.

    With system calls: a new container's start does not wait, and `Path` and file objects take twice as long.
    """
    draft, content = f"{path}.draft", text.encode()
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        while content:
            # Where only a part fits, the next write raises the reason.
            content = content[os.write(descriptor, content) :]
    finally:
        os.close(descriptor)
    os.replace(draft, path)  # noqa: PTH105


def _text(path: Path) -> str:
    """The text of a note. Raises `OSError`.

    Versions up to 0.1 wrote it as the target of a symbolic link; a running daemon is upgraded in place.
    """
    try:
        return os.readlink(path)  # noqa: PTH115 - `Path.readlink` would normalise the text as a path
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    return path.read_text()


def _unfinished(text: str) -> Unfinished:
    """Parse a note. Raises `ValueError`."""
    match json.loads(text):
        case {"network_id": str(network_id), "network": str(network), "endpoint": None | dict() as endpoint}:
            return Unfinished(network_id, network, endpoint)
        case other:
            raise ValueError(f"it is no note: {other!r:.80}")


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Raise our errors for the operating system's."""
    try:
        yield
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = f"look at {path}, and remove it where it is broken"
        raise MapperError(f"keeping the note {path} of an unfinished change: {reason}", hint=hint) from error
