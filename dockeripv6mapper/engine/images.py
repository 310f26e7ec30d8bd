"""Images: their labels, from lists and inspections. Pure.

With the containerd store, which engine 29 uses by default, one image may have several platforms, each with
labels of its own. A list shows the labels of the host's platform. If that platform was not pulled, it shows
no labels, although the image has some for other platforms. So labels are taken from a list only where it also
shows that they are those of all containers of the image; other images are inspected for one platform, when a
container uses it.
"""

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from dockeripv6mapper.engine.translate import UNKNOWN_PLATFORM, platform_text, relevant_labels

Json = Mapping[str, Any]

Labels: TypeAlias = dict[str, str]
Platform: TypeAlias = tuple[str, str]
"""Operating system and architecture: `("linux", "amd64")`."""

SINGLE = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
"""Media types of an image with one platform (OCI image specification; Docker's own, schema 2)."""
LISTS_MANIFESTS = (1, 47)
"""API whose list of images shows the platforms of each one."""
INSPECTS_MANIFESTS = (1, 48)
"""The same of an inspection."""
INSPECTS_PLATFORM = (1, 49)
"""API whose inspection takes a platform."""

LATEST = ":latest"
NO_NAME = "<none>"
"""Placeholder of the engine for an image's missing name."""


def image_from_list(item: Json, host: Platform) -> dict[str, Labels]:
    """An item of `GET /images/json`: the relevant labels, by the image's key and by each of its names.

    An image with the tag `latest` is listed with and without it. Other spellings of a name, such as
    `docker.io/` in front, are not listed. A missing `Labels` is an error: the image may have labels, and they
    would count as the user's, so that its containers could open ports.
    """
    labels = relevant_labels(item["Labels"] or {})
    key, names = item["Id"], (*(item.get("RepoTags") or ()), *(item.get("RepoDigests") or ()))
    if _has_platforms(item):
        own = _manifest_of_host(item, host)
        if own is None:
            return {}
        key = f"{key} {platform_text(_platform(own))}"
        names = names if _is_alone(own, item) else ()
    images = {key: labels}
    images |= {name: labels for name in names if NO_NAME not in name}
    return images | {name.removesuffix(LATEST): labels for name in names if name.endswith(LATEST)}


def inspection_parameters(platform: str, api: tuple[int, int]) -> dict[str, str]:
    """The query of `GET /images/{name}/json`; `platform` as in `translate.image_key`, "" for none."""
    if _takes(platform, api):
        fields = zip(("os", "architecture", "variant"), platform.split("/"), strict=False)
        return {"platform": json.dumps(dict(fields))}
    return {"manifests": "1"} if api >= INSPECTS_MANIFESTS else {}


def image_labels_from_inspection(
    inspected: Json, platform: str, api: tuple[int, int], host: Platform
) -> Labels | None:
    """The labels in an answer to `inspection_parameters`; None where it may show those of another platform.

    Engine 29 omits the field where there are no labels.
    """
    if not _takes(platform, api) and _has_platforms(inspected):
        own = _manifest_of_host(inspected, host)
        if own is None:
            return None
        if not (platform == platform_text(_platform(own)) if platform else _is_alone(own, inspected)):
            return None
    return relevant_labels((inspected["Config"] or {}).get("Labels") or {})


def _takes(platform: str, api: tuple[int, int]) -> bool:
    """Whether the API takes this platform."""
    return platform not in ("", UNKNOWN_PLATFORM) and api >= INSPECTS_PLATFORM


def _has_platforms(image: Json) -> bool:
    """Whether an image may have several platforms. Only the containerd store shows a descriptor."""
    if descriptor := image.get("Descriptor"):
        return descriptor["mediaType"] not in SINGLE
    return bool(image.get("Manifests"))


def _manifest_of_host(image: Json, host: Platform) -> Json | None:
    """The manifest of the host's platform, whose labels the image shows; None where that is not certain.

    It is not where this platform was not pulled, and where the image has several variants of it.
    """
    matching = []
    for each in _manifests(image):
        platform = _platform(each)
        if (platform.get("os"), platform.get("architecture")) == host:
            matching.append(each)
    if len(matching) != 1 or not matching[0].get("Available"):
        return None
    return matching[0]


def _is_alone(own: Json, image: Json) -> bool:
    """Whether `own` is the only manifest of which a container can be made without a new pull."""
    return not any(each.get("Available", True) for each in _manifests(image) if each is not own)


def _manifests(image: Json) -> list[Json]:
    """The manifests of an image, without those that attest its origin."""
    return [each for each in image.get("Manifests") or () if each.get("Kind") != "attestation"]


def _platform(manifest: Json) -> Json:
    return (manifest.get("ImageData") or {}).get("Platform") or {}
