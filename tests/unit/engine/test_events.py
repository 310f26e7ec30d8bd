"""Translation of engine events: which container, and what kind of change."""

from dockeripv6mapper.engine.events import (
    Change,
    ContainerChanged,
    ImagesChanged,
    NetworksChanged,
    translate,
)


def test_a_create_event_contains_the_container() -> None:
    """It has everything that the first connect needs."""
    message = translate(
        {
            "Type": "container",
            "Action": "create",
            "Actor": {"ID": "6ba2", "Attributes": {"name": "web", "image": "nginx"}},
            "timeNano": 1_000_000_000,
        }
    )
    assert isinstance(message, ContainerChanged)
    assert message.change is Change.CREATED
    assert message.created is not None
    assert message.created.name == "web"


def test_a_network_connect_or_disconnect_event_is_a_change_of_the_container() -> None:
    """The event names the container among the network's attributes."""
    for action, change in (("connect", Change.ATTACHED), ("disconnect", Change.DETACHED)):
        message = translate(
            {"Type": "network", "Action": action, "Actor": {"ID": "net", "Attributes": {"container": "6ba2"}}}
        )
        assert message == ContainerChanged("6ba2", change)


def test_a_network_destroy_event_invalidates_all_networks() -> None:
    """Any label may have named the network."""
    assert translate({"Type": "network", "Action": "destroy", "Actor": {"ID": "net"}}) == NetworksChanged()


def test_an_image_tag_event_invalidates_all_images() -> None:
    """A name may now refer to another image."""
    assert translate({"Type": "image", "Action": "tag", "Actor": {"ID": "x"}}) == ImagesChanged()


def test_an_irrelevant_event_is_dropped() -> None:
    """Another type, or no subject."""
    assert translate({"Type": "volume", "Action": "create", "Actor": {"ID": "x"}}) is None
    assert translate({"Type": "container", "Action": "start", "Actor": {}}) is None
    assert translate({}) is None
