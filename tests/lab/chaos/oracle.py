"""The oracle: the expected state of engine and kernel, and every difference from it.

It reads its own facts, from the engine's inspections and `ip`. The user's settings come from the record. The
address of each container is decided by `mapping`, which is pure and has tests of its own. The daemon's state
plays no part.
"""

import json
from collections.abc import Iterator
from ipaddress import IPv6Address
from typing import Any

import docker
from docker.errors import NotFound

from dockeripv6mapper.engine.translate import container_from_inspection, network_from_list
from dockeripv6mapper.mapping.desired import Desired
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.mapping.networks import Networks
from dockeripv6mapper.mapping.proxying import proxy_entries
from dockeripv6mapper.mapping.resolution import resolve
from dockeripv6mapper.model import AddressMapping, Container, Host, Link, Network, Reason, Refusal
from dockeripv6mapper.settings import Settings
from tests.lab import hosts
from tests.lab.chaos.steps import NEVER_MAPPED
from tests.lab.chaos.user_settings import UserSettings
from tests.lab.containers import MAPPER_PROTOCOL

SETTINGS = Settings()
SILENT_LINKS = {"LOOPBACK", "POINTOPOINT", "NOARP"}


class Oracle:
    """Compares the state of one host with the expected one."""

    def __init__(self, host: hosts.Host, api: docker.APIClient, user_settings: UserSettings) -> None:
        self._host, self._api, self._user_settings = host, api, user_settings

    def differences(self) -> list[str]:
        """Return all differences from the expected state."""
        inspected = list(self._inspected())
        facts = Facts(
            {each.id: each for each in map(container_from_inspection, inspected)},
            Networks(self._networks()),
            {each["Id"]: {} for each in self._api.images()},
            self._host_facts(),
        )
        desired = Desired(SETTINGS)
        desired.update(facts, list(facts.containers))
        networks = {network.name: network.id for network in facts.networks}
        return [
            *(each for shown in inspected for each in self._user_settings.lost_settings(shown, networks)),
            *(
                each
                for container in facts.containers.values()
                for each in _compare(container, facts, desired)
            ),
            *(each for container in facts.containers.values() for each in self._untouched(container)),
            *self._entries(facts, desired),
        ]

    def _inspected(self) -> Iterator[dict[str, Any]]:
        for item in self._api.containers(all=True):
            try:
                yield self._api.inspect_container(item["Id"])
            except NotFound:  # removed since it was listed
                continue

    def _networks(self) -> list[Network]:
        major, minor = map(int, self._api.api_version.split("."))
        return [network_from_list(item, (major, minor)) for item in self._api.networks()]

    def _host_facts(self) -> Host:
        shown = self._ip("link", "show")
        links = [
            Link(each["ifname"], each["ifindex"], neighbour_discovery=not SILENT_LINKS & set(each["flags"]))
            for each in shown
        ]
        addresses = [
            info["local"] for each in self._ip("-6", "address") for info in each.get("addr_info", ())
        ]
        routes = self._ip("-6", "route")
        return Host(
            links={link.name: link for link in links},
            default_route_links=tuple(sorted({each["dev"] for each in routes if each["dst"] == "default"})),
            addresses=frozenset(map(IPv6Address, addresses)),
            next_hops=frozenset(IPv6Address(each["gateway"]) for each in routes if "gateway" in each),
        )

    def _ip(self, *args: str) -> list[dict[str, Any]]:
        shown: list[dict[str, Any]] = json.loads(self._host.namespace.run("ip", "-j", *args).stdout or "[]")
        return shown

    def _untouched(self, container: Container) -> Iterator[str]:
        """A container that the mapper must not touch is on exactly the networks that its user set."""
        settings = self._user_settings.containers.get(container.id)
        attached = {each.network for each in container.endpoints}
        if settings is not None and settings.labels in NEVER_MAPPED and attached != settings.networks.keys():
            yield f"{container.name} is on {attached}, its user set {set(settings.networks)}"

    def _entries(self, facts: Facts, desired: Desired) -> Iterator[str]:
        wanted = {
            (entry.address, entry.uplink)
            for each in facts.containers.values()
            for entry in proxy_entries(each, desired.decision(each.id), facts, SETTINGS)
        }
        all_entries, ours = self._host.proxy_entries(), self._host.proxy_entries(MAPPER_PROTOCOL)
        for address, link in wanted - all_entries:
            yield f"{address} is not proxied on {link}"
        for address, link in ours - wanted:
            yield f"{address} is proxied on {link}, but should not be"
        for address, link in self._user_settings.entries - (all_entries - ours):
            yield f"the foreign proxy entry for {address} on {link} is gone, or the mapper's now"


def _compare(container: Container, facts: Facts, desired: Desired) -> Iterator[str]:
    """Compare a container's address with the decision; a refusal needs another container with a claim."""
    decision = desired.decision(container.id)
    if isinstance(decision, AddressMapping):
        endpoint = facts.networks.endpoint(container, decision.network_id, decision.network)
        has = endpoint and (endpoint.address if container.running else endpoint.requested)
        if has != decision.address:
            yield f"{container.name} has {has} on {decision.network}, but should have {decision.address}"
    elif isinstance(decision, Refusal) and decision.reason is Reason.ADDRESS_HELD:
        others = [each for each in facts.containers.values() if each.id != container.id]
        if not any(_claims(each, decision.address, facts) for each in others):
            yield f"{container.name} is refused {decision.address}, but no other container has a claim to it"


def _claims(container: Container, address: IPv6Address | None, facts: Facts) -> bool:
    """Whether a container's labels lead to an address, or its user set it."""
    wanted = resolve(container, facts, SETTINGS)
    if isinstance(wanted, AddressMapping) and wanted.address == address:
        return True
    endpoints = [each for each in container.endpoints if not each.ours]
    return any(address in (each.address, each.requested) for each in endpoints)
