"""Operations: what a user does to containers and networks, as the `docker` command does it."""

from dataclasses import replace
from ipaddress import IPv6Network

import docker
from docker.errors import NotFound

from tests.lab.chaos.ledger import Given, Ledger
from tests.lab.chaos.steps import HELD_SUFFIX, Attached, Do, Fate, Make, OfNetwork, Plug, Rename, Swap, Verb
from tests.lab.commands import CommandError
from tests.lab.engines import IMAGE
from tests.lab.hosts import Host

SECOND_SUBNET = 0x100 << 48
"""What the second network's subnet lies above the first one's, inside the router's /64 too."""
STARTING = (Verb.START, Verb.RESTART)
BETWEEN = "between-names"
"""A name that a container has while it swaps its own."""

Operation = Make | Do | Rename | Swap | Plug | OfNetwork


class Operations:
    """A user at work on one host, who remembers in `ledger` what was given to whom."""

    def __init__(self, host: Host, api: docker.APIClient, ledger: Ledger) -> None:
        self._host, self._api, self._ledger = host, api, ledger
        self.unstartable: dict[str, str] = {}
        """IDs of containers that could not be started, with what the engine said."""
        self.untold = False
        """Whether something was done, since this was last reset, of which the engine sends no event."""

    def carry_out(self, operation: Operation) -> None:
        """Do it, as far as the engine lets a user do it."""
        match operation:
            case Make():
                self._make(operation)
            case Do(verb, name):
                self._do(verb, name)
            case Rename(name, to):
                self._docker("rename", name, to)
            case Swap(name, other):
                if self._id(name) and self._id(other):
                    for old, new in ((name, BETWEEN), (other, name), (BETWEEN, other)):
                        self._docker("rename", old, new)
            case Plug():
                self._plug(operation)
            case OfNetwork(network, fate):
                self._of_network(network, fate)

    def start(self, container_id: str) -> None:
        """Start a container, and note it where that fails."""
        self.unstartable.pop(container_id, None)
        if error := self._docker("start", container_id):
            self.unstartable[container_id] = error

    def create_networks(self) -> None:
        """Create both networks."""
        for network in ("he_ipv6", "other"):
            self._of_network(network, Fate.CREATE)

    def is_to_be_startable(self, container_id: str) -> bool:
        """Whether nothing that its user did keeps a container from being started."""
        try:
            inspected = self._api.inspect_container(container_id)
        except NotFound:
            return False
        given = self._ledger.containers[container_id]
        networks = {network["Name"]: network["Id"] for network in self._api.networks()}
        if any(networks.get(name) != network_id for name, network_id in given.networks.items()):
            return False
        return given.address is None and not inspected["State"]["Running"]

    def _make(self, make: Make) -> None:
        options = [part for label in make.asks.value.split() for part in ("--label", f"ipv6.mapper.{label}")]
        options += ["--network", make.attached.network]
        address = self._host.subnet[HELD_SUFFIX] if make.attached is Attached.HELD else None
        if address:
            options += ["--ip6", str(address)]
        command = ("run", "-d") if make.run else ("create",)
        error = self._docker(*command, "--name", make.name, *options, IMAGE)
        container_id = self._id(make.name)
        if container_id is None or container_id in self._ledger.containers:
            return  # the name is taken, or the network gone
        network_id = self._network_id(make.attached.network) or ""
        self._ledger.containers[container_id] = Given(make.asks, {make.attached.network: network_id}, address)
        if error:
            self.unstartable[container_id] = error

    def _do(self, verb: Verb, name: str) -> None:
        container_id = self._id(name)
        if container_id is None:
            return
        if verb is Verb.START:
            self.start(container_id)
        elif (error := self._docker(*verb.value, container_id)) and verb is Verb.RESTART:
            self.unstartable[container_id] = error

    def _plug(self, plug: Plug) -> None:
        container_id = self._id(plug.name)
        if container_id is None:
            return
        # Of a stopped container, engine 28.5 tells of neither, and 20.10 of no connect.
        self.untold |= not self._api.inspect_container(container_id)["State"]["Running"]
        given = self._ledger.containers[container_id].networks
        if plug.connect:
            if not self._docker("network", "connect", plug.network, container_id):
                given[plug.network] = self._network_id(plug.network) or ""
        else:
            # From now on it is no longer to be there, unless the mapper wants it.
            before = given.pop(plug.network, None)
            if self._docker("network", "disconnect", plug.network, container_id) and before is not None:
                given[plug.network] = before

    def _of_network(self, network: str, fate: Fate) -> None:
        if fate is not Fate.CREATE:
            for container_id in self._attached(network):
                self._docker("stop", "-t", "0", container_id)
            self._docker("network", "rm", network)
        if fate is not Fate.REMOVE:
            subnet = self._host.subnet
            if network == "other":
                subnet = IPv6Network((int(subnet.network_address) + SECOND_SUBNET, subnet.prefixlen))
            self._docker(*replace(self._host, subnet=subnet).network_command(network))

    def _attached(self, network: str) -> list[str]:
        return [each["Id"] for each in self._api.containers(filters={"network": network})]

    def _id(self, name: str) -> str | None:
        try:
            container_id: str = self._api.inspect_container(name)["Id"]
        except NotFound:
            return None
        return container_id

    def _network_id(self, name: str) -> str | None:
        named = {network["Name"]: network["Id"] for network in self._api.networks()}
        return named.get(name)

    def _docker(self, *args: str) -> str:
        """Run `docker`; returns what it said of its failure, if it failed."""
        try:
            self._host.engine.docker(*args)
        except CommandError as error:
            return str(error)
        return ""
