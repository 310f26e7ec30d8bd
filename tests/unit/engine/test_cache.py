"""Cache: a list that arrives late must not undo newer events."""

from dataclasses import replace

from dockeripv6mapper.engine.cache import Cache
from dockeripv6mapper.engine.listed import Listed
from tests.unit.builders import MON_CONTAINER, container, endpoint, network


def test_an_answer_requested_before_an_event_is_stale() -> None:
    """It may show an older state of the container."""
    cache = Cache()
    asked = cache.epoch
    cache.touch("a")
    assert cache.is_stale("a", asked)
    assert not cache.is_stale("b", asked)
    assert not cache.is_stale("a", cache.epoch)


def test_a_full_list_replaces_containers_without_newer_events() -> None:
    """New containers are added, missing ones are removed."""
    cache = Cache()
    cache.put(container("old"))
    merged = cache.replace_containers(Listed((container("new"),)), cache.epoch)
    assert set(cache.containers) == {"id-of-new"}
    assert merged.changed == {"id-of-old", "id-of-new"}
    assert not merged.stale


def test_a_full_list_does_not_change_containers_with_newer_events() -> None:
    """Events since the request: a start, a destruction and a creation."""
    cache = Cache()
    stopped, destroyed, created = container("started"), container("destroyed"), container("created")
    cache.put(destroyed)
    asked = cache.epoch
    for each in (stopped, destroyed, created):
        cache.touch(each.id)
    cache.put(replace(stopped, running=True))
    cache.drop(destroyed.id)
    cache.put(created)
    merged = cache.replace_containers(Listed((stopped, destroyed)), asked)
    assert {each.name for each in cache.containers.values()} == {"started", "created"}
    assert cache.containers[stopped.id].running
    assert merged.stale == {stopped.id, destroyed.id, created.id}


def test_a_dead_container_stays_dead_until_a_start_event_although_lists_show_it_running() -> None:
    """Engine 20.10 lists it as running for some milliseconds more."""
    cache = Cache()
    running = container("web", running=True)
    cache.put(running)
    cache.mark_dead(running.id)
    cache.put(running)
    assert not cache.containers[running.id].running
    cache.may_run(running.id)
    cache.put(running)
    assert cache.containers[running.id].running


def test_a_container_that_has_just_died_keeps_its_addresses_and_a_stopped_one_does_not() -> None:
    """The addresses that an engine lists for a stopped container are out of date."""
    cache = Cache()
    dying = container("web", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
    cache.put(dying)
    cache.mark_dead(dying.id)
    assert cache.containers[dying.id].endpoints[0].address == MON_CONTAINER
    cache.may_run(dying.id)
    cache.put(replace(dying, running=False))
    assert cache.containers[dying.id].endpoints[0].address is None


def test_an_endpoints_mark_is_kept_across_lists_until_its_address_changes() -> None:
    """A list does not show marks."""
    cache = Cache()
    cache.put(container(endpoints=(endpoint(None, MON_CONTAINER, ours=True),)))
    cache.put(container(endpoints=(endpoint(None, MON_CONTAINER),)))
    assert cache.containers["id-of-mon_container"].endpoints[0].ours is True
    cache.put(container(endpoints=(endpoint(None, None),)))
    assert cache.containers["id-of-mon_container"].endpoints[0].ours is None


def test_an_answer_requested_before_a_destruction_stays_stale_after_a_list() -> None:
    """The list removes old events from the cache."""
    cache = Cache()
    asked = cache.epoch
    cache.touch("id-of-web")
    cache.replace_containers(Listed(), cache.epoch)
    assert cache.is_stale("id-of-web", asked)


def test_a_die_event_of_an_unknown_container_is_ignored() -> None:
    """Its create event was lost, and a later list is right."""
    cache = Cache()
    cache.mark_dead("id-of-web")
    cache.put(container("web", running=True))
    assert cache.containers["id-of-web"].running


def test_unlisted_images_are_kept_only_while_a_container_uses_them() -> None:
    """Otherwise the cache would grow with every image."""
    cache = Cache()
    cache.put(container())
    cache.images = {container().image: {}, "sha256:unused": {}}
    cache.replace_images({"nginx": {}})
    assert set(cache.images) == {container().image, "nginx"}


def test_an_image_change_removes_image_names_but_not_ids() -> None:
    """A name may now refer to another image; an ID cannot."""
    cache = Cache()
    cache.images = {container().image: {}, "nginx": {}}
    cache.images_changed()
    assert set(cache.images) == {container().image}
    assert cache.images_wanted
    cache.replace_images({})
    assert not cache.images_wanted


UNREADABLE_WEB = {"id-of-web": "container id-of-web: it has no 'ImageID'"}


def test_an_unreadable_container_in_a_list_keeps_its_state_and_is_inspected() -> None:
    """It is not counted as removed."""
    cache = Cache()
    cache.put(container("web", running=True))
    merged = cache.replace_containers(Listed((), UNREADABLE_WEB), cache.epoch)
    assert cache.containers["id-of-web"].running
    assert merged.stale == {"id-of-web"}
    assert cache.complete


def test_a_list_with_an_item_without_id_removes_no_container() -> None:
    """The item may be any of the missing containers."""
    cache = Cache()
    cache.put(container("web", running=True))
    merged = cache.replace_containers(Listed((container("db"),), without_id="x"), cache.epoch)
    assert set(cache.containers) == {"id-of-web", "id-of-db"}
    assert merged.stale == {"id-of-web"}
    assert not cache.complete
    cache.replace_containers(Listed((container("db"),)), cache.epoch)
    assert set(cache.containers) == {"id-of-db"}
    assert cache.complete


def test_the_cache_is_incomplete_until_a_new_unreadable_container_was_inspected() -> None:
    """Or was destroyed."""
    cache = Cache()
    merged = cache.replace_containers(Listed((), UNREADABLE_WEB), cache.epoch)
    assert merged.stale == {"id-of-web"}
    assert not cache.complete
    cache.put(container("web"))
    assert cache.complete
    cache.drop("id-of-web")
    assert cache.complete


def test_an_unreadable_network_in_a_list_keeps_its_state() -> None:
    """A new unreadable network makes the list incomplete, and so does an item without an ID."""
    known, other = network(), network("other")
    fault = {known.id: "it has no 'IPAM'"}
    cache = Cache()
    cache.replace_networks(Listed((known, other)))
    cache.replace_networks(Listed((), fault))
    assert list(cache.networks) == [known]
    assert cache.networks.complete
    cache.replace_networks(Listed((other,), without_id="x"))
    assert {each.id for each in cache.networks} == {known.id, other.id}
    assert not cache.networks.complete
    cache.replace_networks(Listed((other,), {"another": "it has no 'IPAM'"}))
    assert list(cache.networks) == [other]
    assert not cache.networks.complete
    cache.replace_networks(Listed((other,)))
    assert cache.networks.complete


def test_images_are_listed_after_a_change_or_missed_events() -> None:
    """And not again before the next change."""
    cache = Cache()
    for happens in (cache.images_changed, cache.touch_all):
        happens()
        assert cache.images_wanted
        cache.replace_images({})
        assert not cache.images_wanted
    cache.touch("id-of-web")
    assert not cache.images_wanted
