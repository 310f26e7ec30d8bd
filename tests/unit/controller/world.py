"""A fake engine and a fake kernel for tests of the controller. Hooks make single calls fail or block.

The real engine and the real kernel are tested in `tests/lab`.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address

from dockeripv6mapper.actions import EndpointAction, EndpointChange, Release, SysctlChange, Vacate
from dockeripv6mapper.controller.loop import Controller
from dockeripv6mapper.controller.observers import Meter, ServiceManager
from dockeripv6mapper.controller.queue import Stop
from dockeripv6mapper.controller.timers import Timers
from dockeripv6mapper.engine.client import Snapshot
from dockeripv6mapper.engine.events import Change, ContainerChanged, Subscribed
from dockeripv6mapper.engine.http import PendingResponse
from dockeripv6mapper.engine.listed import Listed
from dockeripv6mapper.errors import GoneError, KernelRefusedError, NoAnswerError
from dockeripv6mapper.firewall_rules import Ruleset
from dockeripv6mapper.kernel.ndp.announcements import Answer
from dockeripv6mapper.kernel.proxies import Outcome
from dockeripv6mapper.model import (
    BridgeAddress,
    Container,
    FirewallRules,
    Forwarded,
    Host,
    Link,
    Network,
    ProxyEntry,
)
from dockeripv6mapper.settings import Settings
from tests.unit import builders

NEVER = Settings(resync=86400)
"""No periodic full pass within a test, so that a repair has another cause."""


@dataclass
class World:
    """State of the fake engine and kernel, hooks, and a record of the calls that change something."""

    containers: dict[str, Container] = field(default_factory=dict)
    engine_networks: tuple[Network, ...] = field(default_factory=lambda: (builders.network(),))
    engine_images: dict[str, Mapping[str, str]] = field(default_factory=lambda: {builders.IMAGE: {}})
    filters_with_nftables: bool = False
    """Whether the engine keeps its rules in nftables."""
    entries: dict[ProxyEntry, bool] = field(default_factory=dict)
    on_observe: Callable[[], None] = lambda: None
    """Called before each observation of the host. May raise."""
    sysctls: dict[str, str] = field(default_factory=dict)
    on_write_sysctl: Callable[[SysctlChange], None] = lambda _: None
    """Called before each write of a sysctl. May raise."""
    forwarded: Forwarded = Forwarded.BY_RULES
    """Result of setting the FORWARD policy."""
    solicited: list[str] = field(default_factory=list)
    """Links on which a router solicitation was sent."""
    host: Host = field(default_factory=builders.host)
    """The host, without its proxy entries."""
    actions: list[EndpointAction] = field(default_factory=list)
    kernel_writes: list[str] = field(default_factory=list)
    on_action: Callable[[EndpointAction], object] = lambda _: None
    """Called before each action. May raise or block."""
    inspected: list[str] = field(default_factory=list)
    on_inspect: Callable[[], object] = lambda: None
    """Called before each inspection of a container. May block."""
    actions_without_effect: bool = False
    """Whether actions have no effect; `apply` then returns `says_done`."""
    says_done: bool = False
    lists_images: bool = False
    """Whether the image list is filled; otherwise each image must be inspected."""
    image_lists: int = 0
    """Number of image lists so far."""
    on_list_images: Callable[[], None] = lambda: None
    """Called before each list of images. May raise."""
    unreadable: set[str] = field(default_factory=set)
    """IDs of containers that cannot be parsed in a list."""
    uninspectable: set[str] = field(default_factory=set)
    """IDs of containers that cannot be parsed in an inspection."""
    without_id: str | None = None
    """The error about a list item without an ID."""
    networks_unreadable: dict[str, str] = field(default_factory=dict)
    """Errors about networks that cannot be parsed, by ID."""
    on_inspect_image: Callable[[], None] = lambda: None
    """Called before each inspection of an image. May raise."""
    unfinished_actions: set[str] = field(default_factory=set)
    """IDs of containers on which an earlier process left an unfinished action."""
    firewall: FirewallRules = field(default_factory=FirewallRules)
    on_write_firewall: Callable[[FirewallRules], None] = lambda _: None
    """Called before each write of the firewall table. May raise or block."""
    on_read_firewall: Callable[[], object] = lambda: None
    """Called before each read of the firewall table. May raise or block."""
    on_read_ruleset: Callable[[], object] = lambda: None
    """Called before all rules are read. May raise or block."""
    on_close_forwarding: Callable[[], object] = lambda: None
    """Called before the FORWARD policy is set. May raise or block."""
    sent: list[str] = field(default_factory=list)
    """The messages of Neighbour Discovery that were sent."""
    on_send: Callable[[str], None] = lambda _: None
    """Called before each of them. May raise."""
    received: list[Answer] = field(default_factory=list)
    """The answers of other nodes that wait to be received."""
    refuse_answers: bool = False
    """Whether receiving them fails."""
    listening: bool = False
    """Whether answers are received."""
    removed_entries: list[ProxyEntry] = field(default_factory=list)
    forgotten: list[BridgeAddress] = field(default_factory=list)
    """The addresses whose neighbour entries were removed."""
    on_forget_neighbours: Callable[[], None] = lambda: None
    """Called before neighbour entries are removed. May raise."""
    on_prune: Callable[[Collection[str]], object] = lambda _: None
    """Called once in each full pass, on the controller's thread. May raise or block."""
    before_list: Callable[[], object] = lambda: None
    """Called before each full list is made. May raise or block."""
    after_list: Callable[[], None] = lambda: None
    """Called after each full list was made, before it is returned. May block."""

    # --- the engine ---------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        self.before_list()
        there = {
            each: container for each, container in self.containers.items() if each not in self.unreadable
        }
        faults = {each: f"container {each} cannot be read" for each in self.unreadable}
        containers = Listed(tuple(there.values()), faults, self.without_id)
        networks = Listed(self.engine_networks, self.networks_unreadable)
        snapshot = Snapshot(containers, networks, filters_with_nftables=self.filters_with_nftables)
        self.after_list()
        return snapshot

    def networks(self) -> Listed[Network]:
        return Listed(self.engine_networks, self.networks_unreadable)

    def container(self, container_id: str) -> Container | None:
        self.on_inspect()
        self.inspected.append(container_id)
        if container_id in self.uninspectable:
            raise NoAnswerError(f"inspecting container {container_id}: the engine's answer cannot be read")
        return self.containers.get(container_id)

    def images(self) -> Mapping[str, Mapping[str, str]]:
        self.image_lists += 1
        self.on_list_images()
        return self.engine_images if self.lists_images else {}

    def image_labels(self, image: str) -> Mapping[str, str]:
        self.on_inspect_image()
        try:
            return self.engine_images[image]
        except KeyError as error:
            raise GoneError(f"no image {image}") from error

    def begin(self, _action: EndpointAction) -> PendingResponse | None:
        return None

    def apply(self, action: EndpointAction, begun: PendingResponse | None = None) -> bool:
        self.on_action(action)
        self.actions.append(action)
        if self.actions_without_effect:
            return self.says_done
        if not isinstance(action, EndpointChange):
            self.unfinished_actions.discard(action.container_id)
            return True
        container = self.containers[action.container_id]
        taken_back = isinstance(action, Release | Vacate)
        address = None if taken_back else action.address
        endpoint = builders.endpoint(address if container.running else None, address)
        others = [each for each in container.endpoints if each.network != action.network]
        attached = others if taken_back else [*others, endpoint]
        self.containers[container.id] = replace(container, endpoints=tuple(attached))
        return True

    def unfinished(self, container_id: str) -> bool:
        return container_id in self.unfinished_actions

    def prune(self, known: Collection[str]) -> None:
        self.on_prune(known)

    # --- the kernel ---------------------------------------------------------------------------------------

    def observe(self) -> Host:
        self.on_observe()
        return replace(self.host, entries=dict(self.entries))

    def read_sysctls(self, keys: Iterable[str]) -> Mapping[str, str | None]:
        return {key: self.sysctls.get(key, "0") for key in keys}

    def close_forwarding(self) -> Forwarded:
        self.on_close_forwarding()
        self.kernel_writes.append("policy of FORWARD")
        return self.forwarded

    def solicit_router(self, link: str) -> None:
        self.solicited.append(link)

    def write_sysctl(self, change: SysctlChange) -> None:
        self.on_write_sysctl(change)
        self.sysctls[change.key] = change.new
        self.kernel_writes.append(change.key)

    def add_proxies(self, entries: Iterable[ProxyEntry]) -> Outcome:
        wanted = list(entries)
        added = [entry for entry in wanted if entry not in self.entries]
        self.entries.update(dict.fromkeys(added, True))
        return Outcome(done=added, foreign=[entry for entry in wanted if entry not in added])

    def advertise(self, address: IPv6Address, link: Link, *, override: bool) -> None:
        self._send(f"advertise {address} on {link.name}{' with override' * override}")

    def probe(self, address: IPv6Address, link: Link) -> None:
        self._send(f"probe {address} on {link.name}")
        self.listening = True

    def solicit(self, address: IPv6Address, link: Link, router: IPv6Address) -> None:
        self._send(f"solicit {router} from {address} on {link.name}")

    def answers(self) -> Iterable[Answer]:
        if self.refuse_answers:
            raise KernelRefusedError("receiving answers to probes: no buffer space")
        answers, self.received = self.received, []
        return answers

    def ignore_answers(self) -> None:
        self.listening = False

    def _send(self, message: str) -> None:
        self.on_send(message)
        self.sent.append(message)

    def forget_neighbours(self, addresses: Iterable[BridgeAddress]) -> None:
        self.on_forget_neighbours()
        self.forgotten += addresses

    def observe_firewall(self) -> FirewallRules:
        self.on_read_firewall()
        # A real read does not return the uplinks and the mark either.
        return FirewallRules(openings=self.firewall.openings, closed=self.firewall.closed)

    def apply_firewall(self, rules: FirewallRules) -> None:
        self.on_write_firewall(rules)
        self.firewall = rules

    def put_accept_rules(self, mark: int) -> list[str]:
        return []

    def observe_ruleset(self) -> Ruleset:
        self.on_read_ruleset()
        return Ruleset()

    def remove_proxies(self, entries: Iterable[ProxyEntry]) -> Outcome:
        removed = list(entries)
        for entry in removed:
            del self.entries[entry]
        self.removed_entries += removed
        return Outcome(done=removed)


def event(container: Container, change: Change) -> ContainerChanged:
    """Return the event about a container."""
    return ContainerChanged(container.id, change, container if change is Change.CREATED else None)


def world_with(*containers: Container) -> World:
    """Return a world with these containers."""
    return World(containers={each.id: each for each in containers})


@contextmanager
def running_controller(
    world: World,
    settings: Settings | None = None,
    *,
    service: ServiceManager | None = None,
    meter: Meter | None = None,
    timers: Timers | None = None,
) -> Iterator[Controller]:
    """Run a controller in a thread, from its first subscription to its stop; yield it."""
    controller = Controller(
        *(world, world, world, settings or Settings()),
        service=service,
        meter=meter,
        timers=timers,
    )
    thread = threading.Thread(target=controller.run)
    thread.start()
    try:
        controller.post(Subscribed())
        yield controller
    finally:
        controller.post(Stop())
        thread.join(timeout=20)
        assert not thread.is_alive()
