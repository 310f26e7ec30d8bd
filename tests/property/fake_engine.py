"""An engine that is like a real one in what matters to the controller, and does nothing by itself.

It is met where the real one is: below `engine.endpoints`, so that these are part of what is tested. What it
allows, refuses and keeps was seen on 20.10 and 28.5; where these differ, it is the harder of the two.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import IPv6Address
from typing import Any

from dockeripv6mapper.engine.client import Client, Images, Snapshot
from dockeripv6mapper.engine.events import Change, ContainerChanged, EventMessage, NetworksChanged
from dockeripv6mapper.engine.listed import Listed
from dockeripv6mapper.engine.translate import (
    NANOSECONDS,
    container_from_event,
    container_from_list,
)
from dockeripv6mapper.errors import EngineRefusedError, GoneError
from dockeripv6mapper.model import Network
from tests.unit import builders
from tests.unit.builders import HE_IPV6, IMAGE, SUBNET

GIFT = {"Aliases": ["chosen"]}
"""What a user sets on each endpoint."""
FIRST_CHOICE = 2
"""The host part of the first address that the engine chooses by itself."""


class Death(BaseException):
    """The daemon is killed here. Not an `Exception`: nothing in the program sees it."""


@dataclass(slots=True)
class Box:
    """A container as the engine keeps it."""

    id: str
    name: str
    created: int
    labels: Mapping[str, str]
    given: str | None
    """The ID of the network that its user attached it to, if any."""
    address: str | None
    """The address that its user asked for there, if any."""
    running: bool = False
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)


class FakeEngine(Client):
    """One network, a few containers, and the events that nobody has read yet."""

    def __init__(self) -> None:
        self.boxes: dict[str, Box] = {}
        self.network: Network | None = builders.network(network_id="network-0")
        self.told: list[EventMessage] = []
        self.calls_left: int | None = None
        """How many more calls the daemon lives to make."""
        self._serial = 0

    # --- what the daemon asks -----------------------------------------------------------------------------

    def api_version(self) -> tuple[int, int]:
        return 1, 41

    def snapshot(self) -> Snapshot:
        listed = (container_from_list(_listed(box)) for box in self.boxes.values())
        return Snapshot(Listed(tuple(listed)), self.networks())

    def networks(self) -> Listed[Network]:
        return Listed(() if self.network is None else (self.network,))

    def images(self) -> Images:
        return {IMAGE: {}}

    def image_labels(self, image: str) -> Mapping[str, str]:
        return self.images()[image]

    def inspect(self, container_id: str) -> Mapping[str, Any]:
        self._live()
        return _inspected(self._box(container_id))

    def connect(
        self,
        container_id: str,
        network_id: str,
        endpoint: Mapping[str, Any],
        doing: str,
        *,
        api: tuple[int, int] | None = None,  # noqa: ARG002 - the real one's
    ) -> None:
        self._live()
        box, network = self._box(container_id), self._network(network_id)
        if not box.running:
            box.networks.setdefault(network.name, _configured(endpoint))
        elif box.networks.get(network.name, {}).get("EndpointID"):
            raise EngineRefusedError(f"{doing}: it is on {network.name} already")
        else:
            # The engine keeps the address that it refuses.
            box.networks[network.name] = settings = _configured(endpoint)
            self._attach(settings, network, doing)
            self._tell(box, Change.ATTACHED)

    def disconnect(self, container_id: str, network_id: str, doing: str) -> None:
        self._live()
        box = self._box(container_id)
        there = self.network is not None and network_id in (self.network.id, self.network.name)
        name = self.network.name if self.network and there else network_id
        if name not in box.networks or (box.running and not box.networks[name]["EndpointID"]):
            raise EngineRefusedError(f"{doing}: it is not connected to {name}")
        del box.networks[name]
        if box.running:
            self._tell(box, Change.DETACHED)

    # --- what the user does -------------------------------------------------------------------------------

    def create(self, name: str, labels: Mapping[str, str], *, on: bool, at: IPv6Address | None) -> Box:
        """`docker create`, on the network where `on`, and there at an address of the user's choice."""
        self._check_free(name)
        self._serial += 1
        address = str(at) if at and on else None
        box = Box(f"container-{self._serial}", name, self._serial, labels, None, address)
        if on and self.network is not None:
            box.given = self.network.id
            box.networks[HE_IPV6] = _configured({**GIFT, "IPAMConfig": _asked(address)})
        self.boxes[box.id] = box
        self._tell(box, Change.CREATED)
        return box

    def start(self, box: Box) -> None:
        """`docker start`. Raises `EngineRefusedError`; the container is as it was then."""
        if box.running:
            return
        for name, settings in box.networks.items():
            try:
                network = self._network(settings["NetworkID"] or name)
                self._attach(settings, network, f"starting {box.name}")
            except EngineRefusedError:
                _detach(box)
                raise
        box.running = True
        self._tell(box, Change.ATTACHED)
        self._tell(box, Change.STARTED)

    def stop(self, box: Box) -> None:
        """`docker stop`, or a death."""
        if box.running:
            box.running = False
            _detach(box)
            self._tell(box, Change.DETACHED)
            self._tell(box, Change.DIED)

    def remove(self, box: Box) -> None:
        """`docker rm -f`."""
        self.stop(box)
        del self.boxes[box.id]
        self._tell(box, Change.DESTROYED)

    def rename(self, box: Box, name: str) -> None:
        """`docker rename`."""
        self._check_free(name)
        box.name = name
        self._tell(box, Change.OTHER)

    def plug(self, box: Box, at: IPv6Address | None = None) -> None:
        """`docker network connect`, at an address of the user's choice or the engine's."""
        if self.network is not None and HE_IPV6 not in box.networks:
            address = str(at) if at else None
            self.connect(box.id, self.network.id, {**GIFT, "IPAMConfig": _asked(address)}, "plugging")
            box.given, box.address = self.network.id, address

    def unplug(self, box: Box) -> None:
        """`docker network disconnect`."""
        if HE_IPV6 in box.networks:
            self.disconnect(box.id, HE_IPV6, "unplugging")
            box.given = box.address = None

    def replace_network(self, *, anew: bool) -> None:
        """`docker network rm`, and `create` of the same name where `anew`."""
        if any(box.running and HE_IPV6 in box.networks for box in self.boxes.values()):
            raise EngineRefusedError("it has active endpoints")
        self._serial += 1
        self.network = builders.network(network_id=f"network-{self._serial}") if anew else None
        self.told.append(NetworksChanged())

    # --- inside -------------------------------------------------------------------------------------------

    def _live(self) -> None:
        if self.calls_left is not None:
            if self.calls_left == 0:
                raise Death
            self.calls_left -= 1

    def _tell(self, box: Box, change: Change) -> None:
        attributes = {**box.labels, "name": box.name, "image": IMAGE}
        created = container_from_event(box.id, attributes, box.created * NANOSECONDS)
        self.told.append(ContainerChanged(box.id, change, created if change is Change.CREATED else None))

    def _check_free(self, name: str) -> None:
        if any(box.name == name for box in self.boxes.values()):
            raise EngineRefusedError(f"the name {name} is taken")

    def _box(self, container_id: str) -> Box:
        if container_id not in self.boxes:
            raise GoneError(f"no container {container_id}")
        return self.boxes[container_id]

    def _network(self, reference: str) -> Network:
        if self.network is None or reference not in (self.network.id, self.network.name):
            raise GoneError(f"no network {reference}")
        return self.network

    def _attach(self, settings: dict[str, Any], network: Network, doing: str) -> None:
        endpoints = (each for box in self.boxes.values() for each in box.networks.values())
        taken = {each["GlobalIPv6Address"] for each in endpoints} - {""}
        address = settings["IPAMConfig"].get("IPv6Address")
        if address in taken:
            raise EngineRefusedError(f"{doing}: address {address} already in use")
        choices = (str(SUBNET[number]) for number in range(FIRST_CHOICE, FIRST_CHOICE + len(taken) + 1))
        chosen = address or next(each for each in choices if each not in taken)
        settings |= {"GlobalIPv6Address": chosen, "NetworkID": network.id, "EndpointID": "endpoint"}


def _asked(address: str | None) -> dict[str, str]:
    """The API's `IPAMConfig` that asks for an address, or for none."""
    return {"IPv6Address": address} if address else {}


def _configured(endpoint: Mapping[str, Any]) -> dict[str, Any]:
    """What the engine keeps of an endpoint that it is asked for."""
    kept = {"IPAMConfig": {}, "DriverOpts": {}, **endpoint}
    return {**kept, "NetworkID": "", "EndpointID": "", "GlobalIPv6Address": ""}


def _detach(box: Box) -> None:
    for settings in box.networks.values():
        settings |= {"GlobalIPv6Address": "", "EndpointID": ""}


def _inspected(box: Box) -> dict[str, Any]:
    return {
        "Id": box.id,
        "Name": f"/{box.name}",
        "Created": datetime.fromtimestamp(box.created, UTC).isoformat(),
        "Image": IMAGE,
        "Config": {"Labels": dict(box.labels)},
        "State": {"Status": "running" if box.running else "exited", "Running": box.running},
        "HostConfig": {"NetworkMode": "bridge"},
        "NetworkSettings": {"Networks": {name: dict(each) for name, each in box.networks.items()}},
    }


def _listed(box: Box) -> dict[str, Any]:
    inspected = _inspected(box)
    return {
        **inspected,
        "Names": [inspected["Name"]],
        "ImageID": IMAGE,
        "Labels": box.labels,
        "Created": box.created,
        "State": inspected["State"]["Status"],
    }
