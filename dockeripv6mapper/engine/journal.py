"""The journal: what must be put back or undone, in a file while a container's endpoint is being changed.

A move is two calls, and what the user had set on the endpoint is known to nobody in between. A refused
connect leaves something behind that must go. The file is written before the first call and removed after
the last, so that the next process can finish the work. It lies below /run, as the engine's own sockets do:
a host that loses its power in the middle of a move loses what the user had set on that endpoint.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dockeripv6mapper.errors import MapperError


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What was begun on a container's endpoint on a network."""

    network_id: str
    network: str
    endpoint: Mapping[str, Any] | None
    """The API's `EndpointSettings` to attach it with as it was; None: it was not attached before."""


class Journal:
    """One file for each reconnect that is under way."""

    def __init__(self, state_dir: Path) -> None:
        self.directory = state_dir / "reconnects"

    def container_ids(self) -> list[str]:
        """The containers of which a reconnect was begun and not finished. Raises `MapperError`."""
        return [path.stem for path in self._files(".json")]

    def drafts(self) -> list[Path]:
        """Notes that were never made: nothing was begun by them. Raises `MapperError`."""
        return self._files(".draft")

    def write(self, container_id: str, unfinished: Unfinished) -> None:
        """Note a reconnect, all or nothing."""
        path = self._path(container_id)
        with self._speaking(path):
            try:
                _put(str(path), unfinished)
            except FileNotFoundError:
                self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                _put(str(path), unfinished)

    def read(self, container_id: str) -> Unfinished | None:
        """The reconnect that was noted for a container, if one was."""
        path = self._path(container_id)
        with self._speaking(path):
            try:
                return Unfinished(**json.loads(path.read_text()))
            except FileNotFoundError:
                return None

    def has(self, container_id: str) -> bool:
        """Whether a reconnect of the container was begun and not finished; not, to who may not look."""
        try:
            return self._path(container_id).exists()
        except PermissionError:
            return False

    def erase(self, container_id: str) -> None:
        """Forget a container's reconnect."""
        path = self._path(container_id)
        with self._speaking(path):
            path.unlink(missing_ok=True)

    def prune(self, container_ids: Iterable[str]) -> None:
        """Forget the reconnects of all containers but these."""
        kept = {self._path(container_id) for container_id in container_ids}
        for path in self.directory.glob("*.json"):
            if path not in kept:
                self.erase(path.stem)

    def _files(self, suffix: str) -> list[Path]:
        with self._speaking(self.directory):
            try:
                return sorted(path for path in self.directory.iterdir() if path.suffix == suffix)
            except FileNotFoundError:
                return []

    @contextmanager
    def _speaking(self, path: Path) -> Iterator[None]:
        """Turn what goes wrong with a file into our errors."""
        try:
            yield
        except (OSError, ValueError, TypeError) as error:
            hint = f"look at {path}, and remove it where it is broken"
            raise MapperError(f"keeping note of a reconnect: {error}", hint=hint) from error

    def _path(self, container_id: str) -> Path:
        return self.directory / f"{container_id}.json"


def _put(path: str, unfinished: Unfinished) -> None:
    """Write a file, all or nothing.

    In as few steps as can be, since a new container's start does not wait for it.
    """
    noted = {
        "network_id": unfinished.network_id,
        "network": unfinished.network,
        "endpoint": unfinished.endpoint,
    }
    draft = f"{path}.draft"
    file = os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, json.dumps(noted).encode())
    finally:
        os.close(file)
    os.replace(draft, path)  # noqa: PTH105 - for the same reason
