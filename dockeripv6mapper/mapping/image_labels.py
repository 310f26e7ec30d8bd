"""Image labels: which of a container's labels count.

The engine shows an image's labels among its containers' labels. A label counts only where its value is not
the image's own, since an image must not expose its containers (unless `--trust-image-labels` is set).
"""

from dockeripv6mapper.mapping import labels
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.model import Container, Endpoint, Network, Reason, RefusedError
from dockeripv6mapper.settings import Settings


class ImageUnknownError(Exception):
    """The image's own labels are not known yet."""


def counting_labels(container: Container, facts: Facts, settings: Settings) -> labels.Labels:
    """The container's labels that count.

    Raises `ImageUnknownError` where the image's labels have to be read first, `RefusedError(IMAGE_GONE)`
    where they cannot be read: the image was removed, or its platform is not known.
    """
    if settings.trust_image_labels:
        return container.labels
    if container.image not in facts.images:
        raise ImageUnknownError
    if (image_labels := facts.images[container.image]) is None:
        raise RefusedError(
            Reason.IMAGE_GONE,
            f"image {container.image} was removed, or its platform is not known, so its own labels cannot be "
            "told from the container's: recreate the container, or run the mapper with --trust-image-labels",
        )
    return labels.user_labels(container.labels, image_labels)


def image_is_gone(container: Container, facts: Facts, settings: Settings) -> bool:
    """Whether the image was removed, so that the container's own labels cannot be determined."""
    if settings.trust_image_labels:
        return False
    return container.image in facts.images and facts.images[container.image] is None


def marked_endpoint(container: Container, network: Network, facts: Facts) -> Endpoint | None:
    """The container's endpoint on `network`, where it carries the mapper's mark, or may carry it.

    The mark shows that the container was mapped while its image existed: an image cannot set it, only an API
    call can. A list does not show marks; an inspection is needed to know.
    """
    endpoint = facts.networks.endpoint(container, network.id, network.name)
    if endpoint is None or endpoint.ours is False:
        return None
    return endpoint


def labels_of_the_image(container: Container, facts: Facts, settings: Settings) -> list[str]:
    """The container's `ipv6.mapper.*` labels that do not count, since their values are the image's own."""
    image_labels = facts.images.get(container.image)
    if settings.trust_image_labels or not image_labels:
        return []
    mapper_labels = {label for label in container.labels if label.startswith(labels.PREFIX)}
    return sorted(mapper_labels - labels.user_labels(container.labels, image_labels).keys())
