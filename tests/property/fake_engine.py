"""A fake engine with the behaviour that matters to the controller.

It replaces the client below `engine.endpoints`, so that `engine.endpoints` is tested too. What it accepts,
refuses and preserves was seen on 20.10 and 28.5; where these differ, it does what is harder to deal with.
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
FIRST_ASSIGNED = 2
"""Host part of the first address that the engine assigns itself."""


class FakeEngine(Client):
    """Two networks, some containers, and the events that were not delivered yet."""

    def __init__(self, release: Release = RELEASES["20.10"]) -> None:
        self.release = release
        self.containers: dict[str, FakeContainer] = {}
        self.network_by_name = {
            HE_IPV6: builders.network(network_id="network-0", ipv4=True),
            OTHER: builders.network(OTHER, subnet=None, ipv4=True),
        }
        self.pending_events: list[EventMessage] = []
        self.injection: FaultInjection | None = None
        """The fault to inject at a call of the daemon."""
        self._leaked_ipv4: set[str] = set()
        """IPv4 addresses that the engine keeps allocated for an endpoint that it refused."""
        self._serial = self._macs = 0

    # --- API calls of the daemon ----------------------------------------------------------------------------

    def api_version(self) -> tuple[int, int]:
        return min(self.release.api, NEWEST_TESTED_API)

    def supports(self, version: tuple[int, int]) -> bool:
        return version <= self.release.api

    def snapshot(self) -> Snapshot:
        items = (
            container_from_list(listed(container, self.release)) for container in self.containers.values()
        )
        return Snapshot(Listed(tuple(items)), self.networks())

    def networks(self) -> Listed[Network]:
        return Listed(tuple(self.network_by_name.values()))

    def images(self) -> Images:
        return {IMAGE: {}}

    def image_labels(self, image: str) -> Mapping[str, str]:
        return self.images()[image]

    def inspect(self, container_id: str) -> Json:
        return self._call(
            "inspecting", lambda: inspected(self._existing_container(container_id), self.release)
        )

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
            container = self._existing_container(container_id)
            if not container.running and not self._exists(network_id):
                # For a stopped container, the engine accepts any network (20.10, 28.5); the start would fail.
                container.networks[network_id] = FakeEndpoint(dict(endpoint))
                return
            self._connect(container, self._network(network_id), endpoint, doing, refused=refused)

        self._call(doing, connect, lambda: connect(refused=True))

    def send_connect(self, _container_id: str, _network_id: str, _endpoint: Json) -> None:
        """Leave every connect to `connect`, as an engine over TCP."""

    def disconnect(self, container_id: str, network_id: str, doing: str) -> None:
        self._call(doing, lambda: self._disconnect(self._existing_container(container_id), network_id, doing))

    # --- the user's commands -------------------------------------------------------------------------------

    def create(
        self, name: str, labels: Mapping[str, str], networks: Mapping[str, Json] | None = None, mac: str = ""
    ) -> FakeContainer:
        """`docker create`, on `networks` with their settings, and with `--mac-address`."""
        self._check_free(name)
        self._serial += 1
        existing = {name: each for name, each in (networks or {}).items() if name in self.network_by_name}
        container = FakeContainer(f"container-{self._serial}", name, self._serial, labels, mac=mac)
        for network, settings in existing.items():
            is_first = not container.networks
            container.mode = network if is_first else container.mode
            wanted = {**settings, **({"MacAddress": mac} if mac and is_first else {})}
            container.user_settings[network] = EndpointSettings(self.network_by_name[network].id, wanted)
            chosen = "" if self.release.mac_is_the_containers else wanted.get("MacAddress", "")
            container.networks[network] = FakeEndpoint(dict(settings), chosen)
        self.containers[container.id] = container
        self._send_event(container, Change.CREATED)
        return container

    def start(self, container: FakeContainer) -> None:
        """`docker start`. Raises `EngineRefusedError`, and leaves the container stopped."""
        if container.running:
            return
        for name, endpoint in container.networks.items():
            try:
                self._attach(
                    container,
                    endpoint,
                    self._network(endpoint.network_id or name),
                    f"starting {container.name}",
                )
            except EngineRefusedError:
                _detach(container)
                raise
        container.running = container.has_run = True
        self._send_event(container, Change.ATTACHED)
        self._send_event(container, Change.STARTED)

    def stop(self, container: FakeContainer) -> None:
        """`docker stop`, or the end of its process."""
        if container.running:
            container.running = False
            _detach(container)
            self._send_event(container, Change.DETACHED)
            self._send_event(container, Change.DIED)

    def remove(self, container: FakeContainer) -> None:
        """`docker rm -f`."""
        self.stop(container)
        del self.containers[container.id]
        self._send_event(container, Change.DESTROYED)

    def rename(self, container: FakeContainer, name: str) -> None:
        """`docker rename`."""
        self._check_free(name)
        container.name = name
        self._send_event(container, Change.OTHER)

    def connect_by_user(self, container: FakeContainer, settings: Json, network: str = HE_IPV6) -> None:
        """`docker network connect`."""
        if network in self.network_by_name and network not in container.networks:
            self._connect(container, self.network_by_name[network], settings, "connecting")
            container.user_settings[network] = EndpointSettings(self.network_by_name[network].id, settings)

    def disconnect_by_user(self, container: FakeContainer, network: str = HE_IPV6) -> None:
        """`docker network disconnect`."""
        if network in container.networks:
            self._disconnect(container, network, "disconnecting")
            container.user_settings.pop(network, None)

    def replace_network(self, *, recreate: bool) -> None:
        """`docker network rm`, and with `recreate` also `create` with the same name."""
        if any(container.running and HE_IPV6 in container.networks for container in self.containers.values()):
            raise EngineRefusedError("it has active endpoints")
        self._serial += 1
        self.network_by_name.pop(HE_IPV6, None)
        if recreate:
            self.network_by_name[HE_IPV6] = builders.network(network_id=f"network-{self._serial}", ipv4=True)
        self.pending_events.append(NetworksChanged())

    def restart(self, *, live: bool) -> None:
        """Restart the engine; without `live`, running containers are stopped. The daemon gets no event of it.

        An endpoint that was refused while its container runs is not on disk: it is lost.
        """
        for container in self.containers.values():
            if not live:
                self.stop(container)
            elif container.running:
                container.networks = {
                    name: endpoint for name, endpoint in container.networks.items() if endpoint.attached
                }
        self._leaked_ipv4.clear()
        self.pending_events[:] = [Subscribed()]

    def has_leaked_address(self, container: FakeContainer) -> bool:
        """Whether an IPv4 address that the container's user set was leaked by the engine."""
        settings = [each.settings for each in container.user_settings.values()]
        return any(
            (each.get("IPAMConfig") or {}).get("IPv4Address") in self._leaked_ipv4 for each in settings
        )

    # --- internals ----------------------------------------------------------------------------------------

    def _call(self, doing: str, call: Callable[[], T], refuse: Callable[[], None] = lambda: None) -> T:
        return self.injection.carry_out(doing, call, refuse) if self.injection else call()

    def _connect(
        self, container: FakeContainer, network: Network, settings: Json, doing: str, *, refused: bool = False
    ) -> None:
        chosen = settings.get("MacAddress", "") if self.release.connect_sets_mac else ""
        present, endpoint = container.networks.get(network.name), FakeEndpoint(dict(settings), chosen)
        if not container.running:
            if not refused:
                container.networks.setdefault(network.name, endpoint)
        elif present and present.attached:
            raise EngineRefusedError(f"{doing}: it is on {network.name} already")
        else:
            # The engine keeps the configuration of the first endpoint that it refuses.
            container.networks.setdefault(network.name, endpoint)
            self._attach(container, endpoint, network, doing, refused=refused)
            container.networks[network.name] = endpoint
            self._send_event(container, Change.ATTACHED)

    def _disconnect(self, container: FakeContainer, network_id: str, doing: str) -> None:
        found = (each.name for each in self.network_by_name.values() if network_id in (each.id, each.name))
        name = next(found, network_id)
        if name not in container.networks or (container.running and not container.networks[name].attached):
            raise EngineRefusedError(f"{doing}: it is not connected to {name}")
        del container.networks[name]
        if container.running:
            self._send_event(container, Change.DETACHED)

    def _send_event(self, container: FakeContainer, change: Change) -> None:
        attributes = {**container.labels, "name": container.name, "image": IMAGE}
        created = container_from_event(container.id, attributes, container.created * NANOSECONDS)
        self.pending_events.append(
            ContainerChanged(container.id, change, created if change is Change.CREATED else None)
        )

    def _check_free(self, name: str) -> None:
        if any(container.name == name for container in self.containers.values()):
            raise EngineRefusedError(f"the name {name} is taken")

    def _existing_container(self, container_id: str) -> FakeContainer:
        if container_id not in self.containers:
            raise GoneError(f"no container {container_id}")
        return self.containers[container_id]

    def _exists(self, reference: str) -> bool:
        return any(reference in (network.id, network.name) for network in self.network_by_name.values())

    def _network(self, reference: str) -> Network:
        for network in self.network_by_name.values():
            if reference in (network.id, network.name):
                return network
        raise GoneError(f"no network {reference}")

    def _attach(
        self,
        container: FakeContainer,
        endpoint: FakeEndpoint,
        network: Network,
        doing: str,
        *,
        refused: bool = False,
    ) -> None:
        """Attach a running or starting container.

        If the engine refuses an IPv6 address, it leaks the IPv4 address that was requested with it: that is
        not free before a restart. So at a start and at a connect (20.10, 28.5). A refused IPv4 address leaks
        nothing.
        """
        endpoints = [
            each for other in self.containers.values() for each in other.networks.values() if each.attached
        ]
        ipv4, ipv6 = endpoint.requested_address("IPv4Address"), endpoint.requested_address("IPv6Address")
        if ipv4 in self._leaked_ipv4 | {each.ipv4 for each in endpoints}:
            raise EngineRefusedError(f"{doing}: address {ipv4} already in use")
        if refused or (ipv6 and ipv6 in {each.ipv6 for each in endpoints}):
            self._leaked_ipv4 |= {ipv4} - {""}
            raise EngineRefusedError(f"{doing}: address {ipv6} already in use")
        ipv4 = ipv4 or self._free(IPV4[network.name], self._leaked_ipv4 | {each.ipv4 for each in endpoints})
        if network.ipv6:
            ipv6 = ipv6 or self._free(SUBNET, {each.ipv6 for each in endpoints})
        attach_to(endpoint, network, ipv4, ipv6, self._mac(container, endpoint, network, ipv4))

    def _mac(self, container: FakeContainer, endpoint: FakeEndpoint, network: Network, ipv4: str) -> str:
        if self.release.mac_is_the_containers and container.mac and container.mode == network.name:
            return container.mac
        if endpoint.chosen_mac:
            return endpoint.chosen_mac
        self._macs += 1
        parts = ipv4.split(".") if self.release.makes_mac_of_ipv4 else (1, *divmod(self._macs, 256), 1)
        return ("02:42:" if self.release.makes_mac_of_ipv4 else "0e:9f:") + ":".join(
            f"{int(each):02x}" for each in parts
        )

    def _free(self, subnet: Any, taken: set[str]) -> str:  # noqa: ANN401 - of either family
        numbers = range(FIRST_ASSIGNED, FIRST_ASSIGNED + len(taken) + 1)
        return next(address for number in numbers if (address := str(subnet[number])) not in taken)


def all_settings(serial: int, ipv6: IPv6Address | None = None) -> dict[str, Any]:
    """Everything that a user can set on an endpoint. The IPv4 address is different for each `serial`."""
    addresses = {"IPv4Address": str(IPV4[HE_IPV6][100 + serial])}
    return {
        "IPAMConfig": addresses | ({"IPv6Address": str(ipv6)} if ipv6 else {}),
        "Aliases": ["chosen"],
        "Links": ["friend:buddy"],
        "DriverOpts": {"com.example.option": "kept"},
        "GwPriority": 5,
    }


def _detach(container: FakeContainer) -> None:
    for endpoint in container.networks.values():
        endpoint.detach()
