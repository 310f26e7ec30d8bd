"""Operations: what a user does to containers and networks, as the `docker` command does it."""

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network

import docker
from docker.errors import NotFound

from tests.lab.chaos.steps import (
    BETWEEN_NAMES,
    HELD_SUFFIX,
    NETWORKS,
    OPTION,
    Attached,
    Do,
    Fate,
    Make,
    OfNetwork,
    Plug,
    Rename,
    Swap,
    Verb,
    Wishes,
)
from tests.lab.chaos.user_settings import Attachment, Given, Ledger
from tests.lab.commands import CommandError
from tests.lab.engines import IMAGE, Flavour
from tests.lab.hosts import Host

SECOND_SUBNET = 0x100 << 48
"""What the second network's subnet lies above the first one's, inside the router's /64 too."""
IPV4_SUBNETS = {"he_ipv6": IPv4Network("10.9.0.0/24"), "other": IPv4Network("10.10.0.0/24")}
IN_USE = "ddress already in use"
STARTING = (Verb.START, Verb.RESTART)

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
                    for old, new in ((name, BETWEEN_NAMES), (other, name), (BETWEEN_NAMES, other)):
                        self._docker("rename", old, new)
            case Plug():
                self._plug(operation)
            case OfNetwork(network, fate):
                self._of_network(network, fate)

    def start(self, container_id: str) -> None:
        """Start a container, and note it where that fails."""
        self.unstartable.pop(container_id, None)
        self._note_start(container_id, self._docker("start", container_id))

    def _note_start(self, container_id: str, error: str) -> None:
        """Note what a start came to.

        One that is refused for an IPv6 address burns the IPv4 address that the user asked for: the engine
        keeps it until it is restarted (seen on 20.10 and 28.5).
        """
        if error:
            self.unstartable[container_id] = error
            given = self._ledger.containers[container_id]
            given.unstartable_until_restart |= IN_USE in error and any(
                each.ipv4 for each in given.networks.values()
            )

    def create_networks(self) -> None:
        """Create both networks."""
        for network in NETWORKS:
            self._of_network(network, Fate.CREATE)

    def is_to_be_startable(self, container_id: str) -> bool:
        """Whether nothing that its user did keeps a container from being started."""
        try:
            inspected = self._api.inspect_container(container_id)
        except NotFound:
            return False
        given = self._ledger.containers[container_id]
        networks = {network["Name"]: network["Id"] for network in self._api.networks()}
        attachments = given.networks.items()
        if any(networks.get(name) != each.network_id or each.ipv6 for name, each in attachments):
            return False
        return not (given.unstartable_until_restart or inspected["State"]["Running"])

    def _make(self, make: Make) -> None:
        options = [part for label in make.asks.value.split() for part in ("--label", f"ipv6.mapper.{label}")]
        attachment = self._attachment(make)
        options += self._run_options(make, attachment)
        command = ("run", "-d") if make.run else ("create",)
        error = self._docker(*command, "--name", make.name, *options, IMAGE)
        container_id = self._id(make.name)
        if container_id is None or container_id in self._ledger.containers:
            return  # the name is taken, or the network gone
        self._ledger.containers[container_id] = Given(make.asks, {make.attached.network: attachment})
        self._note_start(container_id, error)

    def _attachment(self, make: Make) -> Attachment:
        """What a user asks for in a `run`: on networks of the engine's own, nothing."""
        network = make.attached.network
        network_id = self._network_id(network) or ""
        if network not in NETWORKS:
            return Attachment(network_id)
        held = str(self._host.subnet[HELD_SUFFIX]) if make.attached is Attached.HELD else None
        # Engine 28.5 has no way to keep it in a move.
        keeps_mac = self._host.engine.flavour is Flavour.DISTRO or make.asks.network != network
        mac = f"02:11:22:33:44:{make.wishes.ipv4 or 0:02x}" if make.wishes.mac and keeps_mac else None
        return Attachment(network_id, make.wishes, _ipv4(network, make.wishes), held, mac)

    def _run_options(self, make: Make, attachment: Attachment) -> list[str]:
        """The options of `docker run` that ask for an attachment."""
        option = [f"driver-opt={key}={value}" for key, value in OPTION.items() if attachment.wishes.option]
        named = ",".join((f"name={make.attached.network}", *option)) if option else make.attached.network
        return [
            *("--network", named),
            *_options("--network-alias", attachment.wishes.aliases),
            *_options("--link", attachment.wishes.links),
            *_options("--ip", [attachment.ipv4] if attachment.ipv4 else ()),
            *_options("--ip6", [attachment.ipv6] if attachment.ipv6 else ()),
            *_options("--mac-address", [attachment.mac] if attachment.mac else ()),
        ]

    def _do(self, verb: Verb, name: str) -> None:
        container_id = self._id(name)
        if container_id is None:
            return
        if verb is Verb.START:
            self.start(container_id)
        elif (error := self._docker(*verb.value, container_id)) and verb is Verb.RESTART:
            self._note_start(container_id, error)

    def _plug(self, plug: Plug) -> None:
        container_id = self._id(plug.name)
        if container_id is None:
            return
        # Of a stopped container, engine 28.5 tells of neither, and 20.10 of no connect.
        self.untold |= not self._api.inspect_container(container_id)["State"]["Running"]
        given = self._ledger.containers[container_id].networks
        if plug.connect:
            wishes, ipv4 = plug.wishes, _ipv4(plug.network, plug.wishes)
            option = [f"{key}={value}" for key, value in OPTION.items() if wishes.option]
            options = [
                *_options("--alias", wishes.aliases),
                *_options("--link", wishes.links),
                *_options("--ip", [ipv4] if ipv4 else ()),
                *_options("--driver-opt", option),
            ]
            attached = self._api.inspect_container(container_id)["NetworkSettings"]["Networks"]
            # On the network already, a stopped container is left as it is without an error.
            if not self._docker("network", "connect", *options, plug.network, container_id) and (
                plug.network not in attached
            ):
                given[plug.network] = Attachment(self._network_id(plug.network) or "", wishes, ipv4)
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
            ipv4 = ("--subnet", str(IPV4_SUBNETS[network]))
            self._docker(*replace(self._host, subnet=subnet).network_command(network, *ipv4))

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


def _ipv4(network: str, wishes: Wishes) -> str | None:
    """The IPv4 address that is asked for on a network."""
    return None if wishes.ipv4 is None else str(IPV4_SUBNETS[network][wishes.ipv4])


def _options(name: str, values: Iterable[str]) -> list[str]:
    """The same option with each of some values."""
    return [part for value in values for part in (name, value)]
