"""Operations of a user on containers and networks, by the `docker` command."""

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network

import docker
from docker.errors import NotFound

from tests.lab.chaos.steps import (
    HELD_SUFFIX,
    NETWORKS,
    OPTION,
    TEMPORARY_NAME,
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
from tests.lab.engines import IMAGE
from tests.lab.hosts import Host

SECOND_SUBNET_OFFSET = 0x100 << 48
"""Added to the first network's subnet, it gives the second one's, inside the router's /64 too."""
IPV4_SUBNETS = {"he_ipv6": IPv4Network("10.9.0.0/24"), "other": IPv4Network("10.10.0.0/24")}
IN_USE = "ddress already in use"
STARTING = (Command.START, Command.RESTART)

Operation = CreateContainer | ContainerCommand | Rename | SwapNames | ChangeConnection | ChangeNetwork


class Operations:
    """Runs a user's operations on one host, and records the user's settings."""

    def __init__(self, host: Host, api: docker.APIClient, user_settings: UserSettings) -> None:
        self._host, self._api, self._user_settings = host, api, user_settings
        self.failed_starts: dict[str, str] = {}
        """The engine's error, for each container whose last start failed, by ID."""
        self.silent_change = False
        """Whether an operation caused no event. The runner resets it."""

    def carry_out(self, operation: Operation) -> None:
        """Run an operation; the engine may refuse it."""
        match operation:
            case CreateContainer():
                self._create(operation)
            case ContainerCommand(command, name):
                self._run(command, name)
            case Rename(name, to):
                self._docker("rename", name, to)
            case SwapNames(name, other):
                if self._id(name) and self._id(other):
                    for old, new in ((name, TEMPORARY_NAME), (other, name), (TEMPORARY_NAME, other)):
                        self._docker("rename", old, new)
            case ChangeConnection():
                self._change_connection(operation)
            case ChangeNetwork(network, change):
                self._change_network(network, change)

    def start(self, container_id: str) -> None:
        """Start a container, and record a failure."""
        self.failed_starts.pop(container_id, None)
        self._record_start(container_id, self._docker("start", container_id))

    def _record_start(self, container_id: str, error: str) -> None:
        """Record the result of a start; an empty `error` is a success.

        Where the engine refuses an IPv6 address, it leaks the requested IPv4 address: nothing can have that
        before the engine restarts (seen on 20.10 and 28.5).
        """
        if error:
            self.failed_starts[container_id] = error
            settings = self._user_settings.containers[container_id]
            settings.ipv4_leaked |= IN_USE in error and any(each.ipv4 for each in settings.networks.values())

    def create_networks(self) -> None:
        """Create both networks."""
        for network in NETWORKS:
            self._change_network(network, NetworkChange.CREATE)

    def should_start(self, container_id: str) -> bool:
        """Whether a stopped container must be able to start: its user's settings do not prevent it."""
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

    def _create(self, operation: CreateContainer) -> None:
        options = [
            part for label in operation.labels.value.split() for part in ("--label", f"ipv6.mapper.{label}")
        ]
        settings = self._endpoint_settings(operation)
        options += self._run_options(operation, settings)
        command = ("run", "-d") if operation.start else ("create",)
        error = self._docker(*command, "--name", operation.name, *options, IMAGE)
        container_id = self._id(operation.name)
        if container_id is None or container_id in self._user_settings.containers:
            return  # the name is taken, or the network does not exist
        self._user_settings.containers[container_id] = ContainerSettings(
            operation.labels, {operation.first_network.network: settings}
        )
        self._record_start(container_id, error)

    def _endpoint_settings(self, operation: CreateContainer) -> EndpointSettings:
        """The settings of the first network, for `docker run`. Predefined networks take none."""
        network = operation.first_network.network
        network_id = self._network_id(network) or ""
        if network not in NETWORKS:
            return EndpointSettings(network_id)
        held = str(self._host.subnet[HELD_SUFFIX]) if operation.first_network is FirstNetwork.HELD else None
        keeps_mac = self._host.engine.flavour.keeps_mac or operation.labels.network != network
        mac = (
            f"02:11:22:33:44:{operation.options.ipv4 or 0:02x}"
            if operation.options.mac and keeps_mac
            else None
        )
        return EndpointSettings(network_id, operation.options, _ipv4(network, operation.options), held, mac)

    def _run_options(self, operation: CreateContainer, settings: EndpointSettings) -> list[str]:
        """The network options of `docker run`."""
        option = [f"driver-opt={key}={value}" for key, value in OPTION.items() if settings.options.option]
        named = (
            ",".join((f"name={operation.first_network.network}", *option))
            if option
            else operation.first_network.network
        )
        return [
            *("--network", named),
            *_options("--network-alias", settings.options.aliases),
            *_options("--link", settings.options.links),
            *_options("--ip", [settings.ipv4] if settings.ipv4 else ()),
            *_options("--ip6", [settings.ipv6] if settings.ipv6 else ()),
            *_options("--mac-address", [settings.mac] if settings.mac else ()),
        ]

    def _run(self, command: Command, name: str) -> None:
        container_id = self._id(name)
        if container_id is None:
            return
        if command is Command.START:
            self.start(container_id)
        elif (error := self._docker(*command.value, container_id)) and command is Command.RESTART:
            self._record_start(container_id, error)

    def _change_connection(self, operation: ChangeConnection) -> None:
        container_id = self._id(operation.name)
        if container_id is None:
            return
        # For a stopped container, engine 28.5 sends neither event, and 20.10 none for a connect.
        self.silent_change |= not self._api.inspect_container(container_id)["State"]["Running"]
        settings = self._user_settings.containers[container_id].networks
        if operation.connect:
            asked, ipv4 = operation.options, _ipv4(operation.network, operation.options)
            option = [f"{key}={value}" for key, value in OPTION.items() if asked.option]
            arguments = [
                *_options("--alias", asked.aliases),
                *_options("--link", asked.links),
                *_options("--ip", [ipv4] if ipv4 else ()),
                *_options("--driver-opt", option),
            ]
            attached = self._api.inspect_container(container_id)["NetworkSettings"]["Networks"]
            # A connect of a stopped container that is on the network already succeeds and changes nothing.
            if not self._docker("network", "connect", *arguments, operation.network, container_id) and (
                operation.network not in attached
            ):
                settings[operation.network] = EndpointSettings(
                    self._network_id(operation.network) or "", asked, ipv4
                )
        else:
            # Before the command: the monitor must not miss the endpoint meanwhile.
            before = settings.pop(operation.network, None)
            if self._docker("network", "disconnect", operation.network, container_id) and before is not None:
                settings[operation.network] = before

    def _change_network(self, network: str, change: NetworkChange) -> None:
        if change is not NetworkChange.CREATE:
            for container_id in self._attached(network):
                self._docker("stop", "-t", "0", container_id)
            self._docker("network", "rm", network)
        if change is not NetworkChange.REMOVE:
            subnet = self._host.subnet
            if network == "other":
                subnet = IPv6Network((int(subnet.network_address) + SECOND_SUBNET_OFFSET, subnet.prefixlen))
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
        """Run `docker`; returns its error, or an empty text."""
        try:
            self._host.engine.docker(*args)
        except CommandError as error:
            return str(error)
        return ""


def _ipv4(network: str, options: EndpointOptions) -> str | None:
    """The IPv4 address that is requested on a network."""
    return None if options.ipv4 is None else str(IPV4_SUBNETS[network][options.ipv4])


def _options(name: str, values: Iterable[str]) -> list[str]:
    """Repeat an option for each value."""
    return [part for value in values for part in (name, value)]
