"""The labels of images. Items with several platforms have the fields that moby's API documents."""

import json
from pathlib import Path
from typing import Any

import pytest

from dockeripv6mapper.engine.images import (
    image_from_list,
    image_labels_from_inspection,
    inspection_parameters,
)

HOST = ("linux", "amd64")
LABELS = {"ipv6.mapper.network": "he_ipv6"}
INDEX_DIGEST = "65cf3f846ede30f296a414b5a149c339aaab3027aa2133028f720d5ead6d125b"
INDEX = "application/vnd.oci.image.index.v1+json"
API = (1, 51)


def manifest(architecture: str, variant: str = "", *, available: bool = True) -> dict[str, Any]:
    """Return the manifest of a platform; `available`: it was pulled."""
    platform = {"os": "linux", "architecture": architecture, **({"variant": variant} if variant else {})}
    return {"Kind": "image", "Available": available, "ImageData": {"Platform": platform}}


AMD, ARM = manifest("amd64"), manifest("arm64", "v8")
NOT_PULLED = {each: manifest(each, available=False) for each in ("amd64", "arm64")}
ATTESTATION = {"Kind": "attestation", "Available": True}


def image(*manifests: dict[str, Any]) -> dict[str, Any]:
    """Return an item of a list; it shows the labels of the host's platform."""
    descriptor = {"mediaType": INDEX}
    return {
        "Id": "sha256:1",
        "RepoTags": ["web:1"],
        "Labels": LABELS,
        "Descriptor": descriptor,
        "Manifests": list(manifests),
    }


def test_an_image_is_listed_by_its_id_and_by_each_of_its_names() -> None:
    """With and without the tag `latest`. Engine 20.10 lists a missing name as `<none>`."""
    named = {"Id": "1", "RepoTags": ["nginx:latest", "host:5000/web:1"], "Labels": {**LABELS, "other": "x"}}
    names = ("1", "nginx:latest", "nginx", "host:5000/web:1")
    assert image_from_list(named, HOST) == dict.fromkeys(names, LABELS)
    untagged = {"Id": "2", "RepoTags": ["<none>:<none>"], "RepoDigests": ["web@sha256:3"], "Labels": None}
    assert image_from_list(untagged, HOST) == {"2": {}, "web@sha256:3": {}}


def test_an_image_of_one_manifest_is_listed_as_engine_29_prints_it() -> None:
    """Recorded from engine 29.7 with the containerd store."""
    (item,) = json.loads((Path(__file__).parent / "fixtures" / "images.json").read_text())
    digest = "sha256:a00c9f9ea8fa61c115b5936a3269a840369c041b5c9d10e8736120a9a1959fde"
    assert image_from_list(item, HOST) == {digest: {}, "busybox:lab": {}, f"busybox@{digest}": {}}


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("images-two-platforms", [f"sha256:{INDEX_DIGEST} linux/amd64"]),
        ("images-other-platform", []),
    ],
)
def test_an_image_with_platforms_is_listed_as_engine_28_prints_it(name: str, keys: list[str]) -> None:
    """Recorded from 28.5 with the containerd store. Of the second, only linux/arm64 was loaded."""
    (item,) = json.loads((Path(__file__).parent / "fixtures" / f"{name}.json").read_text())
    assert list(image_from_list(item, HOST)) == keys


@pytest.mark.parametrize(
    ("manifests", "keys"),
    [
        ([AMD, NOT_PULLED["arm64"], ATTESTATION], ["sha256:1 linux/amd64", "web:1"]),
        ([AMD, ARM], ["sha256:1 linux/amd64"]),
        ([NOT_PULLED["amd64"], ARM], []),
        ([ARM], []),
        ([AMD, manifest("amd64", "v3")], []),
        ([], []),
    ],
    ids=["host's alone", "two", "host's not pulled", "another's alone", "two variants", "not listed"],
)
def test_listed_labels_count_only_for_the_platform_whose_labels_they_are(
    manifests: list[dict[str, Any]], keys: list[str]
) -> None:
    """An engine lists those of the host's platform, and none where that was not pulled."""
    assert image_from_list(image(*manifests), HOST) == dict.fromkeys(keys, LABELS)


def test_an_image_is_inspected_for_the_platform_of_its_container() -> None:
    """Where the API takes one; an earlier API shows at least the platforms, or is not asked for them."""
    platform = {"os": "linux", "architecture": "arm64", "variant": "v8"}
    assert inspection_parameters("linux/arm64/v8", API) == {"platform": json.dumps(platform)}
    assert inspection_parameters("linux/arm64/v8", (1, 48)) == {"manifests": "1"}
    assert inspection_parameters("unknown", API) == {"manifests": "1"}
    assert inspection_parameters("", API) == {"manifests": "1"}
    assert inspection_parameters("", (1, 41)) == {}


@pytest.mark.parametrize(
    ("platform", "api", "manifests", "told"),
    [
        ("linux/arm64/v8", API, [AMD, ARM], True),
        ("linux/arm64/v8", (1, 48), [AMD, ARM], False),
        ("linux/amd64", (1, 48), [AMD, ARM], True),
        ("unknown", API, [AMD, NOT_PULLED["arm64"]], False),
        ("", API, [AMD, NOT_PULLED["arm64"]], True),
        ("", API, [AMD, ARM], False),
        ("", API, [NOT_PULLED["amd64"], ARM], False),
    ],
)
def test_inspected_labels_count_only_for_their_platform(
    platform: str, api: tuple[int, int], manifests: list[dict[str, Any]], *, told: bool
) -> None:
    """An answer to a request for one platform shows that one's; any other answer the host's."""
    inspected = {**image(*manifests), "Config": {"Labels": LABELS}}
    assert image_labels_from_inspection(inspected, platform, api, HOST) == (LABELS if told else None)


def test_an_image_without_labels_is_inspected_as_engine_29_prints_it() -> None:
    """It omits the field."""
    assert image_labels_from_inspection({"Config": {"Env": ["PATH=/bin"]}}, "", API, HOST) == {}
