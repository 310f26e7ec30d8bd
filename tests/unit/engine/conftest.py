"""Fixtures: a fake engine on a local socket, its client and a journal."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.engine.http import Timeouts
from dockeripv6mapper.engine.journal import Journal
from tests.unit.engine.wire import Wire

SHORT_TIMEOUTS = Timeouts(question=0.2, change=0.2)


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    """Yield a fake engine."""
    with Wire(tmp_path / "docker.sock") as wire:
        yield wire


@pytest.fixture
def client(wire: Wire) -> Client:
    """Return a client of the fake engine, with short timeouts."""
    return Client(wire.url, SHORT_TIMEOUTS)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Return an empty journal."""
    return Journal(tmp_path / "state")
