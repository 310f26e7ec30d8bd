"""The connection to the engine: one method for each call of its API that the mapper makes.

Everything that Docker's library or the sockets below it raise leaves here as one of ours. What the calls
are made for stands in `endpoints` and `events`.
"""

import json
import logging
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias
from urllib.parse import quote

import docker
import requests
from docker.errors import DockerException, create_api_error_from_http_exception
from docker.utils import kwargs_from_env, parse_host
from requests.adapters import HTTPAdapter
from urllib3 import PoolManager
from urllib3.connection import HTTPConnection

from dockeripv6mapper.engine.errors import translated_errors
from dockeripv6mapper.engine.http import EventStream, PendingResponse, Timeouts, post
from dockeripv6mapper.engine.listed import Listed, read_list
from dockeripv6mapper.engine.translate import (
    container_from_inspection,
    container_from_list,
    image_from_list,
    image_labels_from_inspection,
    network_from_list,
)
from dockeripv6mapper.engine_config import NEWEST_TESTED_API
from dockeripv6mapper.errors import (
    EngineRefusedError,
    EngineUnavailableError,
    GoneError,
    MapperError,
    PermissionMissingError,
)
from dockeripv6mapper.mapping.networks import SHORT_ID_DIGITS
from dockeripv6mapper.model import Container, Network

log = logging.getLogger(__name__)

Json: TypeAlias = Mapping[str, Any]
Images: TypeAlias = Mapping[str, Mapping[str, str]]
"""Labels of images, by ID and by name."""

UNIX = "http+unix://"
"""How the library writes the URL of a local socket."""

EVENT_FILTERS = {
    "type": ["container", "network", "image"],
    "event": [
        *("create", "start", "die", "destroy", "rename", "connect", "disconnect", "remove", "update"),
        *("pull", "tag", "untag", "delete", "import", "load"),
    ],
}
"""What the engine is asked to send: health checks alone would else be most of the stream."""

CONNECTIONS = 32
"""Connections that are kept open, at least one for each thread that may call the engine (see
`controller.workqueue`): the library drops each one above that with a warning."""

ApiVersion: TypeAlias = tuple[int, int]
"""Version of the engine's API, as numbers: 1.9 is older than 1.44."""


class Events(Protocol):
    """The event stream, which another thread may close."""

    def __iter__(self) -> Iterator[dict[str, Any]]: ...

    def close(self) -> None:
        """End it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All containers and networks, at about one time."""

    containers: Listed[Container]
    networks: Listed[Network]


@dataclass(frozen=True, slots=True)
class ApiRange:
    """The versions of the API that an engine speaks, from `GET /version`."""

    engine: str
    """The engine's own version."""
    newest: ApiVersion
    oldest: ApiVersion

    @property
    def spoken(self) -> ApiVersion:
        """The newest version that is tested, where the engine speaks it; else the nearest to it."""
        return max(self.oldest, min(self.newest, NEWEST_TESTED_API))


class Client:
    """An engine. Connects when it is first used, and anew after the connection was lost.

    Raises `MapperError` where `docker_host` is no address at all.
    """

    def __init__(self, docker_host: str | None, timeouts: Timeouts | None = None) -> None:
        try:
            parse_host(docker_host)
        except DockerException as error:
            raise MapperError(
                f"reading the engine's address {docker_host}: {error}",
                hint="--docker-host unix:///var/run/docker.sock",
            ) from error
        self._host = docker_host
        self._called = docker_host or "the local engine"
        self.timeouts = timeouts or Timeouts()
        self._api: docker.APIClient | None = None
        self._range: ApiRange | None = None
        """Of the engine that was connected to last."""
        self._logged: ApiRange | None = None
        self._opening = threading.Lock()

    def close(self) -> None:
        """Close the connections that no call is under way on; the next call opens others."""
        api, self._api = self._api, None
        if api is not None:
            api.close()

    def require_access(self) -> None:
        """Raise `PermissionMissingError` where this process may not use the engine's socket.

        It asks the engine nothing: one that hangs, or a proxy before it that answers with an error, must not
        hold up the daemon's start. Raises `EngineUnavailableError` where there is nothing to connect to.
        """
        if (path := self.socket_path) is None:
            return
        with translated_errors("speaking to the engine", self._called), socket.socket(socket.AF_UNIX) as link:
            link.setblocking(False)
            link.connect(path)

    def ping(self) -> None:
        """Raise what keeps the engine from being used, if anything does."""
        with self.session("speaking to the engine") as api:
            api.ping()

    def api_version(self) -> ApiVersion:
        """The version of the API that is spoken."""
        with self.session("speaking to the engine") as api:
            return _api_version(api.api_version)

    def supports(self, version: ApiVersion) -> bool:
        """Whether the engine speaks this version of the API, tested or not. Raises `MapperError`."""
        with self.session("speaking to the engine"):
            return self._range is not None and self._range.oldest <= version <= self._range.newest

    def snapshot(self) -> Snapshot:
        """All containers and networks."""
        networks = self.networks()
        with self.session("listing containers") as api:
            containers = read_list(api.containers(all=True), "container", container_from_list)
        return Snapshot(containers, networks)

    def networks(self) -> Listed[Network]:
        """All networks."""
        version = self.api_version()
        with self.session("listing networks") as api:
            return read_list(api.networks(), "network", lambda item: network_from_list(item, version))

    def images(self) -> Images:
        """The labels of all images, by ID and by every name; of none, where something forbids to list them.

        An image that is not among them is asked about when a container of it comes.
        """
        try:
            with self.session("listing images") as api:
                listed = read_list(api.images(), "image", image_from_list)
        except EngineRefusedError as error:
            log.debug("%s: asking about each image by itself", error)
            return {}
        for fault in listed.faults.values():
            log.debug("%s: asking about it by itself", fault)
        return {name: labels for image in listed.items for name, labels in image.items()}

    def container(self, container_id: str) -> Container | None:
        """One container as it is now; None where it is gone.

        By an inspection: for some milliseconds after a change, a list shows what was before it.
        """
        try:
            return container_from_inspection(self.inspect(container_id))
        except GoneError:
            return None

    def inspect(self, container_id: str) -> Mapping[str, Any]:
        """One container, as `docker inspect` shows it. Raises `GoneError`."""
        with self.session(f"inspecting container {container_id[:SHORT_ID_DIGITS]}") as api:
            inspected: Mapping[str, Any] = api.inspect_container(container_id)
            # Whoever asks for all of it takes it for what it is.
            container_from_inspection(inspected)
            return inspected

    def image_labels(self, image: str) -> Mapping[str, str]:
        """The labels that an image brings along, by ID or name. Raises `GoneError`."""
        if not image:
            raise GoneError("inspecting an image: the engine does not say which one")
        with self.session(f"inspecting image {image}") as api:
            return image_labels_from_inspection(api.inspect_image(image))  # type: ignore[no-untyped-call]

    def connect(
        self,
        container_id: str,
        network_id: str,
        endpoint: Mapping[str, Any],
        doing: str,
        *,
        api: ApiVersion | None = None,
    ) -> None:
        """Attach a container to a network, with an `EndpointSettings` as the API takes it.

        Not the library's own method: that knows only some of the endpoint's fields. `doing` begins the
        message of what is raised. `api`: the version of the API to ask by, where the usual one lacks a
        field; the engine has to offer it.
        """
        body = {"Container": container_id, "EndpointConfig": endpoint}
        self._post(f"/networks/{network_id}/connect", body, doing, version=api)

    def send_connect(
        self, container_id: str, network_id: str, endpoint: Mapping[str, Any]
    ) -> PendingResponse | None:
        """Write the request of a connect without waiting for anything. Raises `OSError`.

        None: the engine is not connected to, or is reached over TCP.
        """
        api, path = self._api, self.socket_path
        if api is None or path is None:
            return None
        body = {"Container": container_id, "EndpointConfig": endpoint}
        target = f"/v{api.api_version}/networks/{network_id}/connect"
        return post(path, target, body, self.timeouts.change, wait=False)

    def disconnect(self, container_id: str, network_id: str, doing: str) -> None:
        """Detach a container from a network."""
        self._post(f"/networks/{network_id}/disconnect", {"Container": container_id}, doing)

    @cached_property
    def socket_path(self) -> str | None:
        """The path of the engine's local socket; None where it is reached in another way."""
        address = str(parse_host(self._host or kwargs_from_env().get("base_url")))
        return address.removeprefix(UNIX) if address.startswith(UNIX) else None

    def events(self) -> Events:
        """The event stream, from now on."""
        with self.session("subscribing to events") as api:
            self._log_range()
            if (path := self.socket_path) is not None:
                filters = quote(json.dumps(EVENT_FILTERS))
                return EventStream(path, f"/v{api.api_version}/events?filters={filters}", self.timeouts)
            stream: Events = api.events(decode=True, filters=EVENT_FILTERS)
            return stream

    def _post(
        self, path: str, body: Mapping[str, Any], doing: str, *, version: ApiVersion | None = None
    ) -> None:
        with self.session(doing) as api:
            target = f"/v{_text(version) if version else api.api_version}{path}"
            if (socket_path := self.socket_path) is not None:
                post(socket_path, target, body, self.timeouts.change).result(doing)
                return
            response = api.post(f"{api.base_url}{target}", json=body, timeout=self.timeouts.change)
            try:
                response.raise_for_status()
            except requests.HTTPError as error:
                create_api_error_from_http_exception(error)

    @contextmanager
    def session(self, doing: str) -> Iterator[docker.APIClient]:
        """Yield the connection; turn what goes wrong with it into our errors."""
        try:
            with translated_errors(doing, self._called):
                yield self._connection()
        except (EngineUnavailableError, PermissionMissingError):
            # The next call begins afresh: after an upgrade the engine may speak another API version.
            self.close()
            raise

    def _connection(self) -> docker.APIClient:
        if (api := self._api) is not None:
            return api
        with self._opening:
            if self._api is None:
                with closing(self._opened(NEWEST_TESTED_API)) as asking:
                    found = _range(asking.version(api_version=False))
                self._range = found
                self._api = self._opened(found.spoken)
            return self._api

    def _log_range(self) -> None:
        """Log once where another version of the API is spoken than the newest that the engine offers."""
        if (found := self._range) is None or found == self._logged:
            return
        self._logged = found
        tested = _text(NEWEST_TESTED_API)
        if found.spoken > NEWEST_TESTED_API:
            text = "engine %.40s speaks API %s and later, and the mapper is tested up to %s: see `doctor`"
            log.warning(text, found.engine, _text(found.spoken), tested)
        elif found.newest > found.spoken:
            text = "engine %.40s offers API %s: speaking %s, the newest that is tested"
            log.info(text, found.engine, _text(found.newest), tested)

    def _opened(self, version: ApiVersion) -> docker.APIClient:
        """A connection by this version of the API; nothing is asked for yet."""
        options = kwargs_from_env()
        if self._host:
            options["base_url"] = self._host
        # Whatever its types say, the library takes a fraction too.
        api = docker.APIClient(
            version=_text(version),
            timeout=self.timeouts.question,  # type: ignore[arg-type]
            max_pool_size=CONNECTIONS,
            **options,
        )
        _set_up_pools(api, self.timeouts)
        return api


def _range(said: Json) -> ApiRange:
    """An answer of `GET /version`. Engines before 1.13 have no `MinAPIVersion`."""
    newest = _api_version(said["ApiVersion"])
    oldest = said.get("MinAPIVersion")
    return ApiRange(
        engine=str(said.get("Version") or "of an unknown version"),
        newest=newest,
        oldest=_api_version(oldest) if oldest else min(newest, NEWEST_TESTED_API),
    )


def _api_version(text: str) -> ApiVersion:
    """`1.51` as numbers. Raises `ValueError`."""
    major, minor = text.split(".")
    return int(major), int(minor)


def _text(version: ApiVersion) -> str:
    return ".".join(map(str, version))


def _set_up_pools(api: requests.Session, timeouts: Timeouts) -> None:
    """Have TCP connections kept and probed: the kernel notices then where the other end has vanished.

    By the adapters that the library has mounted, which know its TLS options. It does not pass the pool's size
    on to them. Local sockets have others.
    """
    for adapter in api.adapters.values():
        pools = getattr(adapter, "poolmanager", None)
        if isinstance(adapter, HTTPAdapter) and isinstance(pools, PoolManager):
            pools.connection_pool_kw["maxsize"] = CONNECTIONS
            pools.connection_pool_kw["socket_options"] = [
                *HTTPConnection.default_socket_options,
                *timeouts.keepalive,
            ]
