"""Fixtures: one lab for the whole session; its hosts are reset before and after each test."""

import os
from collections.abc import Iterator

import pytest

from tests.lab.engine_choice import chosen_engines
from tests.lab.engines import Flavour
from tests.lab.hosts import Host
from tests.lab.mapper import Mapper
from tests.lab.prerequisites import missing
from tests.lab.topology import Lab


@pytest.fixture(scope="session")
def prerequisites() -> None:
    """Root, and the tools of the lab. Without them the test is skipped, in CI it fails."""
    if reason := missing():
        refuse = pytest.fail if "CI" in os.environ else pytest.skip
        refuse(f"the lab needs {reason}: run tests/run as root, which installs it")


@pytest.fixture(scope="session")
def lab(prerequisites: None) -> Iterator[Lab]:  # noqa: ARG001 - only where they are there
    """The lab with all engines, running for the whole session."""
    with Lab(*Flavour) as lab:
        yield lab


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that depends on `flavour` once for each engine chosen for it; see `engine_choice`."""
    parametrized = any("flavour" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "flavour" in metafunc.fixturenames and not parametrized:
        metafunc.parametrize(
            "flavour",
            chosen_engines(metafunc.definition),
            ids=lambda flavour: f"{flavour.value}-{flavour.release}",
        )


@pytest.fixture
def host(lab: Lab, flavour: Flavour) -> Iterator[Host]:
    """The host of the test's engine: no containers, and one new network, `he_ipv6`."""
    host = lab.host(flavour)
    host.reset()
    lab.router.flush_neighbours()
    host.create_network()
    yield host
    host.reset()


@pytest.fixture
def mapper(host: Host) -> Iterator[Mapper]:
    """The daemon, started on `host`. Fails the test if the log contains a traceback."""
    with Mapper(host) as mapper:
        yield mapper
    assert "Traceback" not in mapper.log(), mapper.log()
