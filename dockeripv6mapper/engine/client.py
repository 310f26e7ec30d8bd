"""The connection to the engine: one method for each call of its API that the mapper makes.

Everything that Docker's library or the sockets below it raise leaves here as one of ours. What the calls
are made for stands in `endpoints` and `events`.
"""

import json
import logging
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias
from urllib.parse import quote

import docker
import requests
from docker.errors import DockerException, create_api_error_from_http_exception
from docker.utils import kwargs_from_env, parse_host
from requests.adapters import HTTPAdapter
from urllib3 import PoolManager
from urllib3.connection import HTTPConnection

from dockeripv6mapper.engine.failures import as_ours, translated
from dockeripv6mapper.engine.raw_socket import EventStream, Patience
from dockeripv6mapper.engine.translate import (
    container_from_inspection,
    container_from_list,
    images_from_list,
    network_from_list,
    relevant,
)
from dockeripv6mapper.errors import (
    EngineRefusedError,
    EngineUnavailableError,
    GoneError,
    MapperError,
    PermissionMissingError,
)
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


class Events(Protocol):
    """The event stream, which another thread may close."""

    def __iter__(self) -> Iterator[dict[str, Any]]: ...

    def close(self) -> None:
        """End it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that the engine lists, at about one time."""

    containers: tuple[Container, ...]
    networks: tuple[Network, ...]
    images: Images


class Client:
    """An engine. Connects when it is first used, and anew after the connection was lost.

    Raises `MapperError` where `docker_host` is no address at all.
    """

    def __init__(self, docker_host: str | None, patience: Patience | None = None) -> None:
        try:
            parse_host(docker_host)
        except DockerException as error:
            raise MapperError(
                f"reading the engine's address {docker_host}: {error}",
                hint="--docker-host unix:///var/run/docker.sock",
            ) from error
        self._host = docker_host
        self._called = docker_host or "the local engine"
        self.patience = patience or Patience()
        self._api: docker.APIClient | None = None
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
        with as_ours("speaking to the engine", self._called), socket.socket(socket.AF_UNIX) as link:
            link.setblocking(False)
            link.connect(path)

    def ping(self) -> None:
        """Raise what keeps the engine from being used, if anything does."""
        with self.speaking("speaking to the engine") as api:
            api.ping()

    def api_version(self) -> tuple[int, int]:
        """The version of the API that is spoken, as numbers: 1.9 is older than 1.44."""
        with self.speaking("speaking to the engine") as api:
            major, minor = api.api_version.split(".")
            return int(major), int(minor)

    def snapshot(self) -> Snapshot:
        """All containers, networks and images."""
        networks, images = self.networks(), self.images()
        with self.speaking("listing containers") as api:
            containers = translated(api.containers(all=True), container_from_list)
        return Snapshot(containers, networks, images)

    def networks(self) -> tuple[Network, ...]:
        """All networks."""
        version = self.api_version()
        with self.speaking("listing networks") as api:
            return translated(api.networks(), lambda item: network_from_list(item, version))

    def images(self) -> Images:
        """The labels of all images, by ID and by every name; of none, where something forbids to list them.

        That is no loss but of time: each is then asked about when a container of it comes.
        """
        try:
            with self.speaking("listing images") as api:
                return images_from_list(api.images())
        except EngineRefusedError as error:
            log.debug("%s: asking about each image by itself", error)
            return {}

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
        with self.speaking(f"inspecting container {container_id}") as api:
            inspected: Mapping[str, Any] = api.inspect_container(container_id)
            # Whoever asks for all of it takes it for what it is.
            container_from_inspection(inspected)
            return inspected

    def image_labels(self, image: str) -> Mapping[str, str]:
        """The labels that an image brings along, by ID or name. Raises `GoneError`."""
        with self.speaking(f"inspecting image {image}") as api:
            inspected = api.inspect_image(image)  # type: ignore[no-untyped-call]
            return relevant((inspected.get("Config") or {}).get("Labels") or {})

    def connect(self, container_id: str, network_id: str, endpoint: Mapping[str, Any], doing: str) -> None:
        """Attach a container to a network, with an `EndpointSettings` as the API takes it.

        Not the library's own method: that knows only some of the endpoint's fields. `doing` begins the
        message of what is raised.
        """
        body = {"Container": container_id, "EndpointConfig": endpoint}
        self._post(f"/networks/{network_id}/connect", body, doing)

    def disconnect(self, container_id: str, network_id: str, doing: str) -> None:
        """Detach a container from a network."""
        self._post(f"/networks/{network_id}/disconnect", {"Container": container_id}, doing)

    @property
    def socket_path(self) -> str | None:
        """The path of the engine's local socket; None where it is spoken to in another way."""
        address = str(parse_host(self._host or kwargs_from_env().get("base_url")))
        return address.removeprefix(UNIX) if address.startswith(UNIX) else None

    def events(self) -> Events:
        """The event stream, from now on."""
        with self.speaking("subscribing to events") as api:
            if (path := self.socket_path) is not None:
                filters = quote(json.dumps(EVENT_FILTERS))
                return EventStream(path, f"/v{api.api_version}/events?filters={filters}", self.patience)
            stream: Events = api.events(decode=True, filters=EVENT_FILTERS)
            return stream

    def _post(self, path: str, body: Mapping[str, Any], doing: str) -> None:
        with self.speaking(doing) as api:
            url = f"{api.base_url}/v{api.api_version}{path}"
            response = api.post(url, json=body, timeout=self.patience.change)
            try:
                response.raise_for_status()
            except requests.HTTPError as error:
                create_api_error_from_http_exception(error)

    @contextmanager
    def speaking(self, doing: str) -> Iterator[docker.APIClient]:
        """Yield the connection; turn what goes wrong with it into our errors."""
        try:
            with as_ours(doing, self._called):
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
                options = kwargs_from_env()
                if self._host:
                    options["base_url"] = self._host
                # Whatever its types say, the library takes a fraction too.
                api = docker.APIClient(timeout=self.patience.question, **options)  # type: ignore[arg-type]
                _keep_alive(api, self.patience)
                self._api = api
            return self._api


def _keep_alive(api: requests.Session, patience: Patience) -> None:
    """Have the kernel notice where the other end of a TCP connection has vanished.

    By the adapters that the library has mounted, which know its TLS options; local sockets have others. The
    connection on which it has asked for the version is replaced.
    """
    for adapter in api.adapters.values():
        pools = getattr(adapter, "poolmanager", None)
        if isinstance(adapter, HTTPAdapter) and isinstance(pools, PoolManager):
            pools.connection_pool_kw["socket_options"] = [
                *HTTPConnection.default_socket_options,
                *patience.keepalive,
            ]
            pools.clear()
