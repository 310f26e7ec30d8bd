"""Answers of engine 29.7 in which one field was removed or renamed, as a later engine might send them."""

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from dockeripv6mapper.engine.cache import Cache
from dockeripv6mapper.engine.listed import read_list
from dockeripv6mapper.engine.translate import (
    container_from_inspection,
    container_from_list,
    image_from_list,
    network_from_list,
)
from dockeripv6mapper.mapping.networks import Networks
from dockeripv6mapper.model import Container, Network

FIXTURES = Path(__file__).parent / "fixtures"
API = (1, 51)

LEFT_OUT_BY_ENGINES = ("HostConfig.NetworkMode", "IPAMConfig.IPv6Address", "Config.Gateway")
"""Fields of which the engine sends nothing where there is nothing: they may be missing."""


def answer(name: str) -> Any:  # noqa: ANN401 - JSON
    """What the engine answered."""
    return json.loads((FIXTURES / f"{name}.json").read_text())


def paths(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where each field of an answer stands."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield (*path, key)
            yield from paths(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from paths(each, (*path, index))


def spoilt(name: str, path: tuple[Any, ...], *, renamed: bool) -> Any:  # noqa: ANN401 - JSON
    """The answer with one field removed, or called otherwise."""
    copy = deepcopy(answer(name))
    at = copy
    for step in path[:-1]:
        at = at[step]
    value = at.pop(path[-1])
    if renamed:
        at[f"{path[-1]}Renamed"] = value
    return copy


def labelled(path: tuple[Any, ...]) -> str:
    """A field as the test's name shows it."""
    return ".".join(map(str, path))


def each_field(name: str) -> pytest.MarkDecorator:
    """Each field of an answer; what is below labels and options is the user's."""
    found = [each for each in paths(answer(name)) if not {"Labels", "Options"} & set(each[:-1])]
    return pytest.mark.parametrize("path", found, ids=map(labelled, found))


def known(containers: Any, networks: Any) -> Cache:  # noqa: ANN401 - JSON
    """An cache that was told these lists after those that are whole."""
    cache = Cache()
    for listed, on in ((answer("containers"), answer("networks")), (containers, networks)):
        cache.replace_networks(read_list(on, "network", lambda item: network_from_list(item, API)))
        cache.replace_containers(read_list(listed, "container", container_from_list), cache.epoch)
    return cache


def as_far_as_it_is_reached(container: Container, networks: Networks) -> list[tuple[object, ...]]:
    """What the container's proxy entries follow from."""
    return [
        (container.running, dict(container.labels), each.address, networks.of(each))
        for each in container.endpoints
        if each.address is not None
    ]


def reached(cache: Cache) -> dict[str, list[tuple[object, ...]]]:
    """The same of all containers."""
    return {each.id: as_far_as_it_is_reached(each, cache.networks) for each in cache.containers.values()}


@pytest.mark.parametrize("renamed", [False, True], ids=["removed", "renamed"])
@each_field("containers")
def test_a_container_is_kept_whatever_field_of_its_is_missing(
    path: tuple[Any, ...], *, renamed: bool
) -> None:
    """One renamed field must not take every address of a host down."""
    before = reached(known(answer("containers"), answer("networks")))
    after = reached(known(spoilt("containers", path, renamed=renamed), answer("networks")))
    if path[-2:-1] == ("Networks",):
        # The key is not a field but the network's name: the container is on another network, or on none.
        assert after.keys() == before.keys()
    else:
        assert after == before


@pytest.mark.parametrize("renamed", [False, True], ids=["removed", "renamed"])
@each_field("networks")
def test_a_network_is_kept_whatever_field_of_its_is_missing(path: tuple[Any, ...], *, renamed: bool) -> None:
    """The containers on it are reached through it."""
    before = reached(known(answer("containers"), answer("networks")))
    assert reached(known(answer("containers"), spoilt("networks", path, renamed=renamed))) == before


@pytest.mark.parametrize("name", ["inspect-running", "inspect-created-connected", "inspect-mac-stopped"])
@pytest.mark.parametrize("renamed", [False, True], ids=["removed", "renamed"])
def test_an_inspection_that_lacks_a_field_is_unreadable_or_says_the_same(name: str, *, renamed: bool) -> None:
    """It is never taken for another state of the container."""
    whole = container_from_inspection(answer(name))
    read = 0
    for path in paths(answer(name)):
        if "Labels" in path[:-1] or "DriverOpts" in path[:-1] or path[-2:-1] == ("Networks",):
            continue  # what is below is the user's, or the mapper's own
        if labelled(path).endswith(LEFT_OUT_BY_ENGINES):
            continue
        try:
            found = container_from_inspection(spoilt(name, path, renamed=renamed))
        except (LookupError, TypeError, ValueError, AttributeError):
            continue
        read += 1
        assert found == whole, labelled(path)
    assert read


@pytest.mark.parametrize("renamed", [False, True], ids=["removed", "renamed"])
def test_an_image_whose_labels_are_missing_is_not_taken_for_one_without(*, renamed: bool) -> None:
    """Its labels would count as its user's, and it could expose itself."""
    listed = read_list(spoilt("images", (0, "Labels"), renamed=renamed), "image", image_from_list)
    assert not listed.items
    assert "it has no 'Labels'" not in listed.faults  # keyed by ID
    assert [text for text in listed.faults.values() if text.endswith("it has no Labels")]


def test_what_cannot_be_read_is_told_with_its_id_and_the_field() -> None:
    """In one line, for people."""
    listed = read_list(spoilt("containers", (0, "ImageID"), renamed=False), "container", container_from_list)
    (container_id,) = listed.unreadable
    assert len(container_id) == 64
    said = f"the engine's list of containers: container {container_id[:12]} cannot be read: it has no ImageID"
    assert listed.unreadable[container_id] == said
    assert len(listed.items) == len(answer("containers")) - 1


@pytest.mark.parametrize("item", [5, None, [], {}, {"Id": 5}, {"Id": ""}])
def test_an_item_without_an_id_is_told_once(item: object) -> None:
    """It may be any container."""
    listed = read_list([item, item], "container", container_from_list)
    assert not listed.items
    assert not listed.unreadable
    assert listed.nameless is not None
    assert list(listed.faults) == [""]


@pytest.mark.parametrize("what", [{}, None, "text", 5])
def test_an_answer_that_is_no_list_is_not_an_empty_one(what: object) -> None:
    """An empty world would take everything down."""
    with pytest.raises(TypeError):
        read_list(what, "container", container_from_list)


def test_hostile_text_in_an_item_stays_on_one_line() -> None:
    """The engine's text may come from a user."""
    hostile = {**answer("containers")[0], "Id": "x\n\x1b[31m" * 100, "State": "y\n\x1b[31m" * 100}
    (text,) = read_list([hostile], "container", container_from_list).faults.values()
    assert text.isprintable()
    assert len(text) < 200


def network(item: dict[str, Any]) -> Network:
    """The network as it is read."""
    return network_from_list(item, API)
