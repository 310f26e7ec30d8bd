"""Fixtures: an engine of ours on a local socket, and what is used with it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dockeripv6mapper.engine.client import Client
from dockeripv6mapper.engine.http import Timeouts
from dockeripv6mapper.engine.journal import Journal
from tests.unit.engine.wire import Wire

IMPATIENT = Timeouts(question=0.2, change=0.2)


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    """An engine of ours."""
    with Wire(tmp_path / "docker.sock") as wire:
        yield wire


@pytest.fixture
def client(wire: Wire) -> Client:
    """Its client, which does not wait long."""
    return Client(wire.url, IMPATIENT)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """A journal in which nothing stands."""
    return Journal(tmp_path / "state")
