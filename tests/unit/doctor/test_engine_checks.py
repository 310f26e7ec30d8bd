"""Findings on the engine: its version, and everything that could not be read."""

import pytest

from dockeripv6mapper.doctor import engine_checks
from dockeripv6mapper.doctor.finding import Level
from dockeripv6mapper.engine_config import EngineInfo
from dockeripv6mapper.errors import (
    CommandCrashedError,
    EngineRefusedError,
    EngineUnavailableError,
    EngineUnsupportedError,
    HostUnsupportedError,
    KernelRefusedError,
    MapperError,
    PermissionMissingError,
)
from tests.unit.builders import facts
from tests.unit.doctor.builders import ENGINE_20_10, ENGINE_29_NFTABLES, doctor_facts


@pytest.mark.parametrize("known", [ENGINE_20_10, ENGINE_29_NFTABLES])
def test_an_engine_from_20_10_on_is_ok(known: EngineInfo) -> None:
    """API versions are compared as pairs of numbers: 1.9 is older than 1.41."""
    (finding,) = engine_checks.check(doctor_facts(facts(), engine=known))
    assert finding.level is Level.OK


def test_the_fix_for_an_older_engine_upgrades_the_installed_package() -> None:
    """Another package would replace it. A comment says that its containers stop."""
    (finding,) = engine_checks.check(doctor_facts(facts(), engine=EngineInfo("1.13.1", (1, 26))))
    assert finding.level is Level.WARN
    assert "engine 1.13.1 answers, with API 1.26" in finding.found
    caution, command = finding.fix.strip().split("\n")
    assert caution.startswith("# this restarts the engine")
    assert "docker.io" not in command
    assert "--only-upgrade" in command


@pytest.mark.parametrize(
    ("error", "check", "level", "fix"),
    [
        (
            PermissionMissingError("no", hint="usermod -aG docker me"),
            "permission",
            Level.FAIL,
            "usermod -aG docker me",
        ),
        (
            EngineUnavailableError("no", hint="systemctl start docker"),
            "engine",
            Level.FAIL,
            "systemctl start docker",
        ),
        (EngineRefusedError("no"), "engine", Level.FAIL, "journalctl --unit docker --lines 20"),
        (EngineUnsupportedError("no", hint="--docker-host"), "engine", Level.FAIL, "--docker-host"),
        (HostUnsupportedError("no", hint="upgrade"), "kernel", Level.FAIL, "upgrade"),
        (CommandCrashedError("no", hint="nft --version"), "tool", Level.FAIL, "nft --version"),
        (
            KernelRefusedError("no", hint="run as root, or with a capability"),
            "examination",
            Level.WARN,
            "DockerIPV6Mapper.py doctor  # as root",
        ),
    ],
)
def test_what_could_not_be_read_is_a_finding(error: MapperError, check: str, level: Level, fix: str) -> None:
    """Each kind of error has its check, level and fix."""
    (finding,) = engine_checks.check(doctor_facts(facts(), engine=None, errors=(error,)))
    assert (finding.check, finding.level, finding.fix) == (check, level, fix)
