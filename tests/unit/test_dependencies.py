"""What this program relies on in a library beyond its documentation, and the versions that it names.

A failure here after an upgrade names the use that broke. `pyproject.toml` excludes the next major release of
each of these libraries. What is used of pyroute2 needs a kernel: see `tests/lab/test_topology_observer.py`.
"""

import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution, requires
from pathlib import Path
from typing import NoReturn

import docker
import pytest
import requests
from docker.errors import APIError, NotFound, create_api_error_from_http_exception
from docker.utils import kwargs_from_env, parse_host
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from requests.adapters import HTTPAdapter
from urllib3 import PoolManager
from urllib3.connection import HTTPConnection

from dockeripv6mapper.engine.connection import UNIX_SCHEME, docker_api
from dockeripv6mapper.engine.http import Timeouts

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
BOUNDS = {each.name: each for each in map(Requirement, PROJECT["dependencies"] + EXTRAS["metrics"])}
PINNED = {
    each.name: each
    for each in map(
        Requirement, (line for line in (ROOT / "requirements.txt").read_text().splitlines() if "==" in line)
    )
}
INTERNALS_USED = ("docker", "pyroute2", "requests", "urllib3")
COMPILED_BY_CHOICE = {"charset-normalizer"}
"""Compiled where pip finds such a wheel. There is another one of pure Python."""


def test_docker_names_a_local_socket_by_its_scheme() -> None:
    """`socket_path` takes the path out of the URL, for connections without Docker's library."""
    assert parse_host("unix:///run/docker.sock") == f"{UNIX_SCHEME}/run/docker.sock"
    assert "base_url" not in kwargs_from_env(environment={})
    assert kwargs_from_env(environment={"DOCKER_HOST": "tcp://[::1]:1"})["base_url"].startswith("tcp://")


@pytest.mark.parametrize(("status", "kind"), [(404, NotFound), (409, APIError), (500, APIError)])
def test_docker_makes_its_errors_from_those_of_requests(status: int, kind: type[APIError]) -> None:
    """A connect over TCP is not the library's own method, and its errors are to be the library's."""
    response = requests.Response()
    response.status_code = status
    response._content = b'{"message": "no such container"}'  # noqa: SLF001 - an answer without an engine
    with pytest.raises(kind) as raised:
        _raise_for(response)
    assert raised.value.explanation == "no such container"


def _raise_for(response: requests.Response) -> NoReturn:
    try:
        response.raise_for_status()
    except requests.HTTPError as error:
        create_api_error_from_http_exception(error)
    raise AssertionError("no error")


def test_dockers_client_is_a_session_whose_pools_can_be_set_up() -> None:
    """Over TCP, connections are kept open and probed."""
    timeouts = Timeouts()
    api = docker_api("tcp://[2001:db8::1]:2375", (1, 41), timeouts)
    assert isinstance(api, requests.Session)
    assert isinstance(api, docker.APIClient)
    adapter = api.get_adapter(api.base_url)
    assert isinstance(adapter, HTTPAdapter)
    pools = adapter.poolmanager
    assert isinstance(pools, PoolManager)
    options = pools.connection_from_url(api.base_url).conn_kw["socket_options"]
    assert options == [*HTTPConnection.default_socket_options, *timeouts.keepalive]
    api.close()


def test_each_library_of_which_internals_are_used_has_an_upper_bound() -> None:
    """Its next major release is installed only after a change of the bound."""
    without = [
        name for name in INTERNALS_USED if "<" not in {each.operator for each in BOUNDS[name].specifier}
    ]
    assert not without


def test_pinned_versions_are_within_the_bounds() -> None:
    """`requirements.txt` pins every direct dependency."""
    for name, bound in BOUNDS.items():
        (pin,) = PINNED[name].specifier
        assert bound.specifier.contains(pin.version), f"{name} {pin.version} is not {bound}"


def test_everything_that_the_program_needs_is_pure_python() -> None:
    """So that it installs on any architecture without a compiler."""
    needed = {canonicalize_name(each) for name in BOUNDS for each in _needed(name)}
    compiled = {name for name in needed if not _is_pure(name)}
    assert compiled <= COMPILED_BY_CHOICE


def _needed(name: str) -> Iterator[str]:
    """A distribution, and all that it needs here."""
    yield name
    for text in requires(name) or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield from _needed(requirement.name)


def _is_pure(name: str) -> bool:
    wheel = distribution(name).read_text("WHEEL") or ""
    return "Root-Is-Purelib: true" in wheel
