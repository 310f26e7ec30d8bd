"""Image labels: which of a container's labels were said by its user. An image must not expose itself."""

from dockeripv6mapper.mapping import labels
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.model import Container, Endpoint, Network, Reason, RefusedError
from dockeripv6mapper.settings import ProxyMode, Settings


class ImageUnknownError(Exception):
    """The image's labels have to be known first."""


def counting_labels(container: Container, facts: Facts, settings: Settings) -> labels.Labels:
    """The container's labels as far as they count. Raises `RefusedError`, `ImageUnknownError`."""
    if settings.trust_image_labels:
        return container.labels
    if container.image not in facts.images:
        raise ImageUnknownError
    if (image_labels := facts.images[container.image]) is None:
        raise RefusedError(
            Reason.IMAGE_GONE,
            f"image {container.image} was removed, so its own labels cannot be told from the container's: "
            "recreate the container, or run the mapper with --trust-image-labels",
        )
    return labels.of_the_user(container.labels, image_labels)


def image_is_gone(container: Container, facts: Facts, settings: Settings) -> bool:
    """Whether it is not known any more which of the container's labels are its image's own."""
    if settings.trust_image_labels:
        return False
    return container.image in facts.images and facts.images[container.image] is None


def marked_endpoint(container: Container, network: Network, facts: Facts) -> Endpoint | None:
    """The endpoint that shows that the container was mapped to `network` while its image was there.

    It carries the mapper's mark, which only a call to the engine can set, and no image; or it may carry it,
    which is not known yet.
    """
    endpoint = facts.networks.endpoint(container, network.id, network.name)
    if endpoint is None or endpoint.ours is False:
        return None
    return endpoint


def labels_of_the_image(container: Container, facts: Facts, settings: Settings) -> list[str]:
    """The mapper's labels that do not count, since they merely repeat what the image brought along."""
    image_labels = facts.images.get(container.image)
    if settings.trust_image_labels or not image_labels:
        return []
    ours = {label for label in container.labels if label.startswith(labels.PREFIX)}
    return sorted(ours - labels.of_the_user(container.labels, image_labels).keys())


def effective_mode(container: Container, facts: Facts, settings: Settings) -> ProxyMode | None:
    """The daemon's mode, or what the container's own label makes of it; OFF while that is not known.

    None: it is not known any more, since the image is gone and its label may be the image's own. What is
    proxied already stays so then, and nothing else is.
    """
    if labels.PROXY not in container.labels:
        return settings.proxy
    if image_is_gone(container, facts, settings):
        by_label = _mode_by(container.labels, settings)
        return by_label if by_label is settings.proxy else None
    try:
        return _mode_by(counting_labels(container, facts, settings), settings)
    except (RefusedError, ImageUnknownError):
        return ProxyMode.OFF


def _mode_by(given: labels.Labels, settings: Settings) -> ProxyMode:
    """The daemon's mode, or what the labels that count make of it."""
    try:
        override = labels.proxy_override(given)
    except RefusedError:
        return ProxyMode.OFF
    if override is None or (override and settings.proxy is ProxyMode.ALL):
        return settings.proxy
    if not override:
        return ProxyMode.OFF
    return ProxyMode.MAPPED if labels.NETWORK in given else ProxyMode.ALL
