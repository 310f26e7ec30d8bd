"""`--engine-root DIR`: which engine the lab runs instead of the modern one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.engine_root import VARIABLE, EngineRoot, debian_engine, named_engine
from tests.lab.engines import Flavour
from tests.lab.prerequisites import MODERN


@pytest.fixture(autouse=True)
def read_again() -> Iterator[None]:
    """Forget the engine of the variable, before and after each test."""
    named_engine.cache_clear()
    yield
    named_engine.cache_clear()


def programs(directory: Path, version: str) -> Path:
    """Write an engine that says its version, and a client."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in (("dockerd", f"Docker version {version}, build 0"), ("docker", "")):
        path = directory / name
        path.write_text(f"#!/bin/sh\necho '{text}'\n")
        path.chmod(0o755)
    return directory


@pytest.mark.parametrize("place", [".", "docker"])
def test_programs_of_a_static_release_run_in_the_debian_root(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    """Named itself, or the directory that the release was unpacked in."""
    unpacked = programs(tmp_path / place, "29.7.0").resolve()
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert named_engine() == EngineRoot("29.7", debian_engine(MODERN).root, unpacked)
    assert Flavour.MODERN.files == named_engine()


def test_a_directory_without_an_engine_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error names the directory."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(ValueError, match=f"{tmp_path}: no dockerd"):
        named_engine()


def test_an_engine_before_28_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its gateway modes and its filter differ from what the tests of the modern engine rely on."""
    programs(tmp_path, "26.1.5+dfsg1")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(ValueError, match=r"its engine is 26\.1"):
        named_engine()
