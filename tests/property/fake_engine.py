"""An engine that is like a real one in what matters to the controller, and does nothing by itself.

It is met where the real one is: below `engine.endpoints`, so that these are part of what is tested. What it
allows, refuses and keeps was seen on 20.10 and 28.5; where these differ, it is the harder of the two.
"""

from collections.abc import Callable, Mapping
from ipaddress import IPv4Network, IPv6Address
from typing import Any, TypeVar

from dockeripv6mapper.engine.client import Client, Images, Snapshot
from dockeripv6mapper.engine.events import Change, ContainerChanged, EventMessage, NetworksChanged, Subscribed
from dockeripv6mapper.engine.listed import Listed
from dockeripv6mapper.engine.translate import NANOSECONDS, container_from_event, container_from_list
from dockeripv6mapper.engine_config import NEWEST_TESTED_API
from dockeripv6mapper.errors import EngineRefusedError, GoneError
from dockeripv6mapper.model import Network
from tests.property.fake_containers import (
    RELEASES,
    EndpointSettings,
    FakeContainer,
    FakeEndpoint,
    Release,
    attach_to,
    inspected,
    listed,
)
from tests.property.fault_injection import FaultInjection
from tests.unit import builders
from tests.unit.builders import HE_IPV6, IMAGE, SUBNET

T = TypeVar("T")
Json = Mapping[str, Any]

OTHER = "other"
"""A network without IPv6."""
IPV4 = {HE_IPV6: IPv4Network("10.9.0.0/24"), OTHER: IPv4Network("10.10.0.0/24")}
FIRST_CHOICE = 2
"""The host part of the first address that the engine chooses by itself."""


class FakeEngine(Client):
    """Two networks, a few containers, and the events that nobody has read yet."""

    def __init__(self, release: Release = RELEASES["20.10"]) -> None:
        self.release = release
        self.boxes: dict[str, FakeContainer] = {}
        self.there = {
            HE_IPV6: builders.network(network_id="network-0", ipv4=True),
            OTHER: builders.network(OTHER, subnet=None, ipv4=True),
        }
        self.pending_events: list[EventMessage] = []
        self.injection: FaultInjection | None = None
        """What happens to a call of the daemon."""
        self._leaked_ipv4: set[str] = set()
        """IPv4 addresses that the engine holds for an endpoint that it refused."""
        self._serial = self._macs = 0

    # --- what the daemon asks -----------------------------------------------------------------------------

    def api_version(self) -> tuple[int, int]:
        return min(self.release.api, NEWEST_TESTED_API)

    def supports(self, version: tuple[int, int]) -> bool:
        return version <= self.release.api

    def snapshot(self) -> Snapshot:
        items = (container_from_list(listed(box, self.release)) for box in self.boxes.values())
        return Snapshot(Listed(tuple(items)), self.networks())

    def networks(self) -> Listed[Network]:
        return Listed(tuple(self.there.values()))

    def images(self) -> Images:
        return {IMAGE: {}}

    def image_labels(self, image: str) -> Mapping[str, str]:
        return self.images()[image]

    def inspect(self, container_id: str) -> Json:
        return self._answer("inspecting", lambda: inspected(self._box(container_id), self.release))

    def connect(
        self,
        container_id: str,
        network_id: str,
        endpoint: Json,
        doing: str,
        *,
        api: tuple[int, int] | None = None,
    ) -> None:
        assert (api or self.release.api) <= self.release.api, "the engine does not speak that version"

        def connect(*, refused: bool = False) -> None:
            box = self._box(container_id)
            if not box.running and not self._is_there(network_id):
                # The engine takes a stopped container's word for it (20.10, 28.5): it could not be started.
                box.networks[network_id] = FakeEndpoint(dict(endpoint))
                return
            self._connect(box, self._network(network_id), endpoint, doing, refused=refused)

        self._answer(doing, connect, lambda: connect(refused=True))

    def send_connect(self, _container_id: str, _network_id: str, _endpoint: Json) -> None:
        """Leave every connect to `connect`, as an engine over TCP."""

    def disconnect(self, container_id: str, network_id: str, doing: str) -> None:
        self._answer(doing, lambda: self._disconnect(self._box(container_id), network_id, doing))

    # --- what the user does -------------------------------------------------------------------------------

    def create(
        self, name: str, labels: Mapping[str, str], on: Mapping[str, Json] | None = None, mac: str = ""
    ) -> FakeContainer:
        """`docker create`, on the networks of `on` with these settings, and with `--mac-address`."""
        self._check_free(name)
        self._serial += 1
        on = {network: settings for network, settings in (on or {}).items() if network in self.there}
        box = FakeContainer(f"container-{self._serial}", name, self._serial, labels, mac=mac)
        for network, settings in on.items():
            is_first = not box.networks
            box.mode = network if is_first else box.mode
            wanted = {**settings, **({"MacAddress": mac} if mac and is_first else {})}
            box.given[network] = EndpointSettings(self.there[network].id, wanted)
            chosen = "" if self.release.mac_is_the_containers else wanted.get("MacAddress", "")
            box.networks[network] = FakeEndpoint(dict(settings), chosen)
        self.boxes[box.id] = box
        self._tell(box, Change.CREATED)
        return box

    def start(self, box: FakeContainer) -> None:
        """`docker start`. Raises `EngineRefusedError`; the container is as it was then."""
        if box.running:
            return
        for name, plug in box.networks.items():
            try:
                self._attach(box, plug, self._network(plug.network_id or name), f"starting {box.name}")
            except EngineRefusedError:
                _detach(box)
                raise
        box.running = box.has_run = True
        self._tell(box, Change.ATTACHED)
        self._tell(box, Change.STARTED)

    def stop(self, box: FakeContainer) -> None:
        """`docker stop`, or a death."""
        if box.running:
            box.running = False
            _detach(box)
            self._tell(box, Change.DETACHED)
            self._tell(box, Change.DIED)

    def remove(self, box: FakeContainer) -> None:
        """`docker rm -f`."""
        self.stop(box)
        del self.boxes[box.id]
        self._tell(box, Change.DESTROYED)

    def rename(self, box: FakeContainer, name: str) -> None:
        """`docker rename`."""
        self._check_free(name)
        box.name = name
        self._tell(box, Change.OTHER)

    def plug(self, box: FakeContainer, settings: Json, network: str = HE_IPV6) -> None:
        """`docker network connect`."""
        if network in self.there and network not in box.networks:
            self._connect(box, self.there[network], settings, "plugging")
            box.given[network] = EndpointSettings(self.there[network].id, settings)

    def unplug(self, box: FakeContainer, network: str = HE_IPV6) -> None:
        """`docker network disconnect`."""
        if network in box.networks:
            self._disconnect(box, network, "unplugging")
            box.given.pop(network, None)

    def replace_network(self, *, anew: bool) -> None:
        """`docker network rm`, and `create` of the same name where `anew`."""
        if any(box.running and HE_IPV6 in box.networks for box in self.boxes.values()):
            raise EngineRefusedError("it has active endpoints")
        self._serial += 1
        self.there.pop(HE_IPV6, None)
        if anew:
            self.there[HE_IPV6] = builders.network(network_id=f"network-{self._serial}", ipv4=True)
        self.pending_events.append(NetworksChanged())

    def restart(self, *, live: bool) -> None:
        """Restart of the engine; running containers are stopped unless `live`. Nobody hears any of it.

        A refused endpoint is not on disk before its container is stopped.
        """
        for box in self.boxes.values():
            if not live:
                self.stop(box)
            elif box.running:
                box.networks = {name: plug for name, plug in box.networks.items() if plug.attached}
        self._leaked_ipv4.clear()
        self.pending_events[:] = [Subscribed()]

    def has_leaked_address(self, box: FakeContainer) -> bool:
        """Whether the engine holds an IPv4 address of the container's for an endpoint that it refused."""
        settings = [all_settings.settings for all_settings in box.given.values()]
        return any(
            (each.get("IPAMConfig") or {}).get("IPv4Address") in self._leaked_ipv4 for each in settings
        )

    # --- inside -------------------------------------------------------------------------------------------

    def _answer(self, doing: str, call: Callable[[], T], refuse: Callable[[], None] = lambda: None) -> T:
        return self.injection.carry_out(doing, call, refuse) if self.injection else call()

    def _connect(
        self, box: FakeContainer, network: Network, endpoint: Json, doing: str, *, refused: bool = False
    ) -> None:
        chosen = endpoint.get("MacAddress", "") if self.release.connect_sets_mac else ""
        there, plug = box.networks.get(network.name), FakeEndpoint(dict(endpoint), chosen)
        if not box.running:
            if not refused:
                box.networks.setdefault(network.name, plug)
        elif there and there.attached:
            raise EngineRefusedError(f"{doing}: it is on {network.name} already")
        else:
            # The engine keeps the first endpoint that it refuses.
            box.networks.setdefault(network.name, plug)
            self._attach(box, plug, network, doing, refused=refused)
            box.networks[network.name] = plug
            self._tell(box, Change.ATTACHED)

    def _disconnect(self, box: FakeContainer, network_id: str, doing: str) -> None:
        found = (each.name for each in self.there.values() if network_id in (each.id, each.name))
        name = next(found, network_id)
        if name not in box.networks or (box.running and not box.networks[name].attached):
            raise EngineRefusedError(f"{doing}: it is not connected to {name}")
        del box.networks[name]
        if box.running:
            self._tell(box, Change.DETACHED)

    def _tell(self, box: FakeContainer, change: Change) -> None:
        attributes = {**box.labels, "name": box.name, "image": IMAGE}
        created = container_from_event(box.id, attributes, box.created * NANOSECONDS)
        self.pending_events.append(
            ContainerChanged(box.id, change, created if change is Change.CREATED else None)
        )

    def _check_free(self, name: str) -> None:
        if any(box.name == name for box in self.boxes.values()):
            raise EngineRefusedError(f"the name {name} is taken")

    def _box(self, container_id: str) -> FakeContainer:
        if container_id not in self.boxes:
            raise GoneError(f"no container {container_id}")
        return self.boxes[container_id]

    def _is_there(self, reference: str) -> bool:
        return any(reference in (network.id, network.name) for network in self.there.values())

    def _network(self, reference: str) -> Network:
        for network in self.there.values():
            if reference in (network.id, network.name):
                return network
        raise GoneError(f"no network {reference}")

    def _attach(
        self, box: FakeContainer, plug: FakeEndpoint, network: Network, doing: str, *, refused: bool = False
    ) -> None:
        """Attach a running or starting container.

        An IPv6 address that is refused burns the IPv4 address that was requested with it until the engine
        restarts, at a start as at a connect (20.10, 28.5); a refused IPv4 address burns nothing.
        """
        plugs = [each for other in self.boxes.values() for each in other.networks.values() if each.attached]
        ipv4, ipv6 = plug.requested("IPv4Address"), plug.requested("IPv6Address")
        if ipv4 in self._leaked_ipv4 | {each.ipv4 for each in plugs}:
            raise EngineRefusedError(f"{doing}: address {ipv4} already in use")
        if refused or (ipv6 and ipv6 in {each.ipv6 for each in plugs}):
            self._leaked_ipv4 |= {ipv4} - {""}
            raise EngineRefusedError(f"{doing}: address {ipv6} already in use")
        ipv4 = ipv4 or self._free(IPV4[network.name], self._leaked_ipv4 | {each.ipv4 for each in plugs})
        if network.ipv6:
            ipv6 = ipv6 or self._free(SUBNET, {each.ipv6 for each in plugs})
        attach_to(plug, network, ipv4, ipv6, self._mac(box, plug, network, ipv4))

    def _mac(self, box: FakeContainer, plug: FakeEndpoint, network: Network, ipv4: str) -> str:
        if self.release.mac_is_the_containers and box.mac and box.mode == network.name:
            return box.mac
        if plug.chosen_mac:
            return plug.chosen_mac
        self._macs += 1
        made_of = ipv4.split(".") if self.release.makes_mac_of_ipv4 else (1, *divmod(self._macs, 256), 1)
        return ("02:42:" if self.release.makes_mac_of_ipv4 else "0e:9f:") + ":".join(
            f"{int(each):02x}" for each in made_of
        )

    def _free(self, subnet: Any, taken: set[str]) -> str:  # noqa: ANN401 - of either family
        numbers = range(FIRST_CHOICE, FIRST_CHOICE + len(taken) + 1)
        return next(address for number in numbers if (address := str(subnet[number])) not in taken)


def all_settings(serial: int, at: IPv6Address | None = None) -> dict[str, Any]:
    """All that a user can set on an endpoint; the IPv4 address is one of its own for each `serial`."""
    addresses = {"IPv4Address": str(IPV4[HE_IPV6][100 + serial])}
    return {
        "IPAMConfig": addresses | ({"IPv6Address": str(at)} if at else {}),
        "Aliases": ["chosen"],
        "Links": ["friend:buddy"],
        "DriverOpts": {"com.example.option": "kept"},
        "GwPriority": 5,
    }


def _detach(box: FakeContainer) -> None:
    for plug in box.networks.values():
        plug.detach()
