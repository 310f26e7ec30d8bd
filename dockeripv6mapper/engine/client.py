"""The engine's client: one method for each API call that the mapper makes.

Connects when it is first used. Every exception of Docker's library and of the sockets below it leaves this
module as a `MapperError`. The calls are put to use in `endpoints`, `events` and `config`.
"""

import json
import logging
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias
from urllib.parse import quote

import docker
import requests
from docker.errors import create_api_error_from_http_exception

from dockeripv6mapper.engine.connection import (
    ApiRange,
    ApiVersion,
    check_address,
    check_supported,
    docker_api,
    log_versions,
    offered_versions,
    parse_version,
    socket_path,
    version_text,
)
from dockeripv6mapper.engine.endpoint_settings import for_api
from dockeripv6mapper.engine.errors import translated_errors
from dockeripv6mapper.engine.http import EventStream, PendingResponse, Timeouts, post
from dockeripv6mapper.engine.images import (
    LISTS_MANIFESTS,
    image_from_list,
    image_labels_from_inspection,
    inspection_parameters,
)
from dockeripv6mapper.engine.listed import Listed, read_list
from dockeripv6mapper.engine.translate import (
    container_from_inspection,
    container_from_list,
    network_from_list,
)
from dockeripv6mapper.engine_config import is_nftables, routes_by_family
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

Images: TypeAlias = Mapping[str, Mapping[str, str]]
"""Labels of images, by key (see `translate.image_key`) and by name."""

SHOWS_FIREWALL_BACKEND = (1, 49)
"""API of engine 28.1, the first that names its firewall backend."""

EVENT_FILTERS = {
    "type": ["container", "network", "image"],
    "event": [
        *("create", "start", "die", "destroy", "rename", "connect", "disconnect", "remove", "update"),
        *("pull", "tag", "untag", "delete", "import", "load"),
    ],
}
"""The events to subscribe to. Without filters, most of the stream would be health checks."""


class Events(Protocol):
    """The event stream."""

    def __iter__(self) -> Iterator[dict[str, Any]]: ...

    def close(self) -> None:
        """End it, from any thread."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All containers and networks, listed one right after the other."""

    containers: Listed[Container]
    networks: Listed[Network]
    routes_by_family: bool = False
    filters_with_nftables: bool = False
    """See `Facts`."""


class Client:
    """One engine. It connects when it is first used, and again after the connection was lost.

    Raises `MapperError` where `docker_host` is not an address.
    """

    def __init__(self, docker_host: str | None, timeouts: Timeouts | None = None) -> None:
        check_address(docker_host)
        self._host = docker_host
        self._label = docker_host or "the local engine"
        """The engine, as error messages name it."""
        self.timeouts = timeouts or Timeouts()
        self._api: docker.APIClient | None = None
        self._range: ApiRange | None = None
        """Of the engine at the latest connection."""
        self._logged_range: ApiRange | None = None
        self._backend: tuple[ApiRange, bool] | None = None
        """Whether it filters with nftables, and of which connection that is known."""
        self._connecting = threading.Lock()

    def close(self) -> None:
        """Close the idle connections; the next call opens new ones."""
        api, self._api = self._api, None
        if api is not None:
            api.close()

    def require_access(self) -> None:
        """Raise `PermissionMissingError` where this process may not use the engine's socket.

        It only connects and sends nothing: an engine that hangs, or a proxy in front of it that answers with
        an error, must not delay the daemon's start. Raises `EngineUnavailableError` where nothing listens.
        """
        if (path := self.socket_path) is None:
            return
        with (
            translated_errors("connecting to the engine", self._label),
            socket.socket(socket.AF_UNIX) as connection,
        ):
            connection.setblocking(False)
            connection.connect(path)

    def ping(self) -> None:
        """Raise `MapperError` where the engine cannot be used."""
        with self.session("connecting to the engine") as api:
            api.ping()

    def api_version(self) -> ApiVersion:
        """The version of the API that is spoken with the engine. Raises `MapperError`."""
        with self.session("connecting to the engine") as api:
            return parse_version(api.api_version)

    def supports(self, version: ApiVersion) -> bool:
        """Whether the engine offers this version of the API, tested or not. Raises `MapperError`."""
        with self.session("connecting to the engine"):
            return self._range is not None and version in self._range

    def snapshot(self) -> Snapshot:
        """All containers and networks. Raises `MapperError`."""
        networks = self.networks()
        with self.session("listing containers") as api:
            containers = read_list(api.containers(all=True), "container", container_from_list)
        by_family = self._range is not None and routes_by_family(self._range.engine)
        return Snapshot(containers, networks, by_family, self._filters_with_nftables())

    def networks(self) -> Listed[Network]:
        """All networks. Raises `MapperError`."""
        version = self.api_version()
        with self.session("listing networks") as api:
            return read_list(api.networks(), "network", lambda item: network_from_list(item, version))

    def images(self) -> Images:
        """The labels of all images, by key and by every name. Empty where listing images is forbidden.

        An image that is missing here is inspected by itself when a container uses it. Raises `MapperError`.
        """
        version, host = self.api_version(), self._platform()
        parameters = {"manifests": "1"} if version >= LISTS_MANIFESTS else {}
        try:
            with self.session("listing images"):
                answer = self._get("/images/json", parameters)
                listed = read_list(answer, "image", lambda item: image_from_list(item, host))
        except EngineRefusedError as error:
            log.debug("%s: each image will be inspected when a container uses it", error)
            return {}
        for fault in listed.faults.values():
            log.debug("%s: it will be inspected when a container uses it", fault)
        return {name: labels for image in listed.items for name, labels in image.items()}

    def container(self, container_id: str) -> Container | None:
        """One container as it is now; None where it is gone. Raises `MapperError`.

        By an inspection: for some milliseconds after a change, a list still shows the state before it.
        """
        try:
            return container_from_inspection(self.inspect(container_id))
        except GoneError:
            return None

    def inspect(self, container_id: str) -> Mapping[str, Any]:
        """One container, as `docker inspect` shows it. Raises `GoneError`, `MapperError`."""
        with self.session(f"inspecting container {container_id[:SHORT_ID_DIGITS]}") as api:
            inspected: Mapping[str, Any] = api.inspect_container(container_id)
            # Callers index into the answer: one that lacks a field is an error here.
            container_from_inspection(inspected)
            return inspected

    def image_labels(self, image: str) -> Mapping[str, str]:
        """The labels of an image, which is given by its key (see `translate.image_key`) or by a name.

        Raises `GoneError` where the engine has not, or does not show, the labels of the platform;
        `MapperError`.
        """
        if not image:
            raise GoneError("inspecting an image: the engine does not say which one")
        reference, _, platform = image.partition(" ")
        version, host = self.api_version(), self._platform()
        with self.session(f"inspecting image {image}"):
            path = f"/images/{quote(reference, safe='/:')}/json"
            inspected = self._get(path, inspection_parameters(platform, version))
            labels = image_labels_from_inspection(inspected, platform, version, host)
        if labels is None:
            raise GoneError(f"inspecting image {image}: it has several platforms, whose labels may differ")
        return labels

    def connect(
        self,
        container_id: str,
        network_id: str,
        endpoint: Mapping[str, Any],
        doing: str,
        *,
        api: ApiVersion | None = None,
    ) -> None:
        """Attach a container to a network; `endpoint` is an `EndpointSettings` of the API.

        Not by the library's own method, which knows only some fields of the endpoint. `doing` begins the
        message of each error. `api`: a version of the API other than the usual one, for a field that this
        lacks; the engine must offer it. Raises `GoneError`, `EngineRefusedError`, `MapperError`.
        """
        with self.session(doing) as engine:
            version = api or parse_version(engine.api_version)
        body = {"Container": container_id, "EndpointConfig": for_api(endpoint, version)}
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
        settings = for_api(endpoint, parse_version(api.api_version))
        body = {"Container": container_id, "EndpointConfig": settings}
        target = f"/v{api.api_version}/networks/{network_id}/connect"
        return post(path, target, body, self.timeouts.change, wait=False)

    def disconnect(self, container_id: str, network_id: str, doing: str) -> None:
        """Detach a container from a network. Errors as in `connect`."""
        self._post(f"/networks/{network_id}/disconnect", {"Container": container_id}, doing)

    @cached_property
    def socket_path(self) -> str | None:
        """The path of the engine's local socket; None where the engine is reached in another way."""
        return socket_path(self._host)

    def events(self) -> Events:
        """Subscribe to the engine's events, from now on. Raises `MapperError`."""
        with self.session("subscribing to events") as api:
            if (offered := self._range) is not None and offered != self._logged_range:
                self._logged_range = offered
                log_versions(offered)
            if (path := self.socket_path) is not None:
                filters = quote(json.dumps(EVENT_FILTERS))
                return EventStream(path, f"/v{api.api_version}/events?filters={filters}", self.timeouts)
            stream: Events = api.events(decode=True, filters=EVENT_FILTERS)
            return stream

    def _filters_with_nftables(self) -> bool:
        """Whether the engine keeps its rules in nftables. Asked once for each connection."""
        connection = self._range
        if connection is None or connection.spoken < SHOWS_FIREWALL_BACKEND:
            return False
        if self._backend is None or self._backend[0] is not connection:
            driver = None
            try:
                with self.session("asking the engine about itself") as api:
                    driver = (api.info().get("FirewallBackend") or {}).get("Driver")
            except MapperError as error:
                # A proxy of the socket may forbid it. Only a warning depends on it.
                log.debug("%s", error)
            self._backend = connection, is_nftables(driver)
        return self._backend[1]

    def _platform(self) -> tuple[str, str]:
        """The host's operating system and architecture. After a call has connected."""
        return ("", "") if self._range is None else self._range.platform

    def _get(self, path: str, parameters: Mapping[str, str]) -> Any:  # noqa: ANN401 - JSON
        """Request something by parameters that Docker's library does not know. In a `session`."""
        api = self._connected()
        url = f"{api.base_url}/v{api.api_version}{path}"
        response = api.get(url, params=parameters, timeout=self.timeouts.question)
        _raise_for_status(response)
        return response.json()

    def _post(
        self, path: str, body: Mapping[str, Any], doing: str, *, version: ApiVersion | None = None
    ) -> None:
        with self.session(doing) as api:
            target = f"/v{version_text(version) if version else api.api_version}{path}"
            if (local := self.socket_path) is not None:
                post(local, target, body, self.timeouts.change).result(doing)
                return
            response = api.post(f"{api.base_url}{target}", json=body, timeout=self.timeouts.change)
            _raise_for_status(response)

    @contextmanager
    def session(self, doing: str) -> Iterator[docker.APIClient]:
        """Yield Docker's client, connected. Its errors become `MapperError`; `doing` begins their message."""
        try:
            with translated_errors(doing, self._label):
                yield self._connected()
        except (EngineUnavailableError, PermissionMissingError):
            # The next call connects anew: an engine that was upgraded may offer other API versions.
            self.close()
            raise

    def _connected(self) -> docker.APIClient:
        if (api := self._api) is not None:
            return api
        with self._connecting:
            if self._api is None:
                self._range = offered = offered_versions(self._host, self.timeouts)
                check_supported(offered)
                self._api = docker_api(self._host, offered.spoken, self.timeouts)
            return self._api


def _raise_for_status(response: requests.Response) -> None:
    """Raise Docker's exception for an answer that is an error, as its library does."""
    try:
        response.raise_for_status()
    except requests.HTTPError as error:
        create_api_error_from_http_exception(error)
