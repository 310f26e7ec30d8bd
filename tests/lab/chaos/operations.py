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
    ChangeConnection,
    ChangeNetwork,
    Command,
    ContainerCommand,
    CreateContainer,
    EndpointOptions,
    FirstNetwork,
    NetworkChange,
    Rename,
    SwapNames,
)
from tests.lab.chaos.user_settings import ContainerSettings, EndpointSettings, UserSettings
from tests.lab.commands import CommandError
from tests.lab.engines import IMAGE, Flavour
from tests.lab.hosts import Host

SECOND_SUBNET = 0x100 << 48
"""What the second network's subnet lies above the first one's, inside the router's /64 too."""
IPV4_SUBNETS = {"he_ipv6": IPv4Network("10.9.0.0/24"), "other": IPv4Network("10.10.0.0/24")}
IN_USE = "ddress already in use"
STARTING = (Command.START, Command.RESTART)

Operation = CreateContainer | ContainerCommand | Rename | SwapNames | ChangeConnection | ChangeNetwork


class Operations:
    """A user at work on one host, who remembers in `ledger` what was given to whom."""

    def __init__(self, host: Host, api: docker.APIClient, user_settings: UserSettings) -> None:
        self._host, self._api, self._user_settings = host, api, user_settings
        self.failed_starts: dict[str, str] = {}
        """IDs of containers that could not be started, with what the engine said."""
        self.silent_change = False
        """Whether something was done, since this was last reset, of which the engine sends no event."""

    def carry_out(self, operation: Operation) -> None:
        """Do it, as far as the engine lets a user do it."""
        match operation:
            case CreateContainer():
                self._make(operation)
            case ContainerCommand(command, name):
                self._do(command, name)
            case Rename(name, to):
                self._docker("rename", name, to)
            case SwapNames(name, other):
                if self._id(name) and self._id(other):
                    for old, new in ((name, BETWEEN_NAMES), (other, name), (BETWEEN_NAMES, other)):
                        self._docker("rename", old, new)
            case ChangeConnection():
                self._plug(operation)
            case ChangeNetwork(network, change):
                self._of_network(network, change)

    def start(self, container_id: str) -> None:
        """Start a container, and note it where that fails."""
        self.failed_starts.pop(container_id, None)
        self._note_start(container_id, self._docker("start", container_id))

    def _note_start(self, container_id: str, error: str) -> None:
        """Note what a start came to.

        One that is refused for an IPv6 address burns the IPv4 address that the user asked for: the engine
        keeps it until it is restarted (seen on 20.10 and 28.5).
        """
        if error:
            self.failed_starts[container_id] = error
            settings = self._user_settings.containers[container_id]
            settings.ipv4_leaked |= IN_USE in error and any(each.ipv4 for each in settings.networks.values())

    def create_networks(self) -> None:
        """Create both networks."""
        for network in NETWORKS:
            self._of_network(network, NetworkChange.CREATE)

    def should_start(self, container_id: str) -> bool:
        """Whether nothing that its user did keeps a container from being started."""
        try:
            inspected = self._api.inspect_container(container_id)
        except NotFound:
            return False
        settings = self._user_settings.containers[container_id]
        networks = {network["Name"]: network["Id"] for network in self._api.networks()}
        attachments = settings.networks.items()
        if any(networks.get(name) != each.network_id or each.ipv6 for name, each in attachments):
            return False
        return not (settings.ipv4_leaked or inspected["State"]["Running"])

    def _make(self, make: CreateContainer) -> None:
        options = [
            part for label in make.labels.value.split() for part in ("--label", f"ipv6.mapper.{label}")
        ]
        settings = self._endpoint_settings(make)
        options += self._run_options(make, settings)
        command = ("run", "-d") if make.run else ("create",)
        error = self._docker(*command, "--name", make.name, *options, IMAGE)
        container_id = self._id(make.name)
        if container_id is None or container_id in self._user_settings.containers:
            return  # the name is taken, or the network gone
        self._user_settings.containers[container_id] = ContainerSettings(
            make.labels, {make.attached.network: settings}
        )
        self._note_start(container_id, error)

    def _endpoint_settings(self, make: CreateContainer) -> EndpointSettings:
        """What a user asks for in a `run`: on networks of the engine's own, nothing."""
        network = make.attached.network
        network_id = self._network_id(network) or ""
        if network not in NETWORKS:
            return EndpointSettings(network_id)
        held = str(self._host.subnet[HELD_SUFFIX]) if make.attached is FirstNetwork.HELD else None
        # Engine 28.5 has no way to keep it in a move.
        keeps_mac = self._host.engine.flavour is Flavour.DISTRO or make.labels.network != network
        mac = f"02:11:22:33:44:{make.options.ipv4 or 0:02x}" if make.options.mac and keeps_mac else None
        return EndpointSettings(network_id, make.options, _ipv4(network, make.options), held, mac)

    def _run_options(self, make: CreateContainer, settings: EndpointSettings) -> list[str]:
        """The options of `docker run` that ask for an attachment."""
        option = [f"driver-opt={key}={value}" for key, value in OPTION.items() if settings.options.option]
        named = ",".join((f"name={make.attached.network}", *option)) if option else make.attached.network
        return [
            *("--network", named),
            *_options("--network-alias", settings.options.aliases),
            *_options("--link", settings.options.links),
            *_options("--ip", [settings.ipv4] if settings.ipv4 else ()),
            *_options("--ip6", [settings.ipv6] if settings.ipv6 else ()),
            *_options("--mac-address", [settings.mac] if settings.mac else ()),
        ]

    def _do(self, command: Command, name: str) -> None:
        container_id = self._id(name)
        if container_id is None:
            return
        if command is Command.START:
            self.start(container_id)
        elif (error := self._docker(*command.value, container_id)) and command is Command.RESTART:
            self._note_start(container_id, error)

    def _plug(self, plug: ChangeConnection) -> None:
        container_id = self._id(plug.name)
        if container_id is None:
            return
        # Of a stopped container, engine 28.5 tells of neither, and 20.10 of no connect.
        self.silent_change |= not self._api.inspect_container(container_id)["State"]["Running"]
        settings = self._user_settings.containers[container_id].networks
        if plug.connect:
            asked, ipv4 = plug.options, _ipv4(plug.network, plug.options)
            option = [f"{key}={value}" for key, value in OPTION.items() if asked.option]
            arguments = [
                *_options("--alias", asked.aliases),
                *_options("--link", asked.links),
                *_options("--ip", [ipv4] if ipv4 else ()),
                *_options("--driver-opt", option),
            ]
            attached = self._api.inspect_container(container_id)["NetworkSettings"]["Networks"]
            # On the network already, a stopped container is left as it is without an error.
            if not self._docker("network", "connect", *arguments, plug.network, container_id) and (
                plug.network not in attached
            ):
                settings[plug.network] = EndpointSettings(self._network_id(plug.network) or "", asked, ipv4)
        else:
            # From now on it is no longer to be there, unless the mapper wants it.
            before = settings.pop(plug.network, None)
            if self._docker("network", "disconnect", plug.network, container_id) and before is not None:
                settings[plug.network] = before

    def _of_network(self, network: str, change: NetworkChange) -> None:
        if change is not NetworkChange.CREATE:
            for container_id in self._attached(network):
                self._docker("stop", "-t", "0", container_id)
            self._docker("network", "rm", network)
        if change is not NetworkChange.REMOVE:
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


def _ipv4(network: str, options: EndpointOptions) -> str | None:
    """The IPv4 address that is asked for on a network."""
    return None if options.ipv4 is None else str(IPV4_SUBNETS[network][options.ipv4])


def _options(name: str, values: Iterable[str]) -> list[str]:
    """The same option with each of some values."""
    return [part for value in values for part in (name, value)]
