"""The cache: containers, networks and images of the engine, updated by lists, inspections and events.

Lists and inspections are made by worker threads, and a newer event may arrive before their result. So each
event increments the cache's epoch, and a result that was asked for before a container's last event is stale
for that container: it has to be inspected again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from dockeripv6mapper.engine.listed import Listed
from dockeripv6mapper.mapping.networks import Networks
from dockeripv6mapper.model import Container, Endpoint, Network

NETWORKS = "networks"
IMAGES = "images"
"""Keys of these lists' epochs, as a container's ID is the key of its own."""

IMAGE_ID = "sha256:"
"""Prefix of an image's ID. A name may be given to another image. An ID's labels stay the same, but with the
containerd store it may stand for several platforms (see `images`)."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What a list of all containers changed."""

    changed: frozenset[str]
    """IDs of the containers to evaluate."""
    stale: frozenset[str]
    """IDs of those to inspect, since the list is too old for them or cannot be read."""


class Cache:
    """The engine's state, as last known. Used under the loop's lock; workers may read `epoch`."""

    def __init__(self) -> None:
        self.containers: dict[str, Container] = {}
        self.networks = Networks()
        self.routes_by_family = self.filters_with_nftables = False
        """See `Facts`."""
        self.images: dict[str, Mapping[str, str] | None] = {}
        """Labels of images, by ID or by the name in a create event. None: it was removed, or those of its
        platform are not known."""
        self.images_wanted = False
        """Whether images have to be listed: they changed, or events were missed."""
        self._unreadable: frozenset[str] = frozenset()
        """IDs of the containers that could not be read from the last list."""
        self._has_unknown_id = False
        """Whether the last list has a container whose ID cannot be read."""
        self.epoch = 0
        """The number of events so far."""
        self._touched: dict[str, int] = {}
        self._all_touched = 0
        self._listed = self._listed_before = 0
        """The epochs at which the last two lists were asked for."""
        self._ended: set[str] = set()
        """IDs of containers that are not in the cache, and that died or were removed since the last list."""
        self._dead: set[str] = set()
        """IDs of containers that died. Engine 20.10 lists them as running for some milliseconds more."""

    def touch(self, container_id: str) -> None:
        """Note an event of a container, or of all networks or images. Earlier results are stale for it."""
        self.epoch += 1
        self._touched[container_id] = self.epoch

    def touch_all(self) -> None:
        """Note that events were missed. Earlier results are stale for everything."""
        self.images_changed()
        self.epoch += 1
        self._all_touched = self.epoch

    def is_stale(self, subject: str, asked: int) -> bool:
        """Whether a result that was asked for at epoch `asked` may be older than the last event."""
        return max(self._touched.get(subject, 0), self._all_touched) > asked

    def is_all_stale(self, asked: int) -> bool:
        """Whether a list that was asked for at epoch `asked` is stale for everything."""
        return self._all_touched > asked

    def put(self, container: Container) -> None:
        """Add or replace a container."""
        before = self.containers.get(container.id)
        if container.id in self._dead:
            # Its addresses stay: engine 20.10 frees them some 200 ms after the death.
            container = replace(container, running=False)
        elif not container.running:
            container = _without_addresses(container)
        if before is not None:
            container = _with_known_marks(container, before)
        # The same object where nothing changed: later comparisons with it are cheap.
        self.containers[container.id] = before if before == container else container

    def mark_dead(self, container_id: str) -> None:
        """Note that a container died. Until `may_run` it does not run, whatever a list shows."""
        if (container := self.containers.get(container_id)) is not None:
            self._dead.add(container_id)
            self.put(container)
        else:
            self._ended.add(container_id)

    def mark_started(self, container_id: str) -> None:
        """Note that a container was started, at the addresses that it was configured with, if any.

        The engine starts it with those or not at all.
        """
        self.may_run(container_id)
        if (container := self.containers.get(container_id)) is None:
            return
        endpoints = (replace(each, address=each.address or each.requested) for each in container.endpoints)
        started = replace(container, running=True, in_transition=False, endpoints=tuple(endpoints))
        self.containers[container_id] = started

    def attach(self, container_id: str, endpoint: Endpoint) -> None:
        """Note that the engine has attached a container at the requested address.

        For a container that does not run, the engine reports success also where the container was on that
        network already and nothing was done. So it has to be inspected.
        """
        if (container := self.containers.get(container_id)) is None:
            return
        others = (each for each in container.endpoints if each.network != endpoint.network)
        now = replace(endpoint, address=endpoint.requested if container.running else None)
        self.put(replace(container, endpoints=(*others, now)))

    def may_run(self, container_id: str) -> None:
        """Let lists decide again whether a container runs."""
        self._dead.discard(container_id)

    def drop(self, container_id: str) -> None:
        """Remove a container."""
        self.containers.pop(container_id, None)
        self._unreadable -= {container_id}
        self._dead.discard(container_id)
        self._ended.add(container_id)

    @property
    def complete(self) -> bool:
        """Whether the cache has every container, as the last list or an earlier answer showed it."""
        return not self._has_unknown_id and self._unreadable <= self.containers.keys()

    def replace_networks(self, answer: Listed[Network]) -> None:
        """Replace all networks by a list. One that cannot be read stays as it was."""
        listed = {network.id for network in answer.items}
        kept = [
            known
            for known in self.networks
            if known.id not in listed and (known.id in answer.unreadable or answer.without_id is not None)
        ]
        unknown = answer.unreadable.keys() - {network.id for network in kept}
        complete = answer.without_id is None and not unknown
        self.networks = Networks((*answer.items, *kept), complete=complete)

    def replace_containers(self, answer: Listed[Container], asked: int) -> Merged:
        """Replace all containers by a list that was asked for at epoch `asked`.

        Containers that cannot be read stay as they were, and so do those that are missing from a list that
        has a container without an ID. They are stale, as those for which the list is too old.
        """
        listed = {container.id: container for container in answer.items}
        stale = {each for each in listed.keys() | self.containers.keys() if self.is_stale(each, asked)}
        before = self.containers
        self._unreadable = frozenset(answer.unreadable)
        self._has_unknown_id = answer.without_id is not None
        stale |= before.keys() - listed.keys() if self._has_unknown_id else answer.unreadable.keys()
        self.containers = {}
        for container_id in listed.keys() | (before.keys() & stale):
            if container_id not in stale:
                self.containers[container_id] = before.get(container_id, listed[container_id])
                self.put(listed[container_id])
            elif container_id in before:
                self.containers[container_id] = before[container_id]
            elif container_id not in self._ended:
                # Outdated, and used until it is inspected: it may have been running for long.
                self.put(listed[container_id])
        self._ended.clear()
        self._dead &= self.containers.keys()
        # A result may be older than this list: epochs of removed containers are kept for two lists.
        self._touched = {
            each: epoch
            for each, epoch in self._touched.items()
            if each in self.containers or epoch > self._listed_before or each in (NETWORKS, IMAGES)
        }
        self._listed_before, self._listed = self._listed, asked
        return Merged(frozenset(listed.keys() | before.keys()), frozenset(stale))

    def images_changed(self) -> None:
        """Note that an image was added, removed or renamed. Any name may mean another image now.

        What was not known of an image may be known now, too.
        """
        self.touch(IMAGES)
        self.images_wanted = True
        self.images = {image: known for image, known in self._known_images() if image.startswith(IMAGE_ID)}

    def replace_images(self, images: Mapping[str, Mapping[str, str]]) -> None:
        """Replace all images by a list. The images of known containers are kept."""
        used = {each.image for each in self.containers.values() if each.image.startswith(IMAGE_ID)}
        kept = {image: known for image, known in self._known_images() if image in used}
        self.images = {**kept, **images}
        self.images_wanted = False

    def _known_images(self) -> Iterable[tuple[str, Mapping[str, str]]]:
        return ((image, known) for image, known in self.images.items() if known is not None)

    def put_image(self, image: str, labels: Mapping[str, str] | None) -> None:
        """Add or replace an image. None: it was removed."""
        self.images = {**self.images, image: labels}


def _without_addresses(container: Container) -> Container:
    if all(endpoint.address is None for endpoint in container.endpoints):
        return container
    endpoints = tuple(replace(endpoint, address=None) for endpoint in container.endpoints)
    return replace(container, endpoints=endpoints)


def _with_known_marks(container: Container, before: Container) -> Container:
    """The container, with the marks of its endpoints that only an earlier inspection or action showed."""
    known = {(each.network, each.requested): each for each in before.endpoints if each.ours is not None}

    def marked(endpoint: Endpoint) -> Endpoint:
        same = known.get((endpoint.network, endpoint.requested))
        if endpoint.ours is not None or same is None:
            return endpoint
        return replace(
            endpoint, ours=same.ours, moved=same.moved, temporary=same.temporary, refused=same.refused
        )

    if not known:
        return container
    return replace(container, endpoints=tuple(map(marked, container.endpoints)))
