"""The journal: what must be put back or undone, noted on disk while a container's endpoint is being changed.

A move is two calls, and what the user had set on the endpoint is known to nobody in between. A refused
connect leaves something behind that must go. The note is made before the first call and removed after
the last, so that the next process can finish the work. It lies below /run, as the engine's own sockets do:
a host that loses its power in the middle of a move loses what the user had set on that endpoint.

A note is the target of a symbolic link, which one system call makes, all or nothing; a file takes four, and
a new container's start does not wait for them. What is too long for a link is in a file after all.
"""

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dockeripv6mapper.errors import MapperError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What was begun on a container's endpoint on a network."""

    network_id: str
    network: str
    endpoint: Mapping[str, Any] | None
    """The API's `EndpointSettings` to attach it with as it was; None: it was not attached before."""

    def __str__(self) -> str:
        return json.dumps({"network_id": self.network_id, "network": self.network, "endpoint": self.endpoint})


class Journal:
    """One note for each container with something under way."""

    def __init__(self, state_dir: Path) -> None:
        self.directory = state_dir / "reconnects"

    def container_ids(self) -> list[str]:
        """The containers of which a reconnect was begun and not finished. Raises `MapperError`."""
        return [path.stem for path in self._files(".json")]

    def drafts(self) -> list[Path]:
        """Notes that were never made: nothing was begun by them. Raises `MapperError`."""
        return self._files(".draft")

    def write(self, container_id: str, unfinished: Unfinished) -> None:
        """Note what is begun, all or nothing, in place of an earlier note."""
        noted = str(unfinished)
        try:
            os.symlink(noted, f"{self.directory}/{container_id}.json")  # noqa: PTH211 - a `Path` takes longer
        except OSError as error:
            log.debug("noting in a file: %s", error)
            self._write_file(self._path(container_id), noted)

    def read(self, container_id: str) -> Unfinished | None:
        """What was noted for a container, if anything was."""
        path = self._path(container_id)
        with self._speaking(path):
            try:
                # As it stands: a `Path` would take out what means nothing in a path.
                noted = os.readlink(path) if path.is_symlink() else path.read_text()  # noqa: PTH115
            except FileNotFoundError:
                return None
            return Unfinished(**json.loads(noted))

    def has(self, container_id: str) -> bool:
        """Whether something was begun on the container and not finished; not, to who may not look."""
        return os.path.lexists(self._path(container_id))

    def erase(self, container_id: str) -> None:
        """Forget what was begun on a container."""
        path = self._path(container_id)
        with self._speaking(path):
            path.unlink(missing_ok=True)

    def prune(self, container_ids: Iterable[str]) -> None:
        """Forget what was begun on all containers but these."""
        for container_id in set(self.container_ids()).difference(container_ids):
            self.erase(container_id)

    def _write_file(self, path: Path, noted: str) -> None:
        """Note it where no link can be made: one is there already, or would be too long."""
        draft = path.with_suffix(".json.draft")
        with self._speaking(path):
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft.touch(mode=0o600)
            draft.write_text(noted)
            draft.replace(path)

    def _files(self, suffix: str) -> list[Path]:
        with self._speaking(self.directory):
            try:
                return sorted(path for path in self.directory.iterdir() if path.suffix == suffix)
            except FileNotFoundError:
                return []

    @contextmanager
    def _speaking(self, path: Path) -> Iterator[None]:
        """Turn what goes wrong with a note into our errors."""
        try:
            yield
        except (OSError, ValueError, TypeError) as error:
            hint = f"look at {path}, and remove it where it is broken"
            raise MapperError(f"keeping note of a reconnect: {error}", hint=hint) from error

    def _path(self, container_id: str) -> Path:
        return self.directory / f"{container_id}.json"
