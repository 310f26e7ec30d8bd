"""The connection to the engine: one method for each call of its API that the mapper makes.

Everything that Docker's library or the sockets below it raise leaves here as one of ours. What the calls
are made for stands in `endpoints` and `events`.
"""

import json
import logging
import os
import pwd
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, Protocol, TypeAlias, TypeVar
from urllib.parse import quote

import docker
import requests
from docker.errors import APIError, DockerException, NotFound, create_api_error_from_http_exception
from docker.utils import kwargs_from_env, parse_host
from urllib3.exceptions import HTTPError

from dockeripv6mapper.engine.raw_socket import EventStream
from dockeripv6mapper.engine.translate import (
    container_from_inspection,
    container_from_list,
    images_from_list,
    network_from_list,
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

T = TypeVar("T")
Json: TypeAlias = Mapping[str, Any]
Images: TypeAlias = Mapping[str, Mapping[str, str]]
"""Labels of images, by ID and by name."""

CALL_SECONDS = 60
"""How long an engine call may take. A connect waits for a start of the same container to end."""

UNREACHABLE = (
    *(DockerException, requests.RequestException, HTTPError),
    *(HTTPException, OSError, ValueError),
)
"""What Docker's library and the sockets raise where no answer of the engine's can be had."""

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

    def __init__(self, docker_host: str | None) -> None:
        try:
            parse_host(docker_host)
        except DockerException as error:
            raise MapperError(
                f"reading the engine's address {docker_host}: {error}",
                hint="--docker-host unix:///var/run/docker.sock",
            ) from error
        self._host = docker_host
        self._api: docker.APIClient | None = None
        self._opening = threading.Lock()

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
            items = api.containers(all=True)
        return Snapshot(translated(items, container_from_list), networks, images)

    def networks(self) -> tuple[Network, ...]:
        """All networks."""
        with self.speaking("listing networks") as api:
            items = api.networks()
        version = self.api_version()
        return translated(items, lambda item: network_from_list(item, version))

    def images(self) -> Images:
        """The labels of all images, by ID and by every name; of none, where something forbids to list them.

        That is no loss but of time: each is then asked about when a container of it comes.
        """
        try:
            with self.speaking("listing images") as api:
                items = api.images()
        except EngineRefusedError as error:
            log.debug("%s: asking about each image by itself", error)
            return {}
        return images_from_list(items)

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
            return inspected

    def image_labels(self, image: str) -> Mapping[str, str]:
        """The labels that an image brings along, by ID or name. Raises `GoneError`."""
        with self.speaking(f"inspecting image {image}") as api:
            inspected = api.inspect_image(image)  # type: ignore[no-untyped-call]
            return (inspected.get("Config") or {}).get("Labels") or {}

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
                return EventStream(path, f"/v{api.api_version}/events?filters={filters}")
            stream: Events = api.events(decode=True, filters=EVENT_FILTERS)
            return stream

    def _post(self, path: str, body: Mapping[str, Any], doing: str) -> None:
        with self.speaking(doing) as api:
            url = f"{api.base_url}/v{api.api_version}{path}"
            response = api.post(url, json=body, timeout=CALL_SECONDS)
            try:
                response.raise_for_status()
            except requests.HTTPError as error:
                create_api_error_from_http_exception(error)

    @contextmanager
    def speaking(self, doing: str) -> Iterator[docker.APIClient]:
        """Yield the connection; turn what goes wrong with it into our errors."""
        try:
            yield self._connection()
        except NotFound as error:
            raise GoneError(f"{doing}: {error.explanation or error}") from error
        except APIError as error:
            raise EngineRefusedError(f"{doing}: {error.explanation or error}") from error
        except (
            DockerException,
            requests.RequestException,
            HTTPError,
            HTTPException,
            OSError,
            ValueError,
        ) as error:
            # The next call begins afresh: after an upgrade the engine may speak another API version.
            self._api = None
            _raise_unreachable(f"{doing} at {self._host or 'the local engine'}", error)

    def _connection(self) -> docker.APIClient:
        if (api := self._api) is not None:
            return api
        with self._opening:
            if self._api is None:
                options = kwargs_from_env()
                if self._host:
                    options["base_url"] = self._host
                self._api = docker.APIClient(timeout=CALL_SECONDS, **options)
            return self._api


def translated(
    items: Iterable[Mapping[str, Any]], translate: Callable[[Mapping[str, Any]], T]
) -> tuple[T, ...]:
    """All items that can be read: one that cannot must not keep the others from being known."""
    found = []
    for item in items:
        try:
            found.append(translate(item))
        except (LookupError, TypeError, ValueError) as error:
            log.warning("what the engine says of %s cannot be read: %r", item.get("Id"), error)
    return tuple(found)


def _raise_unreachable(doing: str, error: BaseException) -> None:
    cause = _system_error(error)
    if isinstance(cause, PermissionError):
        raise PermissionMissingError(
            f"{doing}: permission denied on the engine's socket",
            hint=f"usermod -aG docker {_user()}  # and log in again, or run as root",
        ) from error
    raise EngineUnavailableError(
        f"{doing}: {(cause and cause.strerror) or error}", hint="systemctl start docker"
    ) from error


def _user() -> str:
    """Who this process runs as; by number where the machine knows no name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _system_error(error: BaseException) -> OSError | None:
    """The operating system's error inside an exception that libraries have wrapped a few times."""
    pending: list[object] = [error]
    seen: set[int] = set()
    while pending:
        each = pending.pop(0)
        if not isinstance(each, BaseException) or id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, OSError) and each.errno and not isinstance(each, requests.RequestException):
            return each
        pending += [*each.args, each.__cause__, each.__context__]
    return None
