"""Fixtures: one lab for the whole session; its hosts are reset before and after each test."""

import os
from collections.abc import Iterator

import pytest

from tests.lab.engines import Flavour
from tests.lab.hosts import Host
from tests.lab.mapper import Mapper
from tests.lab.prerequisites import missing
from tests.lab.topology import Lab


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The lab with both engines, running for the whole session."""
    if reason := missing():
        refuse = pytest.fail if "CI" in os.environ else pytest.skip
        refuse(f"the lab needs {reason}: run tests/run as root, which installs it")
    with Lab(*Flavour) as lab:
        yield lab


@pytest.fixture(params=list(Flavour), ids=lambda flavour: f"{flavour.value}-{flavour.release}")
def host(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Host]:
    """Each host in turn: no containers, and one new network, `he_ipv6`."""
    host = lab.host(request.param)
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
