"""Lists that arrive late must not undo what events have told since."""

from dataclasses import replace

from dockeripv6mapper.engine.cache import Inventory
from dockeripv6mapper.engine.listed import Listed
from tests.unit.builders import MON_CONTAINER, container, endpoint, network


def test_an_answer_from_before_an_event_is_stale() -> None:
    """It may show the container as it was."""
    inventory = Inventory()
    asked = inventory.epoch
    inventory.touch("a")
    assert inventory.is_stale("a", asked)
    assert not inventory.is_stale("b", asked)
    assert not inventory.is_stale("a", inventory.epoch)


def test_a_full_list_replaces_what_no_event_has_touched() -> None:
    """New ones come, old ones go."""
    inventory = Inventory()
    inventory.put(container("old"))
    merged = inventory.replace_containers(Listed((container("new"),)), inventory.epoch)
    assert set(inventory.containers) == {"id-of-new"}
    assert merged.changed == {"id-of-old", "id-of-new"}
    assert not merged.stale


def test_a_full_list_leaves_alone_what_an_event_touched_since() -> None:
    """What started meanwhile stays started, what was destroyed stays away, what was created stays."""
    inventory = Inventory()
    stopped, destroyed, created = container("started"), container("destroyed"), container("created")
    inventory.put(destroyed)
    asked = inventory.epoch
    for each in (stopped, destroyed, created):
        inventory.touch(each.id)
    inventory.put(replace(stopped, running=True))
    inventory.drop(destroyed.id)
    inventory.put(created)
    merged = inventory.replace_containers(Listed((stopped, destroyed)), asked)
    assert {each.name for each in inventory.containers.values()} == {"started", "created"}
    assert inventory.containers[stopped.id].running
    assert merged.stale == {stopped.id, destroyed.id, created.id}


def test_a_container_that_died_is_dead_whatever_the_lists_say() -> None:
    """Engine 20.10 lists it as running for some milliseconds more; a start is believed."""
    inventory = Inventory()
    running = container("web", running=True)
    inventory.put(running)
    inventory.mark_dead(running.id)
    inventory.put(running)
    assert not inventory.containers[running.id].running
    inventory.may_run(running.id)
    inventory.put(running)
    assert inventory.containers[running.id].running


def test_addresses_are_held_for_a_moment_after_a_death_and_not_by_the_stopped() -> None:
    """What an engine lists of a stopped container's addresses is out of date."""
    inventory = Inventory()
    dying = container("web", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
    inventory.put(dying)
    inventory.mark_dead(dying.id)
    assert inventory.containers[dying.id].endpoints[0].address == MON_CONTAINER
    inventory.may_run(dying.id)
    inventory.put(replace(dying, running=False))
    assert inventory.containers[dying.id].endpoints[0].address is None


def test_what_is_known_of_an_endpoints_mark_outlives_a_list() -> None:
    """A list does not show marks; a mark is forgotten with the address that it was about."""
    inventory = Inventory()
    inventory.put(container(endpoints=(endpoint(None, MON_CONTAINER, ours=True),)))
    inventory.put(container(endpoints=(endpoint(None, MON_CONTAINER),)))
    assert inventory.containers["id-of-mon_container"].endpoints[0].ours is True
    inventory.put(container(endpoints=(endpoint(None, None),)))
    assert inventory.containers["id-of-mon_container"].endpoints[0].ours is None


def test_a_late_answer_does_not_bring_back_what_was_destroyed() -> None:
    """Also where a list came in between, which forgets old events."""
    inventory = Inventory()
    asked = inventory.epoch
    inventory.touch("id-of-web")
    inventory.replace_containers(Listed(), inventory.epoch)
    assert inventory.is_stale("id-of-web", asked)


def test_a_death_of_somebody_unknown_is_not_remembered() -> None:
    """Its create event was lost; what is listed later is believed."""
    inventory = Inventory()
    inventory.mark_dead("id-of-web")
    inventory.put(container("web", running=True))
    assert inventory.containers["id-of-web"].running


def test_of_images_that_are_not_listed_only_those_in_use_are_kept() -> None:
    """The cache does not grow with every image that ever was."""
    inventory = Inventory()
    inventory.put(container())
    inventory.images = {container().image: {}, "sha256:unused": {}}
    inventory.replace_images({"nginx": {}})
    assert set(inventory.images) == {container().image, "nginx"}


def test_when_images_change_their_names_are_forgotten_at_once() -> None:
    """A name may mean another image now; an ID cannot."""
    inventory = Inventory()
    inventory.images = {container().image: {}, "nginx": {}}
    inventory.images_changed()
    assert set(inventory.images) == {container().image}
    assert inventory.images_wanted
    inventory.replace_images({})
    assert not inventory.images_wanted


UNREADABLE_WEB = {"id-of-web": "container id-of-web: it has no 'ImageID'"}


def test_a_container_that_cannot_be_read_stays_as_it_was_and_is_looked_at() -> None:
    """It is unknown, and not gone."""
    inventory = Inventory()
    inventory.put(container("web", running=True))
    merged = inventory.replace_containers(Listed((), UNREADABLE_WEB), inventory.epoch)
    assert inventory.containers["id-of-web"].running
    assert merged.stale == {"id-of-web"}
    assert inventory.complete


def test_from_a_list_with_a_nameless_item_nothing_is_taken_to_be_gone() -> None:
    """The item may be any of those that are missing."""
    inventory = Inventory()
    inventory.put(container("web", running=True))
    merged = inventory.replace_containers(Listed((container("db"),), nameless="x"), inventory.epoch)
    assert set(inventory.containers) == {"id-of-web", "id-of-db"}
    assert merged.stale == {"id-of-web"}
    assert not inventory.complete
    inventory.replace_containers(Listed((container("db"),)), inventory.epoch)
    assert set(inventory.containers) == {"id-of-db"}
    assert inventory.complete


def test_what_is_unknown_and_unreadable_makes_the_picture_incomplete_until_it_is_inspected() -> None:
    """Or until it is known to be gone."""
    inventory = Inventory()
    merged = inventory.replace_containers(Listed((), UNREADABLE_WEB), inventory.epoch)
    assert merged.stale == {"id-of-web"}
    assert not inventory.complete
    inventory.put(container("web"))
    assert inventory.complete
    inventory.drop("id-of-web")
    assert inventory.complete


def test_a_network_that_cannot_be_read_stays_as_it_was() -> None:
    """One of which nothing is known makes the list incomplete, and so does one without an ID."""
    known, other = network(), network("other")
    fault = {known.id: "it has no 'IPAM'"}
    inventory = Inventory()
    inventory.replace_networks(Listed((known, other)))
    inventory.replace_networks(Listed((), fault))
    assert list(inventory.networks) == [known]
    assert inventory.networks.complete
    inventory.replace_networks(Listed((other,), nameless="x"))
    assert {each.id for each in inventory.networks} == {known.id, other.id}
    assert not inventory.networks.complete
    inventory.replace_networks(Listed((other,), {"another": "it has no 'IPAM'"}))
    assert list(inventory.networks) == [other]
    assert not inventory.networks.complete
    inventory.replace_networks(Listed((other,)))
    assert inventory.networks.complete


def test_images_are_to_be_listed_when_they_change_or_events_were_missed() -> None:
    """And not again before that."""
    inventory = Inventory()
    for happens in (inventory.images_changed, inventory.touch_all):
        happens()
        assert inventory.images_wanted
        inventory.replace_images({})
        assert not inventory.images_wanted
    inventory.touch("id-of-web")
    assert not inventory.images_wanted
