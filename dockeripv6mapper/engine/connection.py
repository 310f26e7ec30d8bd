"""Connecting to the engine: its address, the version of its API, and Docker's client for both.

`client` makes the API calls.
"""

import logging
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeAlias

import docker
import requests
from docker.errors import DockerException
from docker.utils import kwargs_from_env, parse_host
from requests.adapters import HTTPAdapter
from urllib3 import PoolManager
from urllib3.connection import HTTPConnection

from dockeripv6mapper.engine.http import Timeouts
from dockeripv6mapper.engine_config import NEWEST_TESTED_API
from dockeripv6mapper.errors import EngineUnsupportedError, MapperError

log = logging.getLogger(__name__)

UNIX_SCHEME = "http+unix://"
"""Beginning of the URL by which Docker's library names a local socket."""

CONNECTIONS = 32
"""Connections that are kept open: at least one for each thread that may call the engine (see
`controller.workqueue`). The library drops each one above that, with a warning."""

ROOTLESS, PODMAN = "rootlesskit", "Podman Engine"
"""Components in an answer of `GET /version`: moby `daemon/info_unix.go`, Podman `pkg/api/handlers/compat`."""

ApiVersion: TypeAlias = tuple[int, int]
"""Major and minor number of a version of the API, so that 1.9 is older than 1.44."""


@dataclass(frozen=True, slots=True)
class ApiRange:
    """The versions of the API that an engine offers."""

    engine: str
    """The engine's own version."""
    newest: ApiVersion
    oldest: ApiVersion
    platform: tuple[str, str] = ("", "")
    """The host's operating system and architecture, as images name them: `("linux", "amd64")`."""
    components: frozenset[str] = frozenset()
    """The names of the programs that it consists of."""

    @property
    def spoken(self) -> ApiVersion:
        """The newest tested version, where the engine offers it; else the offered version nearest to it."""
        return max(self.oldest, min(self.newest, NEWEST_TESTED_API))

    def __contains__(self, version: ApiVersion) -> bool:
        return self.oldest <= version <= self.newest


def check_address(docker_host: str | None) -> None:
    """Raise `MapperError` where `docker_host` is not an address of an engine."""
    try:
        parse_host(docker_host)
    except DockerException as error:
        raise MapperError(
            f"reading the engine's address {docker_host}: {error}",
            hint="--docker-host unix:///var/run/docker.sock",
        ) from error


def socket_path(docker_host: str | None) -> str | None:
    """The path of the engine's local socket; None where the engine is reached in another way, as by TCP."""
    url = str(parse_host(docker_host or kwargs_from_env().get("base_url")))
    return url.removeprefix(UNIX_SCHEME) if url.startswith(UNIX_SCHEME) else None


def docker_api(docker_host: str | None, version: ApiVersion, timeouts: Timeouts) -> docker.APIClient:
    """Docker's client for this version of the API; it sends nothing yet."""
    options = kwargs_from_env()
    if docker_host:
        options["base_url"] = docker_host
    # The library's type says `int`; a fraction of a second works as well.
    api = docker.APIClient(
        version=version_text(version),
        timeout=timeouts.question,  # type: ignore[arg-type]
        max_pool_size=CONNECTIONS,
        **options,
    )
    _set_up_pools(api, timeouts)
    return api


def _set_up_pools(api: requests.Session, timeouts: Timeouts) -> None:
    """Keep TCP connections open and probe them, so that the kernel notices where the other end is gone.

    The library's own adapters are changed and not replaced, since they know its TLS options. They also get
    the pool's size, which the library does not pass on to them. Local sockets have other adapters.
    """
    for adapter in api.adapters.values():
        pools = getattr(adapter, "poolmanager", None)
        if isinstance(adapter, HTTPAdapter) and isinstance(pools, PoolManager):
            pools.connection_pool_kw["maxsize"] = CONNECTIONS
            pools.connection_pool_kw["socket_options"] = [
                *HTTPConnection.default_socket_options,
                *timeouts.keepalive,
            ]


def offered_versions(docker_host: str | None, timeouts: Timeouts) -> ApiRange:
    """Request the offered versions of the API. Raises `TRANSPORT_ERRORS` and `PARSE_ERRORS`."""
    with closing(docker_api(docker_host, NEWEST_TESTED_API, timeouts)) as api:
        return read_range(api.version(api_version=False))


def read_range(answer: Mapping[str, Any]) -> ApiRange:
    """The versions in an answer of `GET /version`. Engines before 1.13 send no `MinAPIVersion`."""
    newest = parse_version(answer["ApiVersion"])
    oldest = answer.get("MinAPIVersion")
    return ApiRange(
        engine=str(answer.get("Version") or "of an unknown version"),
        newest=newest,
        oldest=parse_version(oldest) if oldest else min(newest, NEWEST_TESTED_API),
        platform=(str(answer.get("Os") or ""), str(answer.get("Arch") or "")),
        components=frozenset(str(each.get("Name")) for each in answer.get("Components") or ()),
    )


def check_supported(engine: ApiRange) -> None:
    """Raise `EngineUnsupportedError` for a rootless engine, and for Podman.

    Podman has an API like Docker's. Seen on 4.3.1: it accepts a connect of a stopped container, and shows
    neither there nor later at which address, so that the container would be moved again and again.
    """
    if PODMAN in engine.components:
        raise EngineUnsupportedError(
            f"connecting to the engine: it is Podman {engine.engine}, and the mapper needs Docker's engine",
            hint="podman run --network NETWORK:ip6=ADDRESS",
        )
    if ROOTLESS in engine.components:
        raise EngineUnsupportedError(
            "connecting to the engine: it is rootless, so its containers are not on the host's network",
            hint="--docker-host unix:///var/run/docker.sock, if an engine runs there as root",
        )


def parse_version(text: str) -> ApiVersion:
    """`1.51` → (1, 51). Raises `ValueError`."""
    major, minor = text.split(".")
    return int(major), int(minor)


def version_text(version: ApiVersion) -> str:
    """(1, 51) → `1.51`."""
    return ".".join(map(str, version))


def log_versions(offered: ApiRange) -> None:
    """Warn of a version of the API that is not tested; log one that is not the engine's newest."""
    spoken, tested = version_text(offered.spoken), version_text(NEWEST_TESTED_API)
    if offered.spoken > NEWEST_TESTED_API:
        text = "engine %.40s speaks API %s and later, and the mapper is tested up to %s: see `doctor`"
        log.warning(text, offered.engine, spoken, tested)
    elif offered.newest > offered.spoken:
        text = "engine %.40s offers API %s: using %s, the newest tested version"
        log.info(text, offered.engine, version_text(offered.newest), spoken)
