"""`--engine-root DIR`, `--engine-flag FLAG`: which engine the lab runs instead of the modern one, and how."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.engine_root import (
    FLAGS_VARIABLE,
    VARIABLE,
    EngineRoot,
    debian_engine,
    engine_flags,
    named_engine,
)
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


@pytest.mark.parametrize("flag", ["--firewall-backend=nftables", "--firewall-backend\nnftables"])
def test_an_engine_that_filters_with_nftables_is_told_the_mappers_mark(
    monkeypatch: pytest.MonkeyPatch, flag: str
) -> None:
    """Unless a flag tells it a mark; other flags are passed on as they are."""
    monkeypatch.setenv(FLAGS_VARIABLE, f"--feature\ncontainerd-snapshotter\n{flag}")
    assert Flavour.MODERN.filters_with_nftables
    assert not Flavour.STABLE.filters_with_nftables
    given = ("--feature", "containerd-snapshotter", *flag.split("\n"))
    assert engine_flags() == (*given, "--bridge-accept-fwmark=0x1000000/0x1000000")
    monkeypatch.setenv(FLAGS_VARIABLE, f"{flag}\n--bridge-accept-fwmark=0x2/0x2")
    assert engine_flags() == (*flag.split("\n"), "--bridge-accept-fwmark=0x2/0x2")
    monkeypatch.setenv(FLAGS_VARIABLE, "")
    assert engine_flags() == ()
