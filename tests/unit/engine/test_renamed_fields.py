"""Answers of engine 29.7 in which one field was removed or renamed, as a later engine might send them."""

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from dockeripv6mapper.engine.cache import Cache
from dockeripv6mapper.engine.images import image_from_list
from dockeripv6mapper.engine.listed import read_list
from dockeripv6mapper.engine.translate import (
    container_from_inspection,
    container_from_list,
    network_from_list,
)
from dockeripv6mapper.mapping.networks import Networks
from dockeripv6mapper.model import Container

FIXTURES = Path(__file__).parent / "fixtures"
API = (1, 51)

OPTIONAL_FIELDS = ("HostConfig.NetworkMode", "IPAMConfig.IPv6Address", "Config.Gateway")
"""Fields that the engine omits where they are empty: they may be missing."""


def answer(name: str) -> Any:  # noqa: ANN401 - JSON
    """A recorded answer of the engine."""
    return json.loads((FIXTURES / f"{name}.json").read_text())


def paths(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each field of an answer."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield (*path, key)
            yield from paths(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from paths(each, (*path, index))


def without_field(name: str, path: tuple[Any, ...], *, renamed: bool) -> Any:  # noqa: ANN401 - JSON
    """The answer with one field removed or renamed."""
    copy = deepcopy(answer(name))
    at = copy
    for step in path[:-1]:
        at = at[step]
    value = at.pop(path[-1])
    if renamed:
        at[f"{path[-1]}Renamed"] = value
    return copy


def dotted(path: tuple[Any, ...]) -> str:
    """A path as text: `0.HostConfig.NetworkMode`."""
    return ".".join(map(str, path))


def each_field(name: str) -> pytest.MarkDecorator:
    """Each field of an answer, except the user's own below labels and options."""
    fields = [each for each in paths(answer(name)) if not {"Labels", "Options"} & set(each[:-1])]
    return pytest.mark.parametrize("path", fields, ids=map(dotted, fields))


def cache_of(containers: Any, networks: Any) -> Cache:  # noqa: ANN401 - JSON
    """A cache that received the complete lists first, then these."""
    cache = Cache()
    for listed, on in ((answer("containers"), answer("networks")), (containers, networks)):
        cache.replace_networks(read_list(on, "network", lambda item: network_from_list(item, API)))
        cache.replace_containers(read_list(listed, "container", container_from_list), cache.epoch)
    return cache


def endpoints_with_networks(container: Container, networks: Networks) -> list[tuple[object, ...]]:
    """The facts of which the container's proxy entries are made."""
    return [
        (container.running, dict(container.labels), each.address, networks.of(each))
        for each in container.endpoints
        if each.address is not None
    ]


def facts_by_container(cache: Cache) -> dict[str, list[tuple[object, ...]]]:
    """The same of all containers."""
    return {each.id: endpoints_with_networks(each, cache.networks) for each in cache.containers.values()}


@pytest.mark.parametrize("renamed", [False, True], ids=["removed", "renamed"])
@each_field("containers")
def test_a_container_stays_known_without_any_one_of_its_fields(
    path: tuple[Any, ...], *, renamed: bool
) -> None:
    """One renamed field must not remove every address of a host."""
    before = facts_by_container(cache_of(answer("containers"), answer("networks")))
    after = facts_by_container(
        cache_of(without_field("containers", path, renamed=renamed), answer("networks"))
    )
    if path[-2:-1] == ("Networks",):
        # The key is not a field but the network's name: the container is on another network, or on none.
        assert after.keys() == before.keys()
    else:
        assert after == before


@pytest.mark.parametrize("renamed", [False, True], ids=["removed", "renamed"])
@each_field("networks")
def test_a_network_stays_known_without_any_one_of_its_fields(path: tuple[Any, ...], *, renamed: bool) -> None:
    """The proxy entries of its containers depend on it."""
    before = facts_by_container(cache_of(answer("containers"), answer("networks")))
    after = facts_by_container(
        cache_of(answer("containers"), without_field("networks", path, renamed=renamed))
    )
    assert after == before


@pytest.mark.parametrize("name", ["inspect-running", "inspect-created-connected", "inspect-mac-stopped"])
@pytest.mark.parametrize("renamed", [False, True], ids=["removed", "renamed"])
def test_an_inspection_without_a_field_is_unreadable_or_means_the_same(name: str, *, renamed: bool) -> None:
    """It never shows the container in another state."""
    complete = container_from_inspection(answer(name))
    readable = 0
    for path in paths(answer(name)):
        if "Labels" in path[:-1] or "DriverOpts" in path[:-1] or path[-2:-1] == ("Networks",):
            continue  # below these, the keys are the user's or the mapper's own
        if dotted(path).endswith(OPTIONAL_FIELDS):
            continue
        try:
            container = container_from_inspection(without_field(name, path, renamed=renamed))
        except (LookupError, TypeError, ValueError, AttributeError):
            continue
        readable += 1
        assert container == complete, dotted(path)
    assert readable


@pytest.mark.parametrize("renamed", [False, True], ids=["removed", "renamed"])
def test_an_image_with_missing_labels_is_unreadable_not_unlabelled(*, renamed: bool) -> None:
    """Else its labels would count as the user's, and it could expose its containers."""
    images = without_field("images", (0, "Labels"), renamed=renamed)
    listed = read_list(images, "image", lambda item: image_from_list(item, ("linux", "amd64")))
    assert not listed.items
    assert "it has no 'Labels'" not in listed.faults  # keyed by ID
    assert [text for text in listed.faults.values() if text.endswith("it has no Labels")]


def test_the_fault_of_an_unreadable_item_names_its_id_and_the_field() -> None:
    """In one sentence; the other items are read."""
    listed = read_list(
        without_field("containers", (0, "ImageID"), renamed=False), "container", container_from_list
    )
    (container_id,) = listed.unreadable
    assert len(container_id) == 64
    fault = (
        f"the engine's list of containers: container {container_id[:12]} cannot be read: it has no ImageID"
    )
    assert listed.unreadable[container_id] == fault
    assert len(listed.items) == len(answer("containers")) - 1


@pytest.mark.parametrize("item", [5, None, [], {}, {"Id": 5}, {"Id": ""}])
def test_items_without_an_id_have_one_fault_together(item: object) -> None:
    """Each may be any container."""
    listed = read_list([item, item], "container", container_from_list)
    assert not listed.items
    assert not listed.unreadable
    assert listed.without_id is not None
    assert list(listed.faults) == [""]


@pytest.mark.parametrize("wrong", [{}, None, "text", 5])
def test_an_answer_that_is_not_a_list_is_an_error_not_an_empty_list(wrong: object) -> None:
    """An empty list would remove every address of the host."""
    with pytest.raises(TypeError):
        read_list(wrong, "container", container_from_list)


def test_hostile_text_in_an_item_stays_on_one_line() -> None:
    """Text in the engine's answer may come from a user."""
    hostile = {**answer("containers")[0], "Id": "x\n\x1b[31m" * 100, "State": "y\n\x1b[31m" * 100}
    (text,) = read_list([hostile], "container", container_from_list).faults.values()
    assert text.isprintable()
    assert len(text) < 200
