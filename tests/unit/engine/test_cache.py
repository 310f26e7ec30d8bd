"""Lists that arrive late must not undo what events have told since."""

from dataclasses import replace

from dockeripv6mapper.engine.cache import Cache
from dockeripv6mapper.engine.listed import Listed
from tests.unit.builders import MON_CONTAINER, container, endpoint, network


def test_an_answer_from_before_an_event_is_stale() -> None:
    """It may show the container as it was."""
    cache = Cache()
    asked = cache.epoch
    cache.touch("a")
    assert cache.is_stale("a", asked)
    assert not cache.is_stale("b", asked)
    assert not cache.is_stale("a", cache.epoch)


def test_a_full_list_replaces_what_no_event_has_touched() -> None:
    """New ones come, old ones go."""
    cache = Cache()
    cache.put(container("old"))
    merged = cache.replace_containers(Listed((container("new"),)), cache.epoch)
    assert set(cache.containers) == {"id-of-new"}
    assert merged.changed == {"id-of-old", "id-of-new"}
    assert not merged.stale


def test_a_full_list_leaves_alone_what_an_event_touched_since() -> None:
    """What started meanwhile stays started, what was destroyed stays away, what was created stays."""
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


def test_a_container_that_died_is_dead_whatever_the_lists_say() -> None:
    """Engine 20.10 lists it as running for some milliseconds more; a start is believed."""
    cache = Cache()
    running = container("web", running=True)
    cache.put(running)
    cache.mark_dead(running.id)
    cache.put(running)
    assert not cache.containers[running.id].running
    cache.may_run(running.id)
    cache.put(running)
    assert cache.containers[running.id].running


def test_addresses_are_held_for_a_moment_after_a_death_and_not_by_the_stopped() -> None:
    """What an engine lists of a stopped container's addresses is out of date."""
    cache = Cache()
    dying = container("web", running=True, endpoints=(endpoint(MON_CONTAINER, MON_CONTAINER),))
    cache.put(dying)
    cache.mark_dead(dying.id)
    assert cache.containers[dying.id].endpoints[0].address == MON_CONTAINER
    cache.may_run(dying.id)
    cache.put(replace(dying, running=False))
    assert cache.containers[dying.id].endpoints[0].address is None


def test_what_is_known_of_an_endpoints_mark_outlives_a_list() -> None:
    """A list does not show marks; a mark is forgotten with the address that it was about."""
    cache = Cache()
    cache.put(container(endpoints=(endpoint(None, MON_CONTAINER, ours=True),)))
    cache.put(container(endpoints=(endpoint(None, MON_CONTAINER),)))
    assert cache.containers["id-of-mon_container"].endpoints[0].ours is True
    cache.put(container(endpoints=(endpoint(None, None),)))
    assert cache.containers["id-of-mon_container"].endpoints[0].ours is None


def test_a_late_answer_does_not_bring_back_what_was_destroyed() -> None:
    """Also where a list came in between, which forgets old events."""
    cache = Cache()
    asked = cache.epoch
    cache.touch("id-of-web")
    cache.replace_containers(Listed(), cache.epoch)
    assert cache.is_stale("id-of-web", asked)


def test_a_death_of_somebody_unknown_is_not_remembered() -> None:
    """Its create event was lost; what is listed later is believed."""
    cache = Cache()
    cache.mark_dead("id-of-web")
    cache.put(container("web", running=True))
    assert cache.containers["id-of-web"].running


def test_of_images_that_are_not_listed_only_those_in_use_are_kept() -> None:
    """The cache does not grow with every image that ever was."""
    cache = Cache()
    cache.put(container())
    cache.images = {container().image: {}, "sha256:unused": {}}
    cache.replace_images({"nginx": {}})
    assert set(cache.images) == {container().image, "nginx"}


def test_when_images_change_their_names_are_forgotten_at_once() -> None:
    """A name may mean another image now; an ID cannot."""
    cache = Cache()
    cache.images = {container().image: {}, "nginx": {}}
    cache.images_changed()
    assert set(cache.images) == {container().image}
    assert cache.images_wanted
    cache.replace_images({})
    assert not cache.images_wanted


UNREADABLE_WEB = {"id-of-web": "container id-of-web: it has no 'ImageID'"}


def test_a_container_that_cannot_be_read_stays_as_it_was_and_is_looked_at() -> None:
    """It is unknown, and not gone."""
    cache = Cache()
    cache.put(container("web", running=True))
    merged = cache.replace_containers(Listed((), UNREADABLE_WEB), cache.epoch)
    assert cache.containers["id-of-web"].running
    assert merged.stale == {"id-of-web"}
    assert cache.complete


def test_from_a_list_with_a_nameless_item_nothing_is_taken_to_be_gone() -> None:
    """The item may be any of those that are missing."""
    cache = Cache()
    cache.put(container("web", running=True))
    merged = cache.replace_containers(Listed((container("db"),), nameless="x"), cache.epoch)
    assert set(cache.containers) == {"id-of-web", "id-of-db"}
    assert merged.stale == {"id-of-web"}
    assert not cache.complete
    cache.replace_containers(Listed((container("db"),)), cache.epoch)
    assert set(cache.containers) == {"id-of-db"}
    assert cache.complete


def test_what_is_unknown_and_unreadable_makes_the_picture_incomplete_until_it_is_inspected() -> None:
    """Or until it is known to be gone."""
    cache = Cache()
    merged = cache.replace_containers(Listed((), UNREADABLE_WEB), cache.epoch)
    assert merged.stale == {"id-of-web"}
    assert not cache.complete
    cache.put(container("web"))
    assert cache.complete
    cache.drop("id-of-web")
    assert cache.complete


def test_a_network_that_cannot_be_read_stays_as_it_was() -> None:
    """One of which nothing is known makes the list incomplete, and so does one without an ID."""
    known, other = network(), network("other")
    fault = {known.id: "it has no 'IPAM'"}
    cache = Cache()
    cache.replace_networks(Listed((known, other)))
    cache.replace_networks(Listed((), fault))
    assert list(cache.networks) == [known]
    assert cache.networks.complete
    cache.replace_networks(Listed((other,), nameless="x"))
    assert {each.id for each in cache.networks} == {known.id, other.id}
    assert not cache.networks.complete
    cache.replace_networks(Listed((other,), {"another": "it has no 'IPAM'"}))
    assert list(cache.networks) == [other]
    assert not cache.networks.complete
    cache.replace_networks(Listed((other,)))
    assert cache.networks.complete


def test_images_are_to_be_listed_when_they_change_or_events_were_missed() -> None:
    """And not again before that."""
    cache = Cache()
    for happens in (cache.images_changed, cache.touch_all):
        happens()
        assert cache.images_wanted
        cache.replace_images({})
        assert not cache.images_wanted
    cache.touch("id-of-web")
    assert not cache.images_wanted
