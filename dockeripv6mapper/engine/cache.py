"""The cache: the inventory of the engine's containers and networks, fed by lists and events.

Lists are asked for by other threads and arrive late; an event may have told something newer meanwhile.
Every event therefore moves the inventory's epoch on, and an answer that was asked for before a container's
last event says nothing about that container: it has to be looked at again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dockeripv6mapper.engine.listed import Listed
from dockeripv6mapper.mapping.networks import Networks
from dockeripv6mapper.model import Container, Endpoint, Network

NETWORKS = "networks"
IMAGES = "images"
"""What these lists are touched and asked about under, as a container is under its ID."""

IMAGE_ID = "sha256:"
"""What an image's ID begins with; its labels never change, while a name may pass to another image."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What a full list changed: IDs of containers to evaluate, and those to look at again."""

    changed: frozenset[str]
    stale: frozenset[str]


class Inventory:
    """What the engine has, as far as is known."""

    def __init__(self) -> None:
        self.containers: dict[str, Container] = {}
        self.networks = Networks()
        self.images: dict[str, Mapping[str, str] | None] = {}
        """Labels of images, by ID or by the name in a create event; None: the image is gone."""
        self.images_wanted = False
        """Whether images have to be listed: they changed, or events were missed, since they were."""
        self._unreadable: frozenset[str] = frozenset()
        """Containers that the last list has, and that cannot be read from it."""
        self._nameless = False
        """Whether the last list has a container of which not even the ID can be read."""
        self.epoch = 0
        """The number of events so far. Other threads may read it, to say when they asked."""
        self._touched: dict[str, int] = {}
        self._all_touched = 0
        self._listed = self._listed_before = 0
        """Epochs at which the last two lists were asked for."""
        self._ended: set[str] = set()
        """Containers of which nothing is known but that they died or went since the last list."""
        self._dead: set[str] = set()
        """Containers that died a moment ago: a list may show them as running for some milliseconds more
        (engine 20.10)."""

    def touch(self, container_id: str) -> None:
        """Note that an event told of the container: answers to earlier questions are stale now."""
        self.epoch += 1
        self._touched[container_id] = self.epoch

    def touch_all(self) -> None:
        """Note that events were missed: every answer to an earlier question is stale now."""
        self.images_changed()
        self.epoch += 1
        self._all_touched = self.epoch

    def is_stale(self, subject: str, asked: int) -> bool:
        """Whether an answer that was asked for at epoch `asked` may be older than what is known."""
        return max(self._touched.get(subject, 0), self._all_touched) > asked

    def is_all_stale(self, asked: int) -> bool:
        """Whether a list that was asked for at epoch `asked` says nothing of anybody."""
        return self._all_touched > asked

    def put(self, container: Container) -> None:
        """Take in one container as it is now."""
        before = self.containers.get(container.id)
        if container.id in self._dead:
            # Its addresses may still be allocated: engine 20.10 frees them some 200 ms after the death.
            container = replace(container, running=False)
        elif not container.running:
            container = _without_addresses(container)
        if before is not None:
            container = _with_known_marks(container, before)
        # The object that it was, where it is as it was: comparing one with itself costs next to nothing.
        self.containers[container.id] = before if before == container else container

    def mark_dead(self, container_id: str) -> None:
        """Take in that a container's processes ended; until `may_run` no list is believed to the contrary."""
        if (container := self.containers.get(container_id)) is not None:
            self._dead.add(container_id)
            self.put(container)
        else:
            self._ended.add(container_id)

    def mark_started(self, container_id: str) -> None:
        """Take in that a container was started, at the addresses that it was configured with, if any.

        The engine starts it with those or not at all.
        """
        self.may_run(container_id)
        if (container := self.containers.get(container_id)) is None:
            return
        endpoints = (replace(each, address=each.address or each.requested) for each in container.endpoints)
        started = replace(container, running=True, in_transition=False, endpoints=tuple(endpoints))
        self.containers[container_id] = started

    def attach(self, container_id: str, endpoint: Endpoint) -> None:
        """Take in that the engine has attached a container, at the address that it was asked for.

        Of one that does not run it says so, too, where it was on that network already and nothing was done:
        it has to be looked at.
        """
        if (container := self.containers.get(container_id)) is None:
            return
        others = (each for each in container.endpoints if each.network != endpoint.network)
        now = replace(endpoint, address=endpoint.requested if container.running else None)
        self.put(replace(container, endpoints=(*others, now)))

    def may_run(self, container_id: str) -> None:
        """Believe the lists again on whether a container runs."""
        self._dead.discard(container_id)

    def drop(self, container_id: str) -> None:
        """Forget a container."""
        self.containers.pop(container_id, None)
        self._unreadable -= {container_id}
        self._dead.discard(container_id)
        self._ended.add(container_id)

    @property
    def complete(self) -> bool:
        """Whether every container is known that there is: an unreadable one that is known counts."""
        return not self._nameless and self._unreadable <= self.containers.keys()

    def replace_networks(self, answer: Listed[Network]) -> None:
        """Take in all networks as they are now; one that cannot be read stays as it was last known."""
        listed = {network.id for network in answer.items}
        kept = [
            known
            for known in self.networks
            if known.id not in listed and (known.id in answer.unreadable or answer.nameless is not None)
        ]
        unknown = answer.unreadable.keys() - {network.id for network in kept}
        complete = answer.nameless is None and not unknown
        self.networks = Networks((*answer.items, *kept), complete=complete)

    def replace_containers(self, answer: Listed[Container], asked: int) -> Merged:
        """Take in a full list that was asked for at epoch `asked`.

        Containers that cannot be read stay as they were last known, and so do all that are missing from a
        list that has one without an ID. They are to be looked at, as what the list is too old for.
        """
        listed = {container.id: container for container in answer.items}
        stale = {each for each in listed.keys() | self.containers.keys() if self.is_stale(each, asked)}
        before = self.containers
        self._unreadable, self._nameless = frozenset(answer.unreadable), answer.nameless is not None
        stale |= before.keys() - listed.keys() if self._nameless else answer.unreadable.keys()
        self.containers = {}
        for container_id in listed.keys() | (before.keys() & stale):
            if container_id not in stale:
                self.containers[container_id] = before.get(container_id, listed[container_id])
                self.put(listed[container_id])
            elif container_id in before:
                self.containers[container_id] = before[container_id]
            elif container_id not in self._ended:
                # Nothing newer is known of it yet, and it is not nothing: it may have been running for long.
                self.put(listed[container_id])
        self._ended.clear()
        self._dead &= self.containers.keys()
        # An answer may be older than this list: of the gone, two lists' worth is remembered.
        self._touched = {
            each: epoch
            for each, epoch in self._touched.items()
            if each in self.containers or epoch > self._listed_before or each in (NETWORKS, IMAGES)
        }
        self._listed_before, self._listed = self._listed, asked
        return Merged(frozenset(listed.keys() | before.keys()), frozenset(stale))

    def images_changed(self) -> None:
        """Any image's name may mean another image now."""
        self.touch(IMAGES)
        self.images_wanted = True
        self.images = {image: known for image, known in self.images.items() if image.startswith(IMAGE_ID)}

    def replace_images(self, images: Mapping[str, Mapping[str, str]]) -> None:
        """Take in all images as they are now; of others, those are kept that a container is made from."""
        used = {each.image for each in self.containers.values() if each.image.startswith(IMAGE_ID)}
        kept = {image: known for image, known in self.images.items() if image in used}
        self.images = {**kept, **images}
        self.images_wanted = False

    def put_image(self, image: str, labels: Mapping[str, str] | None) -> None:
        """Take in one image as it is now; None: it is gone."""
        self.images = {**self.images, image: labels}


def _without_addresses(container: Container) -> Container:
    if all(endpoint.address is None for endpoint in container.endpoints):
        return container
    endpoints = tuple(replace(endpoint, address=None) for endpoint in container.endpoints)
    return replace(container, endpoints=endpoints)


def _with_known_marks(container: Container, before: Container) -> Container:
    """`container` with what an earlier inspection or action told of its endpoints' marks."""
    known = {(each.network, each.requested): each for each in before.endpoints if each.ours is not None}

    def marked(endpoint: Endpoint) -> Endpoint:
        same = known.get((endpoint.network, endpoint.requested))
        if endpoint.ours is not None or same is None:
            return endpoint
        return replace(
            endpoint, ours=same.ours, moved=same.moved, for_a_moment=same.for_a_moment, refused=same.refused
        )

    if not known:
        return container
    return replace(container, endpoints=tuple(map(marked, container.endpoints)))
