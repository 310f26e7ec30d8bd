"""Trust: which of a container's labels were said by its user. An image must not expose itself."""

from dockeripv6mapper.mapping import labels
from dockeripv6mapper.mapping.facts import Facts
from dockeripv6mapper.model import Container, Reason, RefusedError
from dockeripv6mapper.settings import Settings


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


def labels_of_the_image(container: Container, facts: Facts, settings: Settings) -> list[str]:
    """The mapper's labels that do not count, since they merely repeat what the image brought along."""
    image_labels = facts.images.get(container.image)
    if settings.trust_image_labels or not image_labels:
        return []
    ours = {label for label in container.labels if label.startswith(labels.PREFIX)}
    return sorted(ours - labels.of_the_user(container.labels, image_labels).keys())
