"""Lists that arrive late must not undo what events have told since."""

from dataclasses import replace

from dockeripv6mapper.engine.inventory import Inventory
from tests.unit.builders import MON_CONTAINER, container, endpoint


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
    merged = inventory.replace_containers([container("new")], inventory.epoch)
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
    merged = inventory.replace_containers([stopped, destroyed], asked)
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
    inventory.replace_containers([], inventory.epoch)
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
    assert inventory.images_as_of != inventory.image_changes
    inventory.replace_images({})
    assert inventory.images_as_of == inventory.image_changes
