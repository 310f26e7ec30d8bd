"""A small world at the controller's boundary: an engine and a kernel that do as they are told, or fail.

What the real ones do is tested on the real ones; here it is only the controller that is looked at.
"""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from dockeripv6mapper.actions import EndpointAction, EndpointChange, Release, SysctlChange, Vacate
from dockeripv6mapper.controller.loop import Controller
from dockeripv6mapper.controller.observers import Meter, ServiceManager
from dockeripv6mapper.controller.queue import Stop
from dockeripv6mapper.controller.timers import Timers
from dockeripv6mapper.engine.client import Snapshot
from dockeripv6mapper.engine.events import Change, ContainerChanged, Subscribed
from dockeripv6mapper.engine.http import PendingResponse
from dockeripv6mapper.engine.listed import Listed
from dockeripv6mapper.errors import GoneError, NoAnswerError
from dockeripv6mapper.kernel.proxies import Outcome
from dockeripv6mapper.model import Container, FirewallRules, Forwarded, Host, Network, ProxyEntry
from dockeripv6mapper.settings import Settings
from tests.unit import builders

NEVER = Settings(resync=86400)
"""What is put right within a test was not put right by the next full pass."""


@dataclass
class World:
    """The engine's containers and networks, the kernel's entries and sysctls, and what was done to them."""

    containers: dict[str, Container] = field(default_factory=dict)
    networks_there: tuple[Network, ...] = field(default_factory=lambda: (builders.network(),))
    images_there: dict[str, Mapping[str, str]] = field(default_factory=lambda: {builders.IMAGE: {}})
    entries: dict[ProxyEntry, bool] = field(default_factory=dict)
    observing: Callable[[], None] = lambda: None
    """Called before each look at the host: raise to have it fail."""
    sysctls: dict[str, str] = field(default_factory=dict)
    writing: Callable[[SysctlChange], None] = lambda _: None
    """Called before each change of a sysctl: raise to have it fail."""
    forwarded: Forwarded = Forwarded.BY_RULES
    """What the host forwards where it forwards."""
    solicited: list[str] = field(default_factory=list)
    """Links on which routers were asked for."""
    host: Host = field(default_factory=builders.host)
    """The host, but for its entries."""
    actions: list[EndpointAction] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    failing: Callable[[EndpointAction], object] = lambda _: None
    """Called before each action: raise to have it fail, wait to have it take long."""
    looked: list[str] = field(default_factory=list)
    looking: Callable[[], object] = lambda: None
    """Called before each look at a container: wait to have it take long."""
    inert: bool = False
    """Whether actions do nothing, and say so."""
    lists_images: bool = False
    """Whether images are listed: else each has to be inspected."""
    image_lists: int = 0
    """How often images were listed."""
    listing_images: Callable[[], None] = lambda: None
    """Called before each list of images: raise to have it fail."""
    unreadable: set[str] = field(default_factory=set)
    """Containers that cannot be read from a list."""
    uninspectable: set[str] = field(default_factory=set)
    """Containers that cannot be read from an inspection."""
    nameless: str | None = None
    """What is said of a container in a list that has not even an ID."""
    networks_unreadable: dict[str, str] = field(default_factory=dict)
    """Networks that cannot be read."""
    inspecting: Callable[[], None] = lambda: None
    """Called before each inspection of an image: raise to have it fail."""
    begun: set[str] = field(default_factory=set)
    """Containers on which an earlier process began something."""
    firewall: FirewallRules = field(default_factory=FirewallRules)
    filtering: Callable[[FirewallRules], None] = lambda _: None
    """Called before each change of the firewall: raise to have it fail."""
    looking_at_firewall: Callable[[], object] = lambda: None
    """Called before each look at the firewall: raise to have it fail, wait to have it take long."""
    closing: Callable[[], object] = lambda: None
    """Called before the policy of FORWARD is set."""
    announcing: Callable[[Iterable[ProxyEntry]], None] = lambda _: None
    """Called at each announcement: raise to have it fail."""
    removed: list[ProxyEntry] = field(default_factory=list)
    pruning: Callable[[Collection[str]], object] = lambda _: None
    """Called at each full pass, on the controller's own thread."""
    listing: Callable[[], object] = lambda: None
    """Called before each full list: raise to have it fail."""
    listed: Callable[[], None] = lambda: None
    """Called after each full list was made: wait to have it arrive late."""

    # --- the engine ---------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        self.listing()
        there = {
            each: container for each, container in self.containers.items() if each not in self.unreadable
        }
        faults = {each: f"container {each} cannot be read" for each in self.unreadable}
        containers = Listed(tuple(there.values()), faults, self.nameless)
        snapshot = Snapshot(containers, Listed(self.networks_there, self.networks_unreadable))
        self.listed()
        return snapshot

    def networks(self) -> Listed[Network]:
        return Listed(self.networks_there, self.networks_unreadable)

    def container(self, container_id: str) -> Container | None:
        self.looking()
        self.looked.append(container_id)
        if container_id in self.uninspectable:
            raise NoAnswerError(f"inspecting container {container_id}: the engine's answer cannot be read")
        return self.containers.get(container_id)

    def images(self) -> Mapping[str, Mapping[str, str]]:
        self.image_lists += 1
        self.listing_images()
        return self.images_there if self.lists_images else {}

    def image_labels(self, image: str) -> Mapping[str, str]:
        self.inspecting()
        try:
            return self.images_there[image]
        except KeyError as error:
            raise GoneError(f"no image {image}") from error

    def begin(self, _action: EndpointAction) -> PendingResponse | None:
        return None

    def apply(self, action: EndpointAction, begun: PendingResponse | None = None) -> bool:
        self.failing(action)
        self.actions.append(action)
        if self.inert:
            return False
        if not isinstance(action, EndpointChange):
            self.begun.discard(action.container_id)
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
        return container_id in self.begun

    def prune(self, known: Collection[str]) -> None:
        self.pruning(known)

    # --- the kernel ---------------------------------------------------------------------------------------

    def observe(self) -> Host:
        self.observing()
        return replace(self.host, entries=dict(self.entries))

    def read_sysctls(self, keys: Iterable[str]) -> Mapping[str, str | None]:
        return {key: self.sysctls.get(key, "0") for key in keys}

    def close_forwarding(self) -> Forwarded:
        self.closing()
        self.written.append("policy of FORWARD")
        return self.forwarded

    def solicit_router(self, link: str) -> None:
        self.solicited.append(link)

    def write_sysctl(self, change: SysctlChange) -> None:
        self.writing(change)
        self.sysctls[change.key] = change.new
        self.written.append(change.key)

    def add_proxies(self, entries: Iterable[ProxyEntry]) -> Outcome:
        wanted = list(entries)
        added = [entry for entry in wanted if entry not in self.entries]
        self.entries.update(dict.fromkeys(added, True))
        return Outcome(done=added, found=[entry for entry in wanted if entry not in added])

    def announce(self, entries: Iterable[ProxyEntry]) -> None:
        self.announcing(entries)

    def observe_firewall(self) -> FirewallRules:
        self.looking_at_firewall()
        # What is on which uplink, and with which mark, is in the rules: no look shows it.
        return FirewallRules(openings=self.firewall.openings, closed=self.firewall.closed)

    def apply_firewall(self, rules: FirewallRules) -> None:
        self.filtering(rules)
        self.firewall = rules

    def check_hooks(self, mark: int) -> list[str]:
        return []

    def remove_proxies(self, entries: Iterable[ProxyEntry]) -> Outcome:
        removed = list(entries)
        for entry in removed:
            del self.entries[entry]
        self.removed += removed
        return Outcome(done=removed)


def event(container: Container, change: Change) -> ContainerChanged:
    """What the event stream says of a container."""
    return ContainerChanged(container.id, change, container if change is Change.CREATED else None)


def world_with(*containers: Container) -> World:
    """A world in which these containers are."""
    return World(containers={each.id: each for each in containers})


@contextmanager
def running(
    world: World,
    settings: Settings | None = None,
    *,
    service: ServiceManager | None = None,
    meter: Meter | None = None,
    timers: Timers | None = None,
) -> Iterator[Controller]:
    """A controller at work in the world, from its first subscription to its clean end."""
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
